//! Streams that others are made of: what a mirror or a source is asked to be, and how far it is told to be.

use bytes::Bytes;
use polybus_model::{FollowFrom, FollowState, Followed, Follows, Name, Renaming};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::{is_asset_name, is_zero};
use super::derived::SubjectTransform;
use super::transform::renaming;
use super::{ApiError, parse_time};
use crate::codec::is_valid;
use crate::session::filter;

/// Sources of one stream.
const SOURCES_MAX: usize = 1_024;

/// A stream that another takes from.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StreamSource {
    name: String,
    #[serde(skip_serializing_if = "is_zero")]
    opt_start_seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_start_time: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subject_transforms: Vec<SubjectTransform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<Value>,
}

/// The failures of mirrors, and of sources: numbers and texts.
struct Failures {
    name: (u16, &'static str),
    both_filters: (u16, &'static str),
    filter: (u16, &'static str),
    role: &'static str,
    destination: (u16, &'static str),
    overlapping: (u16, &'static str),
}

const OF_MIRROR: Failures = Failures {
    name: (10142, "mirrored stream name is invalid"),
    both_filters: (
        10150,
        "mirror with multiple subject transforms cannot also have a single subject filter",
    ),
    filter: (10151, "mirror transform source"),
    role: "mirror",
    destination: (10154, "mirror transform"),
    overlapping: (10152, "mirror subject filters can not overlap"),
};

const OF_SOURCE: Failures = Failures {
    name: (10141, "sourced stream name is invalid"),
    both_filters: (
        10144,
        "source with multiple subject transforms cannot also have a single subject filter",
    ),
    filter: (10145, "source transform source"),
    role: "source:",
    destination: (10146, "source transform"),
    overlapping: (10147, "source filters can not overlap"),
};

/// Whether a stream can be a mirror of that, which takes those subjects and sources.
pub(super) fn check_mirror(
    mirror: &StreamSource,
    subjects: &[String],
    sources: &[StreamSource],
) -> Result<(), ApiError> {
    let refused = |number, text: &str| Err(ApiError::new(400, number, text));
    if !subjects.is_empty() {
        return refused(10034, "stream mirrors can not contain subjects");
    }
    if !sources.is_empty() {
        return refused(10031, "stream mirrors can not also contain other sources");
    }
    mirror.check(&OF_MIRROR)
}

/// Whether a stream can have those sources.
pub(super) fn check_sources(sources: &[StreamSource]) -> Result<(), ApiError> {
    if sources.len() > SOURCES_MAX {
        let text = format!("a stream has {SOURCES_MAX} sources at most");
        return Err(ApiError::invalid_config(text));
    }
    let mut seen = std::collections::BTreeSet::new();
    for source in sources {
        source.check(&OF_SOURCE)?;
        if !seen.insert((&source.name, source.label())) {
            let text = "duplicate source configuration detected";
            return Err(ApiError::new(400, 10140, text));
        }
    }
    Ok(())
}

impl StreamSource {
    /// The stream's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, failures: &Failures) -> Result<(), ApiError> {
        let fail = |(number, text): (u16, &str)| Err(ApiError::new(400, number, text));
        let because = |(number, text): (u16, &str), why: &str| {
            Err(ApiError::new(400, number, format!("{text}: {why}")))
        };
        if self.external.is_some() || self.consumer.is_some() {
            let text = "streams of other accounts and domains, and consumers of mirrors and sources, are not supported";
            return Err(ApiError::invalid_config(text));
        }
        if !is_asset_name(&self.name) || Name::new(&self.name).is_err() {
            return fail(failures.name);
        }
        if !self.filter_subject.is_empty() && !self.subject_transforms.is_empty() {
            return fail(failures.both_filters);
        }
        if !self.filter_subject.is_empty() && !is_valid(self.filter_subject.as_bytes()) {
            let text = format!(
                "subject filter '{}' for the {} invalid subject",
                self.filter_subject, failures.role
            );
            return Err(ApiError::new(500, 10049, text));
        }
        if self.opt_start_seq < 0
            || self
                .opt_start_time
                .as_ref()
                .is_some_and(|time| parse_time(time).is_none())
        {
            return Err(ApiError::invalid_config(
                "invalid start of a mirror or source",
            ));
        }
        let mut filters = Vec::new();
        for SubjectTransform { src, dest } in &self.subject_transforms {
            if !src.is_empty() && !is_valid(src.as_bytes()) {
                return because(failures.filter, &format!("invalid subject {src}"));
            }
            match renaming(src, dest) {
                Err(why) => return because(failures.destination, &why),
                Ok(Renaming { keys, .. }) if filters.iter().any(|one| keys.overlaps(one)) => {
                    return fail(failures.overlapping);
                }
                Ok(Renaming { keys, .. }) => filters.push(keys),
            }
        }
        Ok(())
    }

    /// What is taken, and under what subjects, as `Nats-Stream-Source` says it.
    fn label(&self) -> String {
        let open = |subject: &str| if subject.is_empty() { ">" } else { subject }.to_owned();
        if self.subject_transforms.is_empty() {
            return format!("{} >", open(&self.filter_subject));
        }
        let all = self.subject_transforms.iter();
        let (from, to): (Vec<_>, Vec<_>) = all.map(|one| (open(&one.src), open(&one.dest))).unzip();
        format!("{} {}", from.join("\x0c"), to.join("\x0c"))
    }

    fn followed(&self) -> Option<Followed> {
        let transforms = self.subject_transforms.iter();
        let mut renamings: Vec<Renaming> = transforms
            .filter_map(|one| renaming(&one.src, &one.dest).ok())
            .collect();
        if !self.filter_subject.is_empty() {
            renamings.push(Renaming::keeping(filter(self.filter_subject.as_bytes())));
        }
        let time = self.opt_start_time.as_deref().and_then(parse_time);
        let sequence = u64::try_from(self.opt_start_seq).ok();
        Some(Followed {
            log: Name::new(&self.name).ok()?,
            from: match (sequence.and_then(|one| one.checked_sub(1)), time) {
                (Some(offset), _) => FollowFrom::Offset(offset),
                (None, Some(time)) => FollowFrom::Time(time),
                (None, None) => FollowFrom::Start,
            },
            renamings,
            label: Bytes::from(self.label()),
        })
    }

    fn info(&self, state: Option<&FollowState>) -> Value {
        let is_there = state.is_some_and(|state| state.is_there);
        let mut told = json!({
            "name": self.name,
            "lag": state.map_or(0, |state| state.lag),
            // It is in this broker: it was heard of just now, or never.
            "active": if is_there { 0 } else { -1 },
        });
        if let Value::Object(told) = &mut told {
            if !self.filter_subject.is_empty() {
                told.insert("filter_subject".into(), self.filter_subject.clone().into());
            }
            if !self.subject_transforms.is_empty() {
                told.insert("subject_transforms".into(), json!(self.subject_transforms));
            }
        }
        told
    }
}

/// Whom a stream follows.
pub(super) fn follows(mirror: Option<&StreamSource>, sources: &[StreamSource]) -> Follows {
    if let Some(one) = mirror.and_then(StreamSource::followed) {
        return Follows::One(one);
    }
    match sources.is_empty() {
        true => Follows::Nobody,
        false => Follows::Several(sources.iter().filter_map(StreamSource::followed).collect()),
    }
}

/// Adds how far a stream is with its mirror or sources to what is told of it.
pub(super) fn put_states(
    told: &mut Map<String, Value>,
    mirror: Option<&StreamSource>,
    sources: &[StreamSource],
    states: &[FollowState],
) {
    if let Some(mirror) = mirror {
        told.insert("mirror".into(), mirror.info(states.first()));
    }
    if !sources.is_empty() {
        let states = states.iter().map(Some).chain(std::iter::repeat(None));
        let sources = sources.iter().zip(states);
        let infos: Vec<Value> = sources.map(|(one, state)| one.info(state)).collect();
        told.insert("sources".into(), infos.into());
    }
}
