//! The journal: whatever became of a folder's files, opening it ends without a panic, and shows no record that was not
//! written. A crash loses nothing that was acknowledged; one damaged byte behind a mark is refused or costs nothing; what was
//! opened once opens again with the same records.
//!
//! `actions of a journal's user, until 255 | how it ends | damage to the files`
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use polybus_fuzz::Script;
use polybus_journal::{
    CrashMode, Durability, Io, Journal, Lsn, MemoryIo, Opened, Options, SealedFrame, SegmentKind,
};

/// Files stay small, so that a run is quick.
const FILE_BYTES_MAX: usize = 256 << 10;
const RECORDS_MAX: u64 = 400;

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let mut world = World::new(&mut script);
    world.act(&mut script);
    world.crash(&mut script);
    let damage = world.damage(&mut script);
    world.check(damage);
});

/// What was done to the files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Damage {
    None,
    OneByte,
    More,
    /// With checksums made right: then anything may be shown.
    Forged,
}

struct World {
    disk: MemoryIo,
    options: Options,
    opened: Option<Opened>,
    waiting: Vec<SealedFrame>,
    next: u64,
    /// What is in the journal: number, LSN, segment.
    appended: Vec<(u64, u64, u32)>,
    /// What must be there after any crash.
    acknowledged: Vec<(u64, u32)>,
    /// Copies in cold segments.
    cold: BTreeMap<u32, Vec<u64>>,
    is_marked: bool,
    /// A sync of the disk fails, or has failed.
    has_failing_sync: bool,
}

fn payload(number: u64) -> Vec<u8> {
    let len = match number % 7 {
        0 => 0,
        1 => 3_000 + number as usize % 5_000,
        _ => number as usize % 200,
    };
    (0..len)
        .map(|at| (number as usize * 31 + at * 7) as u8)
        .collect()
}

impl World {
    fn new(script: &mut Script<'_>) -> Self {
        let mode = script.u8();
        let options = Options {
            durability: match mode % 4 {
                0 => Durability::Interval,
                1 => Durability::None,
                _ => Durability::Fsync,
            },
            segment_bytes: 16 << 10 << (mode >> 2 & 1),
            frame_bytes_max: 8 << 10,
            shared_bytes_min: 1 << 10,
            spare_segments: usize::from(mode >> 3 & 1),
            // As a broker has it: the cache still shows what a failed sync has lost.
            uncached_recovery: true,
            seed: Some(u64::from(mode)),
        };
        let disk = MemoryIo::new();
        let opened = Journal::open(Arc::new(disk.clone()), options.clone());
        let opened = opened.expect("an empty folder opens");
        opened.recovery.accept().expect("an empty folder opens");
        Self {
            disk,
            options,
            opened: Some(opened),
            waiting: Vec::new(),
            next: 0,
            appended: Vec::new(),
            acknowledged: Vec::new(),
            cold: BTreeMap::new(),
            is_marked: false,
            has_failing_sync: false,
        }
    }

    /// Works as a broker does, on a disk that may fail.
    fn act(&mut self, script: &mut Script<'_>) {
        while !script.is_over() {
            match script.u8() {
                255 => return,
                0..100 => {
                    self.append(script.u8() % 8);
                    self.write(false);
                }
                100..140 => self.append(script.u8() % 8),
                140..150 => self.seal(),
                150..160 => self.write(false),
                160..170 => self.write(true),
                170..190 => self.mark(),
                190..200 => {
                    if let Some(opened) = &self.opened {
                        let _ = opened.writer.sync();
                    }
                    self.note();
                }
                200..210 => self.snapshot(script.u8()),
                210..220 => self.release(),
                220..230 => self.copy(script.u8()),
                230..235 => drop(self.opened.as_ref().map(|o| o.writer.prepare_spare())),
                235..240 => {
                    self.disk.fail_sync(script.u8().into());
                    self.has_failing_sync = true;
                }
                240..245 => self.disk.lose_power(script.u8().into()),
                245..250 => {
                    let room = 40_000 + 1_000 * u64::from(script.u8());
                    self.disk.set_capacity(Some(room));
                }
                _ => self.reopen(script),
            }
        }
    }

