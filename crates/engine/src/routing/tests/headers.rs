//! Header bindings: RabbitMQ's rules one by one, and a naive matcher.

use polybus_model::RoutingFault;
use proptest::prelude::*;

use super::super::hash::keyed;
use super::super::headers::HeaderRules;
use super::super::plain::{Fields, Plain};
use super::super::targets::{Hit, Target};
use super::super::validate_binding;
use super::*;

fn with_arguments(queue: u32, arguments: Table) -> Binding {
    Binding {
        arguments,
        ..to_queue("h", &format!("q{queue}"), "")
    }
}

/// A router whose topic `h` has those bindings, each to the queue of its number.
fn bound(bindings: &[&[(&str, Value)]]) -> Router {
    let mut r = router(bindings.len() as u32);
    r.declare("h", TopicKind::Headers);
    for (number, arguments) in bindings.iter().enumerate() {
        r.must_bind(&with_arguments(number as u32, table(arguments)));
    }
    r
}

#[test]
fn documented_examples() {
    let text = Value::text;
    let mut r = bound(&[
        &[
            ("x-match", text("all")),
            ("format", text("pdf")),
            ("type", text("report")),
        ],
        &[
            ("x-match", text("any")),
            ("format", text("pdf")),
            ("type", text("log")),
        ],
        &[("format", text("zip")), ("type", text("report"))],
    ]);
    let mut send = |fields: &[(&str, Value)]| r.by_headers("h", table(fields));
    let pdf = ("format", text("pdf"));
    assert_eq!(send(&[pdf.clone(), ("type", text("report"))]), [0, 1]);
    assert_eq!(send(std::slice::from_ref(&pdf)), [1]);
    assert_eq!(send(&[pdf, ("type", text("log"))]), [1]);
    let zip = ("format", text("zip"));
    let report = ("type", text("report"));
    assert_eq!(send(&[zip.clone(), report]), [2]);
    assert_eq!(send(&[zip, ("type", text("log"))]), [1]);
    assert_eq!(send(&[]), []);
}

#[test]
fn x_arguments_count_only_with_x() {
    let text = Value::text;
    let x = ("x-tenant", text("a"));
    let pdf = ("format", text("pdf"));
    let mode = |mode: &str| ("x-match", text(mode));
    let mut r = bound(&[
        &[mode("all"), x.clone(), pdf.clone()],
        &[mode("all-with-x"), x.clone(), pdf.clone()],
        &[mode("any"), x.clone()],
        &[mode("any-with-x"), x.clone()],
        &[mode("all"), x.clone()],
    ]);
    assert_eq!(r.by_headers("h", table(std::slice::from_ref(&pdf))), [0, 4]);
    assert_eq!(r.by_headers("h", table(&[pdf, x.clone()])), [0, 1, 3, 4]);
    assert_eq!(r.by_headers("h", table(&[x])), [3, 4]);
}

#[test]
fn empty_arguments_match_all_or_nothing() {
    let mut r = bound(&[&[], &[("x-match", Value::text("any"))]]);
    assert_eq!(r.by_headers("h", Table::new()), [0]);
    let fields = table(&[("a", Value::I32(1))]);
    assert_eq!(r.by_headers("h", fields), [0]);
    r.unbind(&with_arguments(0, Table::new())).unwrap();
    assert_eq!(r.by_headers("h", Table::new()), []);
}

#[test]
fn void_means_present() {
    let mut r = bound(&[
        &[("a", Value::Void)],
        &[("a", Value::Void), ("b", Value::I32(1))],
        &[
            ("x-match", Value::text("any")),
            ("a", Value::Void),
            ("b", Value::I32(1)),
        ],
    ]);
    let mut send = |fields: &[(&str, Value)]| r.by_headers("h", table(fields));
    assert_eq!(send(&[("a", Value::text("anything"))]), [0, 2]);
    assert_eq!(send(&[("a", Value::Void), ("b", Value::I32(1))]), [0, 1, 2]);
    assert_eq!(send(&[("b", Value::I32(1))]), [2]);
    assert_eq!(send(&[("b", Value::Void)]), []);
}

#[test]
fn values_compare_as_in_rabbitmq() {
    let array = |value| Value::Array(vec![value]);
    let same = [
        (Value::I32(5), Value::I64(5)),
        (Value::U8(5), Value::I8(5)),
        (Value::I32(5), Value::F64(5.0)),
        (Value::F32(0.5), Value::F64(0.5)),
        (Value::Timestamp(5), Value::U64(5)),
        (Value::text("a"), Value::Bytes(Bytes::from_static(b"a"))),
        (Value::Bool(true), Value::Bool(true)),
        (array(Value::I32(1)), array(Value::I32(1))),
        (Value::F64(0.0), Value::F64(-0.0)),
        (Value::U64(u64::MAX), Value::U64(u64::MAX)),
        (Value::F64(1e300), Value::F64(1e300)),
    ];
    for (a, b) in same {
        assert_eq!(Plain::new(a), Plain::new(b));
    }
    let different = [
        (Value::I32(5), Value::I32(6)),
        (Value::I32(5), Value::text("5")),
        (Value::I32(1), Value::Bool(true)),
        (Value::text("true"), Value::Bool(true)),
        (Value::F64(0.1), Value::F32(0.1)),
        (Value::I64(i64::MAX), Value::F64(i64::MAX as f64)),
        (array(Value::I32(1)), array(Value::I64(1))),
        (array(Value::I32(1)), Value::I32(1)),
        (Value::Void, Value::text("")),
    ];
    for (a, b) in different {
        assert_ne!(Plain::new(a), Plain::new(b));
    }
}

