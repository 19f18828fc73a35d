//! The rounds of one workload on all sides, in turn, until a side fails.

use std::fs::File;
use std::path::Path;

use rustix::fs::syncfs;

use crate::compare::{Row, Tell, median, median_of};
use crate::error::BenchError;
use crate::run::Figures;

/// The rounds of a workload, by side.
#[derive(Debug)]
pub(crate) struct Rounds<'a> {
    name: &'a str,
    about: &'a str,
    of: usize,
    found: Vec<Vec<Figures>>,
    /// Why a side has no more of them.
    failures: Vec<Option<String>>,
    others: Vec<f64>,
}

impl<'a> Rounds<'a> {
    /// None yet.
    pub(crate) fn new(name: &'a str, about: &'a str, sides: usize, of: usize) -> Self {
        Self {
            name,
            about,
            of,
            found: vec![Vec::new(); sides],
            failures: vec![None; sides],
            others: Vec::new(),
        }
    }

    /// A side that could not even begin has no rounds.
    pub(crate) fn fail(
        &mut self,
        (side, name): (usize, &str),
        error: &BenchError,
        tell: &mut Tell<'_>,
    ) {
        tell(&format!("{} {name}: FAILED: {error}", self.name), None);
        if let Some(failure) = self.failures.get_mut(side) {
            *failure = Some(error.to_string());
        }
    }

    /// Does one, if that side has not failed already; it tells its figures and how many processors others kept busy.
    pub(crate) fn one(
        &mut self,
        (side, name): (usize, &str),
        number: usize,
        tell: &mut Tell<'_>,
        round: impl FnOnce(&str, &mut Tell<'_>) -> Result<(Figures, f64), BenchError>,
    ) {
        let (Some(found), Some(failure)) = (self.found.get_mut(side), self.failures.get_mut(side))
        else {
            return;
        };
        if failure.is_some() {
            return;
        }
        let what = format!("{} {name} {}/{}", self.name, number + 1, self.of);
        match round(&what, tell) {
            Ok((figures, others)) => {
                let rate = figures.published_per_s.max(figures.consumed_per_s);
                tell(&format!("{what}: {rate:.0}/s"), None);
                found.push(figures);
                self.others.push(others);
            }
            Err(error) => {
                tell(&format!("{what}: FAILED: {error}"), None);
                *failure = Some(error.to_string());
            }
        }
    }

    /// Their medians.
    pub(crate) fn row(self) -> Row {
        let medians = self.found.iter();
        let medians = medians.map(|rounds| median_of(self.name, rounds));
        Row {
            workload: self.name.into(),
            about: self.about.into(),
            target_ratio: None,
            medians: medians.collect(),
            other_load: median(self.others.into_iter()).unwrap_or(0.0),
            rounds: self.found,
            failures: self.failures,
        }
    }
}

/// Lets what was written reach the disk.
pub(crate) fn settle(folder: &Path) -> Result<(), BenchError> {
    let folder = File::open(folder).map_err(BenchError::io("opening the data's folder"))?;
    syncfs(&folder).map_err(|error| BenchError::Io("syncing".into(), error.into()))
}