    fn append(&mut self, count: u8) {
        let Some(opened) = &mut self.opened else {
            return;
        };
        opened.appender.begin();
        for _ in 0..count {
            let number = self.next;
            if number >= RECORDS_MAX {
                return;
            }
            let bytes = payload(number);
            let (first, rest) = bytes.split_at(bytes.len() / 3);
            let shared = (number % 2 == 0).then(|| rest.to_vec().into());
            let parts = [first, if shared.is_some() { &[] } else { rest }];
            let kind = number as u8;
            if let Ok(at) = opened
                .appender
                .append(kind, number, !number, &parts, shared)
            {
                self.appended.push((number, at.lsn.0, at.position.segment));
                self.next += 1;
            }
        }
        self.is_marked = false;
    }

    fn seal(&mut self) {
        let frame = self.opened.as_mut().and_then(|o| o.appender.seal());
        self.waiting.extend(frame);
    }

    fn write(&mut self, last_first: bool) {
        while let Some(frame) = self.opened.as_mut().and_then(|o| o.appender.seal()) {
            self.waiting.push(frame);
        }
        if last_first {
            self.waiting.reverse();
        }
        for frame in self.waiting.drain(..) {
            if let Some(opened) = &self.opened {
                let _ = opened.writer.write(frame);
            }
        }
        self.note();
    }

    fn mark(&mut self) {
        self.write(false);
        let Some(opened) = &mut self.opened else {
            return;
        };
        let mark = opened.appender.seal_mark();
        self.is_marked = opened.writer.write(mark).is_ok()
            && self.options.durability == Durability::Fsync
            && opened.writer.durable_lsn().0 + 1 == opened.appender.next_lsn().0;
    }

    /// Notes what the journal has acknowledged.
    fn note(&mut self) {
        let Some(opened) = &self.opened else { return };
        let durable = opened.writer.durable_lsn().0;
        let (done, rest) = self
            .appended
            .iter()
            .partition(|(_, lsn, _)| *lsn <= durable);
        self.appended = rest;
        let done: Vec<(u64, u64, u32)> = done;
        self.acknowledged
            .extend(done.iter().map(|(number, _, segment)| (*number, *segment)));
    }

    fn snapshot(&mut self, len: u8) {
        if let Some(opened) = &self.opened {
            let durable = opened.writer.durable_lsn();
            let bytes = vec![len; len.into()];
            let _ = opened
                .writer
                .write_snapshot(durable, |to| to.write_all(&bytes));
        }
    }

    fn release(&mut self) {
        let Some(opened) = &self.opened else { return };
        let segments = opened.writer.segments();
        let oldest = segments.iter().find(|s| s.kind == SegmentKind::Journal);
        if let Some(oldest) = oldest {
            // The manifest may have come to the disk even if it was not told.
            let _ = opened.writer.release(oldest.number);
            self.forget(oldest.number);
        }
    }

    fn forget(&mut self, segment: u32) {
        self.acknowledged.retain(|(_, at)| *at != segment);
        self.appended.retain(|(_, _, at)| *at != segment);
    }

    /// Copies what is in the oldest segment to a cold one, which takes its place.
    fn copy(&mut self, keep: u8) {
        let Some(opened) = &self.opened else { return };
        let segments = opened.writer.segments();
        let Some(oldest) = segments.iter().find(|s| s.kind == SegmentKind::Journal) else {
            return;
        };
        let (Ok(mut cold), Ok(mut scan)) = (
            opened.writer.cold_writer(),
            opened.reader.scan(oldest.number),
        ) else {
            return;
        };
        let mut copied = Vec::new();
        let mut segment = 0;
        while let Ok(Some(record)) = scan.next() {
            if record.entity as u8 & keep == 0 {
                let (entity, sequence) = (record.entity, record.sequence);
                let Ok(at) = cold.append(record.kind, entity, sequence, &[record.payload]) else {
                    return;
                };
                segment = at.segment;
                copied.push(entity);
            }
        }
        let number = oldest.number;
        if cold.finish_and_release(&[number]).is_ok() {
            self.cold.insert(segment, copied);
        }
        self.forget(number);
    }

