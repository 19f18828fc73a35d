//! Subject transforms as their users write them, and the renaming that each is.
//!
//! ```text
//! src  orders.*.*          dest  by.{{wildcard(2)}}.$1      orders.eu.42 -> by.42.eu
//! functions: wildcard(n) ($n), partition(count, n...), random(count), split(n, text), splitfromleft(n, len),
//!            splitfromright(n, len), slicefromleft(n, len), slicefromright(n, len), left(n, len), right(n, len)
//! ```
//! `n` counts the `*` of the source from 1. A function is a whole word of the destination.

use bytes::Bytes;
use polybus_model::{NewWord, Renaming, Taking};

use crate::codec::is_valid;
use crate::session::filter;

/// A subject that is none.
const BAD_SUBJECT: &str = "invalid subject";
const BAD_ARGUMENT: &str = "function argument is invalid or in the wrong format";
const TOO_FEW: &str = "not enough arguments passed to the function";
const TOO_MANY: &str = "too many arguments passed to the function";
const OUT_OF_RANGE: &str = "wildcard index out of range";
const UNKNOWN: &str = "unknown function";
const BAD_TRANSFORM: &str = "invalid transform";

/// The renaming that a transform is; the text says what is wrong with one that is none. Without a source it is for all
/// subjects, without a destination they stay as they are.
pub(super) fn renaming(source: &str, destination: &str) -> Result<Renaming, String> {
    let source = if source.is_empty() { ">" } else { source };
    if !is_valid(source.as_bytes()) {
        return Err(BAD_SUBJECT.to_owned());
    }
    let keys = filter(source.as_bytes());
    if destination.is_empty() || (source, destination) == (">", ">") {
        return Ok(Renaming::keeping(keys));
    }
    let ends_open = |text: &str| text.split('.').next_back() == Some(">");
    let has_empty = destination.split('.').any(str::is_empty);
    if has_empty || destination.contains(['\t', '\n', '\x0c', '\r']) {
        return Err(wrong(BAD_TRANSFORM, ""));
    }
    if ends_open(source) != ends_open(destination) || destination.split('.').any(|word| word == "*")
    {
        return Err(BAD_SUBJECT.to_owned());
    }
    let source: Vec<&str> = source.split('.').collect();
    let wildcards: Vec<u32> = (0..)
        .zip(&source)
        .filter(|(_, word)| **word == "*")
        .map(|(at, _)| at)
        .collect();
    let words: Vec<&str> = destination.split('.').collect();
    let mut to = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        to.push(match *word {
            ">" if at + 1 == words.len() => {
                NewWord::Rest(u32::try_from(source.len() - 1).unwrap_or(u32::MAX))
            }
            ">" => return Err(BAD_SUBJECT.to_owned()),
            word => new_word(word, &wildcards)?,
        });
    }
    Ok(Renaming { keys, to: Some(to) })
}

fn wrong(what: &str, word: &str) -> String {
    match word {
        "" => format!("invalid mapping destination: {what}"),
        word => format!("invalid mapping destination: {what} in {word}"),
    }
}

/// A word of a destination.
fn new_word(word: &str, wildcards: &[u32]) -> Result<NewWord, String> {
    if let Some(number) = word.strip_prefix('$')
        && number.parse::<i32>().is_ok()
    {
        return place(number, wildcards, word).map(NewWord::Word);
    }
    let function = word
        .strip_prefix("{{")
        .and_then(|word| word.strip_suffix("}}"));
    let Some(function) = function.filter(|function| !function.is_empty()) else {
        return match word.contains(' ') {
            true => Err(wrong(BAD_TRANSFORM, "")),
            false => Ok(NewWord::Text(Bytes::copy_from_slice(word.as_bytes()))),
        };
    };
    let (name, arguments) = function
        .trim()
        .strip_suffix(')')
        .and_then(|function| function.split_once('('))
        .ok_or_else(|| wrong(UNKNOWN, word))?;
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    let name = name.trim().to_ascii_lowercase();
    let how: fn(u32) -> Taking = match name.as_str() {
        "splitfromleft" => Taking::SplitAfter,
        "splitfromright" => Taking::SplitBefore,
        "slicefromleft" => Taking::SlicesFromStart,
        "slicefromright" => Taking::SlicesFromEnd,
        "left" => Taking::First,
        "right" => Taking::Last,
        _ => return whole_word(&name, &arguments, wildcards, word),
    };
    let (first, second) = two(&arguments, word)?;
    Ok(NewWord::Part {
        word: place(first, wildcards, word)?,
        how: how(count(second, word)?),
    })
}

