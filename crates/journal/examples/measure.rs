//! Measures the journal on a real disk: group commits, records, reads and recovery.
//!
//! `cargo run --release -p polybus-journal --example measure -- [folder] [seconds per row]`
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A tool for the command line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use polybus_journal::{Durability, FileIo, Journal, Lsn, MemoryIo, Opened, Options};

/// Where one measurement runs, and for how long.
struct Row<'a> {
    folder: &'a str,
    durability: Durability,
    threads: usize,
    group: u64,
    payload_bytes: usize,
    duration: Duration,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .unwrap_or_else(|| "target/journal-measure".to_owned());
    let seconds = arguments.next().and_then(|s| s.parse().ok()).unwrap_or(2.0);
    let duration = Duration::from_secs_f64(seconds);
    append_only();
    for (durability, threads, group, payload_bytes) in [
        (Durability::Fsync, 1, 1, 128),
        (Durability::Fsync, 2, 1, 128),
        (Durability::Fsync, 4, 1, 128),
        (Durability::Fsync, 4, 100, 128),
        (Durability::Fsync, 4, 1000, 128),
        (Durability::Fsync, 4, 100, 1024),
        (Durability::None, 2, 1000, 128),
    ] {
        commits(&Row {
            folder: &folder,
            durability,
            threads,
            group,
            payload_bytes,
            duration,
        });
    }
    recovery(&folder);
}

/// What the shard's lock would cover: no disk, no checksum.
fn append_only() {
    let mut opened = Journal::open(Arc::new(MemoryIo::new()), Options::default()).unwrap();
    let payload = [7; 128];
    let started = Instant::now();
    let records = 4_000_000;
    let mut sealed = 0;
    for n in 0..records {
        if n % 100 == 0 {
            opened.appender.begin();
            while opened.appender.pending() > 1 << 20 {
                sealed += opened.appender.seal().map_or(0, |frame| frame.bytes());
            }
        }
        let _ = opened.appender.append(1, n, n, &[&payload], None).unwrap();
    }
    let nanos = started.elapsed().as_nanos() as f64 / records as f64;
    println!("append only, 128 B: {nanos:.1} ns a record ({sealed} bytes sealed)");
}

fn commits(row: &Row<'_>) {
    let _ = std::fs::remove_dir_all(row.folder);
    let options = Options {
        durability: row.durability,
        spare_segments: 8,
        ..Options::default()
    };
    let Opened {
        appender,
        writer,
        recovery,
        ..
    } = Journal::open(Arc::new(FileIo::new(row.folder).unwrap()), options).unwrap();
    recovery.accept().unwrap();
    while writer.prepare_spare().unwrap() {}
    let appender = Mutex::new(appender);
    let commits = AtomicU64::new(0);
    let nanos = Mutex::new(Vec::new());
    let payload = vec![7; row.payload_bytes];
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..row.threads {
            scope.spawn(|| {
                let mut mine = Vec::new();
                while started.elapsed() < row.duration {
                    let began = Instant::now();
                    let frame = {
                        let mut appender = appender.lock().unwrap();
                        appender.begin();
                        for n in 0..row.group {
                            appender.append(1, n, n, &[&payload], None).unwrap();
                        }
                        appender.seal().unwrap()
                    };
                    writer.write(frame).unwrap();
                    mine.push(began.elapsed().as_nanos() as u64);
                    commits.fetch_add(1, Ordering::Relaxed);
                }
                nanos.lock().unwrap().extend(mine);
            });
        }
    });
    let elapsed = started.elapsed().as_secs_f64();
    let commits = commits.load(Ordering::Relaxed) as f64 / elapsed;
    let mut nanos = nanos.into_inner().unwrap();
    nanos.sort_unstable();
    let at = |part: f64| nanos[(nanos.len() as f64 * part) as usize] / 1000;
    println!(
        "{:?}, {} in flight, {} x {} B a group: {commits:.0} commits/s, {:.0} records/s, \
         p50 {} us, p99 {} us",
        row.durability,
        row.threads,
        row.group,
        row.payload_bytes,
        commits * row.group as f64,
        at(0.5),
        at(0.99),
    );
}

fn recovery(folder: &str) {
    let _ = std::fs::remove_dir_all(folder);
    let options = |uncached_recovery| Options {
        durability: Durability::None,
        uncached_recovery,
        ..Options::default()
    };
    let io = || Arc::new(FileIo::new(folder).unwrap());
    let mut opened = Journal::open(io(), options(true)).unwrap();
    let payload = [7; 100];
    let records = 8_000_000;
    let mut wanted = Vec::new();
    for n in 0..records {
        if n % 1000 == 0 {
            opened.appender.begin();
            while opened.appender.pending() > 1 << 20 {
                opened
                    .writer
                    .write(opened.appender.seal().unwrap())
                    .unwrap();
            }
        }
        let appended = opened.appender.append(1, n, n, &[&payload], None).unwrap();
        if n % 397 == 0 {
            wanted.push((appended.position, appended.len));
        }
    }
    while let Some(frame) = opened.appender.seal() {
        opened.writer.write(frame).unwrap();
    }
    let started = Instant::now();
    for (position, len) in &wanted {
        opened.reader.read(*position, *len).unwrap();
    }
    let micros = started.elapsed().as_micros() as f64 / wanted.len() as f64;
    println!("read, one by one, cached: {micros:.2} us a record");
    opened.writer.close().unwrap();
    drop(opened);
    for uncached in [true, false, false] {
        let started = Instant::now();
        let opened = Journal::open(io(), options(uncached)).unwrap();
        let opening = started.elapsed();
        let (mut seen, mut bytes) = (0_u64, 0);
        opened
            .recovery
            .replay(|record| {
                seen += 1;
                bytes += record.payload.len() + 26;
            })
            .unwrap();
        let seconds = started.elapsed().as_secs_f64();
        assert_eq!((seen, opened.recovery.last_lsn), (records, Lsn(records)));
        println!(
            "replay, uncached {uncached}: {:.1} M records/s, {:.2} GB/s (open {opening:?})",
            seen as f64 / seconds / 1e6,
            bytes as f64 / seconds / 1e9,
        );
    }
    let _ = std::fs::remove_dir_all(folder);
}
