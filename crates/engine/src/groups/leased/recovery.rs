//! Windows while they are being recovered.

use std::collections::BTreeMap;

use polybus_model::Name;

use super::record::{self, Opened};
use super::window::Window;
use super::windows::Owner;
use crate::Engine;
use crate::record::codec::Bounded;
use crate::record::{Corrupt, kind};

/// Windows as far as they are known, by number.
#[derive(Debug, Default)]
pub(crate) struct RecoveredWindows {
    found: BTreeMap<u64, (Opened, Window)>,
}

impl RecoveredWindows {
    /// Applies a record; false if it is none of a window.
    pub(crate) fn apply(&mut self, kind: u8, from: &mut Bounded<'_>) -> Result<bool, Corrupt> {
        if !(kind::WINDOW_OPENED..=kind::WINDOW_RETURNED).contains(&kind) {
            return Ok(false);
        }
        let number = from.u64()?;
        match kind {
            kind::WINDOW_OPENED => match record::opened(from)? {
                Some(opened) => {
                    let window = Window::new(opened.floor);
                    self.found.insert(number, (opened, window));
                }
                None => {
                    self.found.remove(&number);
                }
            },
            kind::WINDOW_SETTLED => {
                let ranges = record::ranges(from)?;
                if let Some((_, window)) = self.found.get_mut(&number) {
                    for range in ranges {
                        window.recover_settled(range);
                    }
                }
            }
            _ => {
                let spans = record::spans(from)?;
                if let Some((_, window)) = self.found.get_mut(&number) {
                    for (first, span) in spans {
                        window.recover_returned(first, span);
                    }
                }
            }
        }
        if from.is_empty() {
            Ok(true)
        } else {
            Err(Corrupt::new("a window's record is followed by other bytes"))
        }
    }

    /// The only window, for tests of it.
    #[cfg(test)]
    pub(super) fn only(mut self) -> Window {
        let (_, (_, window)) = self.found.pop_first().unwrap();
        window
    }

    /// A namespace is gone, and its windows with it.
    pub(crate) fn drop_namespace(&mut self, name: &Name) {
        self.found
            .retain(|_, (opened, _)| opened.namespace != *name);
    }

    /// Gives the windows to an engine that knows its logs already; those to logs that are gone went with them.
    pub(crate) fn finish(self, engine: &mut Engine) {
        for (number, (opened, window)) in self.found {
            let Some(namespace) = engine.namespace_slot(opened.namespace.as_str()) else {
                continue;
            };
            if engine.logs.partition(opened.at).is_some() {
                let owner = Owner {
                    namespace,
                    group: opened.group.into(),
                };
                engine.windows.recover(number, owner, opened.at, window);
            }
        }
    }
}
