//! Outlines: whatever became of one, a start ends without a panic and shows what it would show without; if its checksums
//! were made right, what it names lies in the segment all the same, and reading that is refused or right.
//!
//! `which outline u8 | edits, each: what u8, where u32, with what | 255: checksums are made right`
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use polybus_fuzz::Script;
use polybus_journal::{Error, Io, Journal, MemoryIo, Opened, Options, Position};

const VERSION: u32 = 1;
const KEPT: usize = 9;
const FILE_BYTES_MAX: usize = 64 << 10;

type Fronts = Vec<(u64, u8, u64, u32, Vec<u8>)>;

/// A folder with outlines, their names, and what a replay without them shows.
struct Base {
    disk: MemoryIo,
    names: Vec<String>,
    expected: Fronts,
}

static BASE: OnceLock<Base> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let base = BASE.get_or_init(base);
    let mut script = Script(data);
    let disk = base.disk.fork();
    let name = &base.names[usize::from(script.u8()) % base.names.len()];
    let mut bytes = disk.contents(name).expect("it is there");
    let mut is_forged = false;
    while !script.is_over() {
        let what = script.u8();
        let at = script.u32() as usize % bytes.len().max(1);
        match what {
            255 => is_forged = true,
            0..60 => drop(bytes.get_mut(at).map(|byte| *byte ^= script.u8())),
            60..80 => bytes.truncate(at),
            80..100 => bytes.resize((bytes.len() + at).min(FILE_BYTES_MAX), 0),
            100..160 => {
                let with = script.bytes(usize::from(what - 99));
                let end = (at + with.len()).min(bytes.len());
                bytes[at.min(end)..end].copy_from_slice(&with[..end.saturating_sub(at)]);
            }
            160..180 => {
                let other = &base.names[usize::from(what) % base.names.len()];
                bytes = disk.contents(other).expect("it is there");
            }
            _ => {
                // Inside the first block, where the fronts are.
                let with = script.bytes(usize::from(what - 180) % 12 + 1);
                let at = 64 + at % 200;
                let end = (at + with.len()).min(bytes.len());
                bytes[at.min(end)..end].copy_from_slice(&with[..end.saturating_sub(at)]);
            }
        }
    }
    if is_forged {
        forge(&mut bytes);
    }
    disk.replace(name, bytes);
    let opened = open(&disk);
    let shown = fronts(&opened);
    if !is_forged {
        assert_eq!(shown, base.expected);
        return;
    }
    for (_, _, place, len, _) in &shown {
        match opened.reader.read(Position::from_u64(*place), *len) {
            Ok(_) | Err(Error::Corrupt { .. } | Error::NoSuchRecord { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
});

fn open(disk: &MemoryIo) -> Opened {
    let options = Options {
        segment_bytes: 16 << 10,
        frame_bytes_max: 4 << 10,
        seed: Some(7),
        ..Options::default()
    };
    Journal::open(Arc::new(disk.clone()), options).expect("nothing but outlines is damaged")
}

fn fronts(opened: &Opened) -> Fronts {
    let mut fronts = Vec::new();
    let replayed = opened.recovery.replay_fronts(VERSION, |front| {
        let kept = front.bytes.get(..KEPT).unwrap_or(front.bytes).to_vec();
        let place = front.position.to_u64();
        fronts.push((front.lsn.0, front.kind, place, front.len, kept));
    });
    replayed.expect("segments are sound");
    fronts
}

fn base() -> Base {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    opened.recovery.accept().expect("an empty folder opens");
    for number in 0_u32..200 {
        let payload = vec![number as u8; 7 + number as usize * 37 % 900];
        opened.appender.begin();
        let taken = (opened.appender).append(number as u8, 1, 2, &[&payload], None);
        taken.expect("a sound disk");
        while let Some(frame) = opened.appender.seal() {
            opened.writer.write(frame).expect("a sound disk");
        }
    }
    let lsn = opened.writer.durable_lsn();
    let written = opened.writer.write_snapshot(lsn, |_| Ok(()));
    written.expect("a sound disk");
    let mut cold = opened.writer.cold_writer().expect("a sound disk");
    for number in 0_u8..60 {
        let copied = cold.append(number, 1, 2, &[&[number; 50]]);
        copied.expect("a sound disk");
    }
    cold.finish().expect("a sound disk");
    opened.writer.close().expect("a sound disk");
    drop(opened);
    let opened = open(&disk);
    let expected = fronts(&opened);
    opened.recovery.accept().expect("a sound disk");
    for segment in opened.writer.segments() {
        let front = |_: u8, payload: &[u8]| Some(KEPT.min(payload.len()));
        let written = (opened.writer).write_outline(segment.number, VERSION, front, || true);
        assert!(written.expect("a sound disk"));
    }
    drop(opened);
    let mut names = disk.list().expect("it lists its files");
    names.retain(|name| name.ends_with(".outline"));
    names.sort();
    Base {
        disk,
        names,
        expected,
    }
}

/// Makes the checksums of an outline right, as no decay does.
fn forge(bytes: &mut [u8]) {
    let mix = |value: u64| {
        let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let Some(nonce) = bytes.get(16..24).and_then(|b| b.try_into().ok()) else {
        return;
    };
    let nonce = mix(u64::from_le_bytes(nonce));
    let seed =
        |at: usize| (mix(nonce ^ (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 32) as u32;
    if let Some((head, rest)) = bytes.split_at_mut_checked(60)
        && let Some(crc) = rest.first_chunk_mut::<4>()
    {
        *crc = crc32c::crc32c_append(seed(0), head).to_le_bytes();
    }
    let mut at = 64;
    while let Some(block) = bytes.get_mut(at..)
        && let Some((header, rest)) = block.split_first_chunk_mut::<12>()
    {
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(body) = rest.get(..len) else {
            return;
        };
        let crc = crc32c::crc32c_append(seed(at), &header[..8]);
        let crc = crc32c::crc32c_append(crc, body);
        header[8..].copy_from_slice(&crc.to_le_bytes());
        at += 12 + len;
    }
}
