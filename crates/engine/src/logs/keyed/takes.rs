//! What keyed logs take of pattern topics: bindings that come and go with what the log says that it takes.

use bytes::Bytes;
use polybus_model::{
    Binding, Destination, FilterWord, KeyedError, LiveFilter, LogError, LogSettings, Name, Table,
    Takes,
};

use crate::turn::{Asker, Turn};
use crate::{Engine, Store};

impl Engine {
    /// Whether a log of that name may take what these settings say.
    pub(in crate::logs) fn check_takes(
        &self,
        namespace: u32,
        name: &Name,
        settings: &LogSettings,
    ) -> Result<(), LogError> {
        let Some(takes) = takes(settings) else {
            return Ok(());
        };
        for keys in &takes.keys {
            pattern(keys)?;
        }
        let others = self.logs.all.values();
        let others = others.filter(|log| log.namespace == namespace && log.name != *name);
        for other in others {
            let theirs = self::takes(&other.settings).filter(|one| one.topic == takes.topic);
            let theirs = theirs.into_iter().flat_map(|one| &one.keys);
            for theirs in theirs {
                if takes.keys.iter().any(|ours| ours.overlaps(theirs)) {
                    return Err(KeyedError::Overlaps(other.name.clone()).into());
                }
            }
        }
        Ok(())
    }

    /// Binds a log to what it takes now, and no more to what it took before.
    pub(in crate::logs) fn take_from_topic(
        &mut self,
        asker: Asker,
        name: &Name,
        before: Option<&Takes>,
        now: Option<&Takes>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(), LogError> {
        let bindings = |takes: Option<&Takes>| -> Result<Vec<Binding>, LogError> {
            let takes = takes.into_iter();
            let keys = takes.flat_map(|takes| takes.keys.iter().map(|keys| (&takes.topic, keys)));
            keys.map(|(topic, keys)| binding(topic, name, keys))
                .collect()
        };
        let (before, now) = (bindings(before)?, bindings(now)?);
        for old in before.iter().filter(|old| !now.contains(old)) {
            let unbound = self.unbind(asker, old.clone(), turn);
            unbound.map_err(|error| LogError::Other(Box::new(error)))?;
        }
        for new in now.into_iter().filter(|new| !before.contains(new)) {
            let bound = self.bind(asker, new, turn);
            bound.map_err(|error| LogError::Other(Box::new(error)))?;
        }
        Ok(())
    }
}

/// What a log takes.
pub(in crate::logs) fn takes(settings: &LogSettings) -> Option<&Takes> {
    settings.keyed.as_ref()?.takes.as_ref()
}

fn binding(topic: &Name, log: &Name, keys: &LiveFilter) -> Result<Binding, LogError> {
    Ok(Binding {
        source: topic.clone(),
        destination: Destination::Log(log.clone()),
        key: pattern(keys)?,
        arguments: Table::new(),
    })
}

/// A filter as a pattern topic has it.
fn pattern(filter: &LiveFilter) -> Result<Bytes, LogError> {
    let mut words: Vec<&[u8]> = Vec::new();
    for word in filter.words() {
        match word {
            FilterWord::Exact(b"*" | b"#") => {
                let text = "the words * and # cannot be meant literally in what a log takes";
                return Err(LogError::Unsupported(text.to_owned()));
            }
            FilterWord::Exact(word) => words.push(word),
            FilterWord::AnyOne => words.push(b"*"),
            FilterWord::Rest => words.extend([&b"*"[..], b"#"]),
        }
    }
    Ok(words.join(&b'.').into())
}
