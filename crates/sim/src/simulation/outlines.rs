//! What becomes of outlines between a stop and the next start: they are lost, torn, damaged, or put back from an earlier time.
//! Nothing depends on them, so the start that follows must come to what it would come to without.

use std::collections::BTreeMap;

use polybus_journal::Io as _;

use super::Simulation;
use crate::random::Random;

/// Outlines of earlier stops, by their names.
pub(super) type Kept = BTreeMap<String, Vec<u8>>;

impl Simulation {
    /// Spoils some of the outlines. It draws from numbers of its own: what else happens stays as it was.
    pub(super) fn spoil_outlines(&mut self) {
        let mut random = Random::new(self.plan.seed.rotate_left(32) ^ self.step);
        let mut names = self.disk.list().unwrap_or_default();
        names.retain(|name| name.ends_with(".outline"));
        names.sort();
        self.outlines += names.len() as u64;
        for name in &names {
            let Ok(mut bytes) = self.disk.contents(name) else {
                continue;
            };
            let earlier = self.kept_outlines.insert(name.clone(), bytes.clone());
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(12) {
                0 => bytes.truncate(at),
                1 => bytes.iter_mut().skip(at).for_each(|byte| *byte = 0),
                2 => bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= 16),
                3 => bytes = earlier.unwrap_or_default(),
                4 => {
                    bytes = random
                        .pick(&names)
                        .and_then(|other| self.disk.contents(other).ok())
                        .unwrap_or_default()
                }
                5 => {
                    let _ = self.disk.remove(name);
                    continue;
                }
                _ => continue,
            }
            self.trace.note(format_args!("{name} is spoilt"));
            self.disk.replace(name, bytes);
        }
        // Outlines whose segments are gone, as an older program leaves them.
        if random.chance(10)
            && let Some((name, bytes)) = self.kept_outlines.first_key_value()
        {
            self.disk.replace(name, bytes.clone());
        }
    }
}