#[test]
fn the_first_of_a_name_counts() {
    let mut r = bound(&[&[("a", Value::I32(1))], &[("a", Value::I32(2))]]);
    let twice = table(&[
        ("a", Value::I32(2)),
        ("b", Value::Void),
        ("a", Value::I32(1)),
    ]);
    assert_eq!(r.by_headers("h", twice), [1]);
}

#[test]
fn bindings_are_validated() {
    let check = |arguments: &[(&str, Value)]| {
        let settings = settings(TopicKind::Headers);
        validate_binding(&settings, &with_arguments(0, table(arguments)))
    };
    assert_eq!(check(&[]), Ok(()));
    for mode in ["all", "any", "all-with-x", "any-with-x"] {
        assert_eq!(check(&[("x-match", Value::text(mode))]), Ok(()));
    }
    for mode in [Value::text("some"), Value::I32(1)] {
        let fault = RoutingFault::MatchMode(mode.clone());
        assert_eq!(check(&[("x-match", mode)]), Err(fault));
    }
}

#[test]
fn rules_stand_under_their_rarest_field() {
    let mut rules = HeaderRules::new(&keyed(1));
    for place in 0..1_000 {
        let arguments = table(&[
            ("present", Value::Void),
            ("format", Value::text("pdf")),
            ("tenant", Value::I32(place as i32)),
        ]);
        let hit = Hit {
            rank: place.into(),
            target: Target::queue(place),
        };
        rules.add(place, &with_arguments(place, arguments), hit);
    }
    assert_eq!(rules.crowd_max(), 1);
}

#[test]
fn deep_values_need_no_stack() {
    let mut value = Value::Void;
    for _ in 0..2_000 {
        value = Value::Array(vec![value]);
    }
    assert_eq!(Plain::new(value.clone()), Plain::new(value));
}

fn naive(arguments: &Table, headers: &Table) -> bool {
    let mode = arguments.lookup("x-match").and_then(Value::as_str);
    let mode = mode.unwrap_or("all");
    let wants: Vec<_> = arguments
        .iter()
        .filter(|(name, _)| *name != "x-match")
        .filter(|(name, _)| mode.ends_with("-with-x") || !name.starts_with("x-"))
        .map(|(name, want)| match headers.lookup(name) {
            None => false,
            Some(_) if *want == Value::Void => true,
            Some(value) => match (value.as_i64(), want.as_i64()) {
                (Some(a), Some(b)) => a == b,
                _ => value == want,
            },
        })
        .collect();
    if mode.starts_with("any") {
        wants.contains(&true)
    } else {
        !wants.contains(&false)
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Void,
        Value::Bool(true),
        Value::I32(1),
        Value::I64(1),
        Value::I64(2),
        Value::text("1"),
        Value::text("a"),
    ])
}

fn fields() -> impl Strategy<Value = Table> {
    let name = prop::sample::select(vec!["a", "b", "c", "x-a", "x-b"]);
    prop::collection::vec((name, value()), 0..5).prop_map(|fields| table(&fields))
}

fn arguments() -> impl Strategy<Value = Table> {
    let modes = vec!["", "all", "any", "all-with-x", "any-with-x"];
    (prop::sample::select(modes), fields()).prop_map(|(mode, mut fields)| {
        if !mode.is_empty() {
            fields.push("x-match", Value::text(mode));
        }
        fields
    })
}

proptest! {
    #[test]
    fn rules_match_as_a_naive_matcher(
        bindings in prop::collection::vec((arguments(), any::<bool>()), 1..20),
        messages in prop::collection::vec(fields(), 1..10),
    ) {
        let mut rules = HeaderRules::new(&keyed(1));
        for (place, (arguments, _)) in (0_u32..).zip(&bindings) {
            let hit = Hit { rank: place.into(), target: Target::queue(place) };
            rules.add(place, &with_arguments(place, arguments.clone()), hit);
        }
        for are_gone in [false, true] {
            for message in &messages {
                let mut hits = Vec::new();
                rules.collect(&Fields::new(message.clone()), &mut hits);
                hits.dedup();
                let found: Vec<_> = hits.iter().map(|hit| hit.rank).collect();
                let expected: Vec<_> = (0_u64..).zip(&bindings)
                    .filter(|(_, (_, goes))| !(are_gone && *goes))
                    .filter(|(_, (arguments, _))| naive(arguments, message))
                    .map(|(rank, _)| rank)
                    .collect();
                prop_assert_eq!(&found, &expected);
            }
            for (place, (_, goes)) in (0_u32..).zip(&bindings) {
                if are_gone || *goes {
                    rules.remove(place);
                }
            }
        }
        prop_assert!(rules.is_clean());
    }
}
