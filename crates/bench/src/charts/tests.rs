use super::*;
use crate::compare::Side;
use crate::histogram::Latency;
use crate::machine::Machine;
use crate::page::render;

fn side(name: &str) -> Side {
    Side {
        name: name.into(),
        version: "1".into(),
        durability: "fsync".into(),
    }
}

fn figures(consumed_per_s: f64, cpu_us: f64, p50_us: Option<f64>) -> Figures {
    Figures {
        consumed_per_s,
        server_cpu_us: Some(cpu_us),
        confirm: p50_us.map(|p50_us| Latency {
            p50_us,
            p99_us: p50_us * 10.0,
            p999_us: p50_us * 30.0,
            max_us: p50_us * 40.0,
        }),
        ..Figures::default()
    }
}

fn row(workload: &str, medians: &[Figures]) -> Row {
    Row {
        workload: workload.into(),
        about: "a & b".into(),
        target_ratio: Some(10.0),
        medians: medians.to_vec(),
        rounds: Vec::new(),
        failures: vec![None; medians.len()],
        other_load: 0.0,
    }
}

fn sample(names: &[&str]) -> Comparison {
    let both = |ours: Figures, theirs: Figures| {
        let mut both = vec![ours, theirs];
        both.truncate(names.len());
        both
    };
    let ack = both(
        figures(230_169.0, 1.3, Some(1380.0)),
        figures(15_650.0, 53.8, Some(38_300.0)),
    );
    let window = both(
        figures(1839.0, 127.0, Some(166.0)),
        figures(10_893.0, 86.2, Some(77.0)),
    );
    let paced = both(
        figures(7825.0, 58.2, Some(1110.0)),
        figures(7825.0, 147.0, Some(1100.0)),
    );
    let transient = both(
        figures(1_184_389.0, 0.67, None),
        figures(52_055.0, 21.1, None),
    );
    // A side that failed has no figures.
    let failed = both(figures(100.0, 0.5, None), Figures::default());
    Comparison {
        machine: Machine::default(),
        load_before: 0.0,
        load_after: 0.0,
        sides: names.iter().map(|name| side(name)).collect(),
        rounds: 1,
        seconds: 1.0,
        rows: vec![
            row("ack-16b", &ack),
            row("window-1-auto", &window),
            row("latency", &paced),
            row("transient-16b", &transient),
            row("fanout-50", &failed),
        ],
        startup: Vec::new(),
        recovery: Vec::new(),
    }
}

fn chart<'a>(charts: &'a [Chart], name: &str) -> &'a str {
    let found = charts.iter().find(|chart| chart.name == name);
    found.map(|chart| chart.svg.as_str()).unwrap()
}

/// Every element that is opened is closed, and no text breaks out.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        assert!(!text.contains('>'), "{text}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for not_a_number in ["NaN", "inf", "width=\"-"] {
        assert!(!svg.contains(not_a_number), "{svg}");
    }
}

#[test]
fn the_figures_are_in_the_charts() {
    let charts = charts(&sample(&["polybus", "rabbit<&>mq"]));
    assert_eq!(charts.len(), 3);
    for chart in &charts {
        assert_well_formed(&chart.svg);
        assert!(chart.svg.contains("prefers-color-scheme:dark"));
    }
    let throughput = chart(&charts, "throughput");
    for text in ["14.7x", "22.8x", "0.17x", "rabbit&lt;&amp;&gt;mq is faster"] {
        assert!(throughput.contains(&format!(">{text}<")), "{text}");
    }
    assert!(!throughput.contains(">latency<"), "paced is no throughput");
    assert!(!throughput.contains(">fanout-50<"), "one side failed");
    let cpu = chart(&charts, "cpu");
    for text in ["1.30 us", "53.8 us", "0.67 us", "fanout-50"] {
        assert!(cpu.contains(&format!(">{text}<")), "{text}");
    }
    let latency = chart(&charts, "latency");
    assert!(latency.contains(">1.38 ms / 13.8 ms / 41.4 ms<"));
    assert!(latency.contains(">166 us / 1.66 ms / 4.98 ms<"));
    assert!(!latency.contains(">transient-16b<"), "no confirms");
}

#[test]
fn a_ratio_is_drawn_from_one_to_the_side_that_is_faster() {
    let axis = Axis::of([0.17, 1.0, 22.8].into_iter());
    assert_eq!((axis.low, axis.high), (-1, 2));
    assert_eq!(axis.x(0.1), PLOT_LEFT);
    assert_eq!(axis.x(100.0), PLOT_LEFT + PLOT_WIDTH);
    let svg = charts(&sample(&["polybus", "rabbitmq"])).remove(0).svg;
    assert_eq!(svg.matches("class=\"side1\"").count(), 2, "legend and one");
    assert_eq!(svg.matches("class=\"aim\"").count(), 3);
}

#[test]
fn alone_there_is_nothing_to_compare_with() {
    let comparison = sample(&["polybus"]);
    let charts = charts(&comparison);
    let names: Vec<_> = charts.iter().map(|chart| chart.name).collect();
    assert_eq!(names, ["cpu", "latency"]);
    let mut none = sample(&["polybus", "rabbitmq"]);
    none.rows.clear();
    assert!(super::charts(&none).is_empty());
}

#[test]
fn the_page_and_its_files_agree() {
    let folder = std::env::temp_dir().join(format!("polybus-charts-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let page = folder.join("figures.md");
    for names in [&["polybus", "rabbitmq"][..], &["polybus"]] {
        let comparison = sample(names);
        crate::page::write(&comparison, &page).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        for name in NAMES {
            let file = file_name("figures", name);
            assert_eq!(
                text.contains(&format!("]({file})")),
                folder.join(&file).exists()
            );
        }
        assert_eq!(text.matches("![").count(), names.len() + 1);
    }
    assert!(!render(&sample(&["polybus"]), None).contains("!["));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn three_sides_have_their_rates_drawn() {
    let charts = charts(&sample(&["polybus", "polybus-unsynced", "kafka"]));
    let throughput = chart(&charts, "throughput");
    assert!(throughput.contains("Messages a second"));
    for legend in [">polybus<", ">polybus-unsynced<", ">kafka<"] {
        assert!(throughput.contains(legend));
    }
}
