//! The log: to the standard error output, for people or for programs.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use crate::config::{Format, Level, Log};

/// Starts it. A second start changes nothing.
pub(crate) fn start(log: &Log) {
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let text = fmt()
        .with_writer(stderr)
        .with_max_level(level)
        .with_target(false);
    let started = match log.format {
        Format::Text => text.with_ansi(stderr().is_terminal()).try_init(),
        Format::Json => text.with_ansi(false).json().flatten_event(true).try_init(),
    };
    drop(started);
}
