//! What a stream makes of subjects: transforms of what it takes, and what it republishes.

use polybus_model::{Copies, KeyedSettings, Name};
use serde::{Deserialize, Serialize};

use super::ApiError;
use super::config::is_false;
use super::transform::renaming;
use crate::TOPIC;
use crate::codec::is_valid;
use crate::session::filter;

/// From which subjects to which.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SubjectTransform {
    pub(super) src: String,
    pub(super) dest: String,
}

/// What listeners are told of.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Republish {
    #[serde(skip_serializing_if = "String::is_empty")]
    src: String,
    dest: String,
    #[serde(skip_serializing_if = "is_false")]
    headers_only: bool,
}

impl Republish {
    /// Fills in what is left open.
    pub(super) fn fill_in(&mut self, transform: Option<&SubjectTransform>, subjects: &[String]) {
        if self.src.is_empty() {
            self.src.push('>');
        }
        // From all to all is what a transform of all that there is makes of it.
        if let (">", ">", Some(transform), [only]) = (&*self.src, &*self.dest, transform, subjects)
            && transform.src == *only
        {
            self.src.clone_from(&transform.dest);
            self.dest.clone_from(&transform.dest);
        }
    }
}

/// The parts of a stream's configuration that are about this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Derived<'a> {
    pub(super) transform: Option<&'a SubjectTransform>,
    pub(super) republish: Option<&'a Republish>,
}

/// Whether a stream that takes those subjects can be like that.
pub(super) fn check(derived: Derived<'_>, subjects: &[String]) -> Result<(), ApiError> {
    if let Some(SubjectTransform { src, dest }) = derived.transform {
        if !src.is_empty() && !is_valid(src.as_bytes()) {
            let text = format!("stream transform source: invalid subject {src}");
            return Err(ApiError::new(400, 10155, text));
        }
        if let Err(text) = renaming(src, dest) {
            let text = format!("stream transform: {text}");
            return Err(ApiError::new(400, 10156, text));
        }
    }
    let Some(Republish { src, dest, .. }) = derived.republish else {
        return Ok(());
    };
    let renaming = renaming(src, dest).map_err(|_| {
        ApiError::invalid_config(format!(
            "stream configuration for republish with transform from '{src}' to '{dest}' not valid"
        ))
    })?;
    if subjects
        .iter()
        .any(|one| renaming.may_give(&filter(one.as_bytes())))
    {
        let text = "stream configuration for republish destination forms a cycle";
        return Err(ApiError::invalid_config(text));
    }
    Ok(())
}

impl Derived<'_> {
    /// The settings of a keyed log that are about this.
    pub(super) fn settings(self) -> KeyedSettings {
        // What was checked is a renaming.
        let rule = |src: &str, dest: &str| renaming(src, dest).ok();
        let copies = self.republish.and_then(|republish| {
            Some(Copies {
                topic: Name::new(TOPIC).ok()?,
                renaming: rule(&republish.src, &republish.dest)?,
                headers_only: republish.headers_only,
            })
        });
        KeyedSettings {
            renames: self.transform.and_then(|one| rule(&one.src, &one.dest)),
            copies,
            ..KeyedSettings::default()
        }
    }
}