/// What a function that takes no length makes.
fn whole_word(
    name: &str,
    arguments: &[&str],
    wildcards: &[u32],
    word: &str,
) -> Result<NewWord, String> {
    match (name, arguments) {
        ("wildcard", [] | [""]) => Err(wrong(TOO_FEW, word)),
        ("wildcard", [number]) => place(number, wildcards, word).map(NewWord::Word),
        ("wildcard", _) => Err(wrong(TOO_MANY, word)),
        ("partition", [below, places @ ..]) => {
            let words = match wildcards.is_empty() {
                // Of a source without wildcards the whole subject counts.
                true => Vec::new(),
                false => places
                    .iter()
                    .map(|one| place(one, wildcards, word))
                    .collect::<Result<_, _>>()?,
            };
            let below = count(below, word)?;
            Ok(NewWord::Hash { words, below })
        }
        ("random", [below]) => count(below, word).map(|below| NewWord::Scatter { below }),
        ("random" | "partition", _) => Err(wrong(TOO_FEW, word)),
        ("split", _) => {
            let (first, by) = two(arguments, word)?;
            let at = place(first, wildcards, word)?;
            if by.contains(' ') {
                return Err(wrong(BAD_ARGUMENT, word));
            }
            Ok(NewWord::Part {
                word: at,
                how: Taking::Between(Bytes::copy_from_slice(by.as_bytes())),
            })
        }
        _ => Err(wrong(UNKNOWN, word)),
    }
}

/// The place of the wildcard with that number.
fn place(number: &str, wildcards: &[u32], word: &str) -> Result<u32, String> {
    let number: usize = number.parse().map_err(|_| wrong(BAD_ARGUMENT, word))?;
    let found = match number.checked_sub(1) {
        Some(at) => wildcards.get(at).copied(),
        // The peer takes it for the first word.
        None => Some(0),
    };
    found.ok_or_else(|| wrong(OUT_OF_RANGE, word))
}

fn count(text: &str, word: &str) -> Result<u32, String> {
    let count = text.parse::<i32>();
    let count = count.ok().and_then(|count| u32::try_from(count).ok());
    count.ok_or_else(|| wrong(BAD_ARGUMENT, word))
}

fn two<'a>(arguments: &[&'a str], word: &str) -> Result<(&'a str, &'a str), String> {
    match arguments {
        [] | [_] => Err(wrong(TOO_FEW, word)),
        [first, second] => Ok((first, second)),
        _ => Err(wrong(TOO_MANY, word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transformed(source: &str, destination: &str, subject: &str) -> Option<String> {
        let rule = renaming(source, destination).unwrap();
        let name = rule.apply(subject.as_bytes(), 0)?;
        Some(String::from_utf8(name).unwrap())
    }

    /// What nats-server's own tests of its transforms expect.
    #[test]
    fn subjects_are_transformed_as_by_the_peer() {
        for (source, destination, subject, wanted) in [
            ("foo", "bar", "foo", "bar"),
            ("foo.*.bar.*.baz", "req.$2.$1", "foo.A.bar.B.baz", "req.B.A"),
            ("baz.>", "mybaz.>", "baz.1.2.3", "mybaz.1.2.3"),
            ("*", "{{splitfromleft(1,1)}}", "12345", "1.2345"),
            ("*", "{{SplitFromLeft(1,3)}}", "12345", "123.45"),
            (
                "*.*",
                "{{splitfromleft(2,3)}}.{{wildcard(1)}}",
                "foo.bar1",
                "bar.1.foo",
            ),
            ("*", "{{SplitFromRight(1, 3)}}", "12345", "12.345"),
            (
                "*",
                "{{SliceFromLeft(1,2)}}",
                "1234567890",
                "12.34.56.78.90",
            ),
            (
                "*",
                "{{SliceFromRight(1,3)}}",
                "1234567890",
                "1.234.567.890",
            ),
            ("*", "{{split(1,-)}}", "-abc-def--ghi-", "abc.def.ghi"),
            (
                "*.*",
                "{{split(2,-)}}.{{splitfromleft(1,2)}}",
                "foo.-abc-def--ghij-",
                "abc.def.ghij.fo.o",
            ),
            ("*", "{{left(1,2)}}.{{Right(1,2)}}", "1234", "12.34"),
            ("*", "bar.{{partition(10, 0)}}", "foo", "bar.3"),
            ("*.*", "bar.{{partition(10)}}", "foo.bar", "bar.6"),
            ("*", "bar.{{partition(0)}}", "baz", "bar.0"),
            ("$KV.a.>", "$KV.b.>", "$KV.a.key", "$KV.b.key"),
            ("", "", "x.y", "x.y"),
        ] {
            let came = transformed(source, destination, subject);
            assert_eq!(came.as_deref(), Some(wanted), "{source} -> {destination}");
        }
        assert_eq!(transformed("a.*", "b.$1", "c.d"), None);
    }

    #[test]
    fn what_is_no_transform_is_refused_with_words() {
        for (source, destination, text) in [
            ("foo.*", "bar.$2", "wildcard index out of range in $2"),
            ("foo", "{{wildcard(1)}}", "wildcard index out of range"),
            (
                "foo.*",
                "{{unknown(1)}}",
                "unknown function in {{unknown(1)}}",
            ),
            ("foo.*", "{{wildcard()}}", "not enough arguments"),
            ("foo.*", "{{wildcard(1,2)}}", "too many arguments"),
            ("foo.*", "{{left(1)}}", "not enough arguments"),
            ("foo.*", "{{left(1,x)}}", "argument is invalid"),
            ("foo.*", "{{partition(-1,1)}}", "argument is invalid"),
            ("foo.>", "bar", "invalid subject"),
            ("foo", "bar.*", "invalid subject"),
            ("foo..", "bar", "invalid subject"),
            ("foo", "bar..x", "invalid transform"),
        ] {
            let error = renaming(source, destination).unwrap_err();
            assert!(error.contains(text), "{source} -> {destination}: {error}");
        }
    }
}
