//! Opening a data folder: journal, snapshot, replay, and the first user of a fresh one.

use std::fmt;
use std::sync::Arc;

use polybus_engine::{Engine, FRONT_VERSION, Recovery, ReplayOrigin, Store as _};
use polybus_journal::{FileIo, Front, Io, Journal, SegmentKind};
use tracing::{info, warn};

use crate::access::{Catalog, Change, Passwords, first_user};
use crate::broker::{CATALOG_RECORD, START_RECORD};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::shard::Shard;
use crate::snapshot;
use crate::staging::{Staging, place_of};

/// Why a data folder could not be opened. The texts say what to do.
#[derive(Debug)]
pub enum OpenError {
    /// The journal: locked by another process, of a newer format, damaged, or the disk refused.
    Journal(polybus_journal::Error),
    /// What the journal holds does not fit together.
    Corrupt(String),
    /// The folder could not be made.
    Folder {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system gave no randomness.
    Randomness(String),
    /// The system gave no threads.
    Threads(std::io::Error),
    /// The disk does not say how much room it has, or does not take the first write.
    Disk(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Corrupt(reason) => write!(
                f,
                "the data folder is damaged: {reason}. No data was changed: keep a copy of the folder, and restore a backup"
            ),
            Self::Folder { path, source } => write!(
                f,
                "the data folder '{}' cannot be made or opened: {source}. Choose another with --data",
                path.display()
            ),
            Self::Randomness(reason) => write!(f, "the system gives no randomness: {reason}"),
            Self::Threads(source) => write!(f, "the system gives no threads: {source}"),
            Self::Disk(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<polybus_journal::Error> for OpenError {
    fn from(error: polybus_journal::Error) -> Self {
        Self::Journal(error)
    }
}

/// A broker's inner parts, ready to run.
pub(crate) struct Opened {
    pub(crate) identity: u64,
    pub(crate) shard: Shard,
    pub(crate) passwords: Passwords,
}

/// Opens the options' folder on the real disk.
///
/// Segments are files that are kept for their next use, so on a small disk they are small too.
pub(crate) fn open(options: &mut Options) -> Result<Opened, OpenError> {
    let path = options.data.clone();
    let failed = |source| OpenError::Folder {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(&options.data).map_err(failed)?;
    let io = FileIo::new(&options.data).map_err(failed)?;
    options.segment_bytes = segment_bytes(options.segment_bytes, io.disk_bytes().map_err(failed)?);
    open_on(options, Arc::new(io), None)
}

/// A disk holds at least so many segments.
const SEGMENTS_MIN: u64 = 32;
/// The smallest segment that a small disk gets.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// The size of segments on a disk of that size.
fn segment_bytes(nominal: u32, disk_bytes: u64) -> u32 {
    let share = (disk_bytes / SEGMENTS_MIN).max(SEGMENT_BYTES_MIN);
    // Powers of two, so that a disk that grows a little does not make the spare files too small.
    let share = share.checked_ilog2().map_or(0, |log| 1_u64 << log);
    u32::try_from(share).unwrap_or(u32::MAX).min(nominal)
}

/// Opens a folder on any disk; a seed makes it repeatable.
pub(crate) fn open_on(
    options: &Options,
    io: Arc<dyn Io>,
    seed: Option<u64>,
) -> Result<Opened, OpenError> {
    let journal_options = polybus_journal::Options {
        durability: options.durability,
        segment_bytes: options.segment_bytes,
        seed,
        ..polybus_journal::Options::default()
    };
    let polybus_journal::Opened {
        appender,
        writer,
        reader,
        recovery,
    } = Journal::open(io, journal_options)?;
    if let Some(torn) = &recovery.torn {
        warn!(
            file = torn.file,
            offset = torn.offset,
            "cut an unfinished write; nothing in it was confirmed"
        );
    }
    let engine_options = engine_options(options, seed)?;
    let replayed = Replayed::read(engine_options, &recovery)?;
    let first = options
        .first_user
        .as_ref()
        .filter(|_| replayed.catalog.is_none());
    let mut staging = Staging::new(appender, Ledger::default());
    staging.appender.begin();
    let now = options.clock.now();
    let engine = replayed
        .engine
        .finish(now, replayed.clean, &mut staging)
        .map_err(|error| OpenError::Corrupt(error.to_string()))?;
    recovery.accept()?;
    let passwords = Passwords::new().map_err(|error| OpenError::Randomness(error.to_string()))?;
    let mut catalog = replayed.catalog.unwrap_or_default();
    let mut changes = Vec::new();
    if catalog.secret().is_empty() {
        let secret = secret(seed)?;
        changes.push(Change::PutSecret { secret });
    }
    if let Some((name, password)) = first {
        let user =
            first_user(password).map_err(|error| OpenError::Randomness(error.to_string()))?;
        changes.extend(Catalog::first_changes(name, user));
    }
    catalog
        .stage(&mut staging, &changes)
        .map_err(|error| OpenError::Corrupt(error.to_string()))?;
    staging.append(START_RECORD, 0, 0, &[], None, 0);
    info!(
        records = replayed.records,
        clean = replayed.clean,
        segments_outlined = replayed.segments.outlined,
        segments_read = replayed.segments.whole,
        "recovered the data folder"
    );
    Ok(Opened {
        identity: recovery.identity,
        shard: Shard::new(engine, staging, catalog, writer, reader, options.committers),
        passwords,
    })
}

/// Random bytes that nobody else knows; of a seed, where all is to be repeatable.
fn secret(seed: Option<u64>) -> Result<Vec<u8>, OpenError> {
    let mut bytes = [0; 32];
    match seed {
        Some(seed) => bytes.fill(seed as u8),
        None => {
            getrandom::fill(&mut bytes).map_err(|error| OpenError::Randomness(error.to_string()))?
        }
    }
    Ok(bytes.to_vec())
}

/// Logs keep their latest runs in memory, beside what queues may keep and up to this part of it.
const LOG_SHARE: usize = 16;

fn engine_options(
    options: &Options,
    seed: Option<u64>,
) -> Result<polybus_engine::Options, OpenError> {
    let seed = match seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| OpenError::Randomness(error.to_string()))?,
    };
    Ok(polybus_engine::Options {
        resident_bytes_max: options.resident_bytes_max,
        log_resident_bytes_max: options.resident_bytes_max / LOG_SHARE,
        session_window_bytes: options.session_window_bytes,
        live_pending_max: options.live_pending_bytes_max,
        queues_max: options.queues_max,
        consumer_timeout: options.consumer_timeout_ms,
        header_readers: options.header_readers.clone(),
        run_readers: options.run_readers.clone(),
        keyed_writer: options.keyed_writer,
        report_key: options.report_key,
        seed,
        ..polybus_engine::Options::default()
    })
}

/// What a folder's snapshot and records come to.
struct Replayed {
    engine: Recovery,
    /// None in a fresh folder.
    catalog: Option<Catalog>,
    clean: bool,
    records: u64,
    segments: polybus_journal::Replayed,
}

impl Replayed {
    fn read(
        options: polybus_engine::Options,
        recovery: &polybus_journal::Recovery,
    ) -> Result<Self, OpenError> {
        let mut replayed = match &recovery.snapshot {
            None => Self {
                engine: Recovery::empty(options),
                catalog: None,
                clean: false,
                records: 0,
                segments: polybus_journal::Replayed::default(),
            },
            Some(found) => {
                let parts = snapshot::decode(&found.bytes).map_err(OpenError::Corrupt)?;
                let mut engine = Engine::restore(options, parts.engine)
                    .map_err(|error| OpenError::Corrupt(error.to_string()))?;
                let catalog = Catalog::from_bytes(parts.users)
                    .map_err(|error| OpenError::Corrupt(error.to_string()))?;
                if catalog.is_older() {
                    engine.note_handed_on_at_append();
                }
                Self {
                    engine,
                    catalog: Some(catalog),
                    clean: parts.clean,
                    records: 0,
                    segments: polybus_journal::Replayed::default(),
                }
            }
        };
        let snapshot_lsn = recovery.snapshot.as_ref().map(|found| found.lsn);
        let mut failed = None;
        let segments = recovery.replay_fronts(FRONT_VERSION, |record| {
            if failed.is_none() {
                failed = replayed.take(&record, snapshot_lsn).err();
            }
        })?;
        for flaw in &segments.flaws {
            warn!(
                file = flaw.file,
                offset = flaw.offset,
                what = flaw.what,
                "read a segment instead of its outline, which will be written again"
            );
        }
        replayed.segments = segments;
        match failed {
            Some(reason) => Err(OpenError::Corrupt(reason)),
            None => Ok(replayed),
        }
    }

    fn take(
        &mut self,
        record: &Front<'_>,
        snapshot_lsn: Option<polybus_journal::Lsn>,
    ) -> Result<(), String> {
        self.records += 1;
        let origin = match (record.segment_kind, snapshot_lsn) {
            (SegmentKind::Cold, _) => ReplayOrigin::Cold,
            (SegmentKind::Journal, Some(lsn)) if record.lsn <= lsn => ReplayOrigin::BeforeSnapshot,
            (SegmentKind::Journal, _) => ReplayOrigin::AfterSnapshot,
        };
        if origin == ReplayOrigin::AfterSnapshot {
            self.clean = false;
        }
        if record.kind == START_RECORD {
            return Ok(());
        }
        if record.kind != CATALOG_RECORD {
            return self
                .engine
                .replay_front(
                    origin,
                    record.kind,
                    (place_of(record.position), record.len),
                    record.bytes,
                )
                .map_err(|error| format!("the record at {}: {error}", record.position));
        }
        if origin == ReplayOrigin::AfterSnapshot {
            let change: Change = serde_json::from_slice(record.bytes)
                .map_err(|error| format!("the record at {}: {error}", record.position))?;
            self.catalog.get_or_insert_default().apply(&change);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::segment_bytes;

    #[test]
    fn segments_are_small_on_small_disks() {
        let nominal = 64 << 20;
        assert_eq!(segment_bytes(nominal, 1 << 40), nominal);
        assert_eq!(segment_bytes(nominal, 2 << 30), nominal);
        assert_eq!(segment_bytes(nominal, (2 << 30) - 1), nominal / 2);
        assert_eq!(segment_bytes(nominal, 96 << 20), 2 << 20);
        assert_eq!(segment_bytes(nominal, 0), 1 << 20);
        assert_eq!(segment_bytes(4096, 1 << 40), 4096);
    }
}