    fn reopen(&mut self, script: &mut Script<'_>) {
        self.crash(script);
        let opened = Journal::open(Arc::new(self.disk.clone()), self.options.clone());
        let accepted = opened.and_then(|opened| opened.recovery.accept().map(|()| opened));
        match accepted {
            Ok(opened) => self.opened = Some(opened),
            // Only a full disk may keep it from opening.
            Err(error) => {
                assert!(error.is_no_space(), "not opened after a crash: {error}");
                self.opened = None;
            }
        }
    }

    fn crash(&mut self, script: &mut Script<'_>) {
        self.note();
        let how = script.u8();
        if let Some(opened) = self.opened.take()
            && how & 128 == 128
        {
            let _ = opened.writer.close();
        }
        self.waiting.clear();
        let mode = match how % 3 {
            0 => CrashMode::Process,
            1 => CrashMode::LoseUnsynced,
            _ => CrashMode::Tear,
        };
        let may_lose = mode != CrashMode::Process || self.has_failing_sync;
        if may_lose && self.options.durability == Durability::None {
            // It promises nothing then: a sync that fails takes what it was to bring to the disk.
            self.acknowledged.clear();
        }
        // What was not acknowledged may be there all the same.
        self.appended.clear();
        self.disk.crash(mode, u64::from(how) / 3);
    }

    fn damage(&mut self, script: &mut Script<'_>) -> Damage {
        let mut damage = Damage::None;
        self.disk.set_capacity(None);
        while !script.is_over() {
            let what = script.u8();
            let names = self.disk.list().expect("the disk lists its files");
            let Some(name) = names.get(usize::from(script.u8()) % names.len().max(1)) else {
                return Damage::More;
            };
            let Ok(mut bytes) = self.disk.contents(name) else {
                return Damage::More;
            };
            let at = script.u32() as usize % bytes.len().max(1);
            damage = match damage {
                Damage::None if what % 8 == 0 => Damage::OneByte,
                Damage::Forged => Damage::Forged,
                _ => Damage::More,
            };
            match what % 8 {
                0 => match script.u8() {
                    0 => {}
                    mask => drop(bytes.get_mut(at).map(|byte| *byte ^= mask)),
                },
                1 => bytes.truncate(at),
                2 => {
                    let len =
                        bytes.len().min(FILE_BYTES_MAX - 9_000) + usize::from(script.u8()) * 32;
                    bytes.resize(len, 0);
                }
                3 => {
                    // A block from elsewhere, as a misplaced write leaves it.
                    let from = usize::from(script.u8()) * 4096 % bytes.len().max(1);
                    let block: Vec<u8> = bytes.iter().skip(from).take(4096).copied().collect();
                    let at = at & !4095;
                    let end = (at + block.len()).min(bytes.len());
                    bytes[at..end].copy_from_slice(&block[..end - at]);
                }
                4 => {
                    let with = script.bytes(usize::from(what >> 3) + 1);
                    let end = (at + with.len()).min(bytes.len());
                    bytes[at..end].copy_from_slice(&with[..end - at]);
                }
                5 => {
                    let len = usize::from(script.u16()) % 512;
                    let with = script.bytes(len);
                    bytes = with.to_vec();
                }
                6 => {
                    let _ = self.disk.remove(name);
                    let _ = self.disk.sync_folder();
                    continue;
                }
                _ => {
                    let with = script.bytes(usize::from(what >> 3) + 1);
                    forge(name, &mut bytes, at, with);
                    damage = Damage::Forged;
                }
            }
            self.disk.replace(name, bytes);
        }
        damage
    }

    fn check(&self, damage: Damage) {
        let first = match open(&self.disk, &self.options) {
            Ok(first) => first,
            Err(error) => {
                assert!(damage != Damage::None, "not opened after a crash: {error}");
                return;
            }
        };
        self.check_records(&first, damage);
        // What it was once, it stays.
        self.disk.crash(CrashMode::LoseUnsynced, 0);
        match open(&self.disk, &self.options) {
            Ok(second) => assert_eq!(second, first),
            Err(error) if damage == Damage::Forged => drop(error),
            Err(error) => panic!("it opened once and not again: {error}"),
        }
    }

