//! How far a run is, for whoever watches: one line on the terminal, drawn over and over.
//!
//! ```text
//! ack-16b        [############............]  52 %  publishing  230,169/s in  229,871/s out
//! ```
//! When the standard error output is not a terminal, nothing is drawn.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use rustix::termios::tcgetwinsize;

use crate::run::Progress;
use crate::table::number;

/// Rates are over so much of the past.
const RATE_OVER: Duration = Duration::from_secs(1);

/// The cells of the bar itself.
const CELLS: usize = 24;

/// A terminal that does not say how wide it is.
const COLUMNS_USUAL: u16 = 80;

/// The line.
#[derive(Debug)]
pub struct Bar {
    is_shown: bool,
    seen: VecDeque<Progress>,
}

impl Bar {
    /// On the standard error output, if that is a terminal.
    #[must_use]
    pub fn on_stderr() -> Self {
        Self {
            is_shown: stderr().is_terminal(),
            seen: VecDeque::new(),
        }
    }

    /// Draws how far the run of this name is.
    pub fn draw(&mut self, name: &str, progress: &Progress) {
        if self.is_shown {
            let (published_per_s, consumed_per_s) = self.rates(progress);
            let line = line(name, progress, published_per_s, consumed_per_s);
            put(&format!("\r{}\x1b[K", cut(&line, columns())));
        }
    }

    /// Takes the line away, so that something else can be printed.
    pub fn clear(&mut self) {
        self.seen.clear();
        if self.is_shown {
            put("\r\x1b[K");
        }
    }

    /// Published and consumed a second, over the last second of this run.
    fn rates(&mut self, progress: &Progress) -> (f64, f64) {
        let last = self.seen.back().map_or(Duration::ZERO, |last| last.elapsed);
        if progress.elapsed < last {
            self.seen.clear();
        }
        while self.seen.len() > 1
            && self
                .seen
                .front()
                .is_some_and(|first| progress.elapsed - first.elapsed > RATE_OVER)
        {
            self.seen.pop_front();
        }
        let first = self.seen.front().copied();
        self.seen.push_back(*progress);
        let Some(first) = first else {
            return (0.0, 0.0);
        };
        let over_s = (progress.elapsed - first.elapsed).as_secs_f64().max(1e-3);
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / over_s;
        (
            rate(progress.published, first.published),
            rate(progress.consumed, first.consumed),
        )
    }
}

/// Nobody to tell if it cannot be written.
fn put(text: &str) {
    let mut err = stderr().lock();
    drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}

fn columns() -> usize {
    let columns = tcgetwinsize(stderr()).map_or(0, |size| size.ws_col);
    match columns {
        0 => COLUMNS_USUAL.into(),
        columns => columns.into(),
    }
}

/// A line that fills the terminal would wrap, and could not be drawn over.
fn cut(line: &str, columns: usize) -> String {
    line.chars().take(columns.saturating_sub(1)).collect()
}

fn line(name: &str, progress: &Progress, published_per_s: f64, consumed_per_s: f64) -> String {
    let done = progress.done.clamp(0.0, 1.0);
    let full = (done * CELLS as f64) as usize;
    format!(
        "{name:<14} [{}{}] {:>3.0} %  {}  {}/s in  {}/s out",
        "#".repeat(full),
        ".".repeat(CELLS - full),
        (done * 100.0).floor(),
        progress.phase,
        number(published_per_s.round()),
        number(consumed_per_s.round()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64, published: u64) -> Progress {
        Progress {
            phase: "publishing",
            elapsed: Duration::from_millis(millis),
            published,
            consumed: published / 2,
            done: 0.5,
        }
    }

    #[test]
    fn rates_are_of_the_last_second_and_of_one_run() {
        let mut bar = Bar {
            is_shown: false,
            seen: VecDeque::new(),
        };
        assert_eq!(bar.rates(&at(0, 0)), (0.0, 0.0));
        assert_eq!(bar.rates(&at(500, 1000)), (2000.0, 1000.0));
        for tenth in 6..30 {
            bar.rates(&at(tenth * 100, 1000));
        }
        assert_eq!(bar.rates(&at(3000, 1000)), (0.0, 0.0));
        assert_eq!(bar.rates(&at(100, 50)), (0.0, 0.0));
        assert_eq!(bar.rates(&at(200, 100)), (500.0, 250.0));
    }

    #[test]
    fn the_line_never_wraps() {
        let line = line("ack-16b", &at(1, 1), 230_169.0, 229_871.0);
        assert_eq!(
            line,
            "ack-16b        [############............]  50 %  publishing  230,169/s in  229,871/s out"
        );
        assert_eq!(cut(&line, 10).len(), 9);
        assert_eq!(cut(&line, 0), "");
    }
}