    fn check_records(&self, shown: &[Shown], damage: Damage) {
        if damage == Damage::Forged {
            return;
        }
        let mut last = None;
        let mut seen = vec![0_u8; self.next as usize];
        for record in shown {
            let number = record.number;
            assert!(number < self.next, "a record that was never written");
            assert_eq!(record.kind, number as u8);
            assert_eq!(record.sequence, !number);
            assert_eq!(record.payload, payload(number), "record {number}");
            if record.segment_kind == SegmentKind::Journal {
                assert!(last.is_none_or(|last| last + 1 == record.lsn.0), "a gap");
                last = Some(record.lsn.0);
                seen[number as usize] += 1;
                assert!(seen[number as usize] == 1, "record {number} twice");
            }
        }
        let intact = match damage {
            Damage::None => true,
            Damage::OneByte => self.is_marked,
            _ => false,
        };
        if intact {
            for (number, _) in &self.acknowledged {
                assert!(seen[*number as usize] == 1, "record {number} is lost");
            }
            for copied in self.cold.values() {
                for number in copied {
                    let there = |record: &&Shown| {
                        record.number == *number && record.segment_kind == SegmentKind::Cold
                    };
                    assert!(
                        shown.iter().any(|record| there(&record)),
                        "copy of {number} lost"
                    );
                }
            }
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
struct Shown {
    segment_kind: SegmentKind,
    lsn: Lsn,
    kind: u8,
    number: u64,
    sequence: u64,
    payload: Vec<u8>,
}

/// Opens, replays, reads each record by its place, and accepts.
fn open(disk: &MemoryIo, options: &Options) -> polybus_journal::Result<Vec<Shown>> {
    let opened = Journal::open(Arc::new(disk.clone()), options.clone())?;
    let mut shown = Vec::new();
    let mut places = Vec::new();
    opened.recovery.replay(|record| {
        places.push((record.position, record.payload.len() as u32));
        shown.push(Shown {
            segment_kind: record.segment_kind,
            lsn: record.lsn,
            kind: record.kind,
            number: record.entity,
            sequence: record.sequence,
            payload: record.payload.to_vec(),
        });
    })?;
    for ((position, len), shown) in places.iter().zip(&shown) {
        // A record's own checksum may be damaged where its frame's is forged.
        if let Ok(payload) = opened.reader.read(*position, *len) {
            assert_eq!(payload, shown.payload);
        }
    }
    opened.recovery.accept()?;
    Ok(shown)
}

/// Changes bytes of a file and makes its checksums right, as no decay does: nothing may be trusted all the same.
fn forge(name: &str, bytes: &mut [u8], at: usize, with: &[u8]) {
    let seed = |nonce: u64, offset: u64| {
        let mut z = nonce ^ offset.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    };
    let put = |bytes: &mut [u8], at: usize, with: &[u8]| {
        let end = (at + with.len()).min(bytes.len());
        bytes[at.min(end)..end].copy_from_slice(&with[..end.saturating_sub(at)]);
    };
    match name {
        "MANIFEST" | "SNAPSHOT" => {
            let start = if name == "MANIFEST" {
                0x6d61_6e69
            } else {
                0x736e_6170
            };
            put(bytes, at, with);
            if let Some((covered, crc)) = bytes.split_last_chunk_mut::<4>() {
                *crc = crc32c::crc32c_append(start, covered).to_le_bytes();
            }
        }
        _ => {
            let Some(nonce) = bytes.get(16..24).and_then(|b| b.try_into().ok()) else {
                return;
            };
            let nonce = u64::from_le_bytes(nonce);
            // In a header most of the time: that is where the numbers are.
            let frame = at & !4095;
            let at = frame + at % 4096 % 128;
            put(bytes, at, with);
            if frame == 0 {
                let crc = bytes
                    .get(..52)
                    .map(|b| crc32c::crc32c_append(seed(nonce, 0), b));
                if let Some(crc) = crc {
                    put(bytes, 52, &crc.to_le_bytes());
                }
                return;
            }
            let offset = frame as u64;
            let body = bytes
                .get(frame + 44..frame + 48)
                .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
            if let Some(body) = bytes.get(frame + 72..frame.saturating_add(72).saturating_add(body))
            {
                let crc = crc32c::crc32c_append(seed(nonce, offset), body);
                put(bytes, frame + 60, &crc.to_le_bytes());
            }
            if let Some(head) = bytes.get(frame..frame + 68) {
                let crc = crc32c::crc32c_append(seed(nonce, offset), head);
                put(bytes, frame + 68, &crc.to_le_bytes());
            }
        }
    }
}
