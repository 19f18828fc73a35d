//! Record batches: what they say of themselves is checked, what is sent anew stays sound, their records are read again.

use std::io::Write;

use bytes::Bytes;
use polybus_session::Outbound;
use proptest::prelude::*;

use super::super::batch::Making;
use super::super::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchError, BatchHeader, Batches, CodecError, Compression,
    Marker, RecordHeader, Records, SentBatch, read_records, rewrite,
};

const LIMIT: usize = 1024 * 1024;

/// A batch of these values, each with a key and a header.
fn batch(values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for (at, value) in values.iter().enumerate() {
        let header = RecordHeader {
            name: "h",
            value: Some(value),
        };
        builder.push(
            1_000 + at as i64,
            Some(b"key"),
            Some(value),
            [header].into_iter(),
        );
    }
    builder.finish(0, -1).unwrap()
}

/// The batch with a field changed and its CRC made right.
fn with(batch: &Bytes, at: usize, field: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + field.len()].copy_from_slice(field);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[test]
fn a_sound_batch() {
    let batch = batch(&[b"a", b"bc", b""]);
    let header = BatchHeader::parse(&batch).unwrap();
    assert_eq!(header.len_bytes, batch.len());
    assert_eq!((header.record_count, header.offsets()), (3, 3));
    assert_eq!(
        (header.base_timestamp, header.max_timestamp),
        (1_000, 1_002)
    );
    assert_eq!((header.producer_id, header.base_sequence), (-1, -1));
    assert!(!header.is_control() && !header.is_transactional() && !header.is_stamped());
}

#[test]
fn several_batches_are_split() {
    let (first, second) = (batch(&[b"a"]), batch(&[b"b", b"c"]));
    let both = Bytes::from([&first[..], &second[..]].concat());
    let split: Vec<_> = Batches::new(both).map(|batch| batch.unwrap().1).collect();
    assert_eq!(split, [first.clone(), second.clone()]);
    // The second one is cut: the first stands, and then it ends.
    let cut = Bytes::from([&first[..], &second[..second.len() - 1]].concat());
    let split: Vec<_> = Batches::new(cut).collect();
    assert_eq!(split.len(), 2);
    assert!(split[0].is_ok());
    assert!(matches!(split[1], Err(BatchError::Length(_))));
}

#[test]
fn batches_that_lie() {
    let batch = batch(&[b"a", b"b"]);
    let parse = |bytes: &[u8]| BatchHeader::parse(bytes).map(|_| ()).unwrap_err();
    for cut in 0..batch.len() {
        assert!(
            matches!(parse(&batch[..cut]), BatchError::Length(_)),
            "{cut}"
        );
    }
    for at in 21..batch.len() {
        let mut bytes = batch.to_vec();
        bytes[at] ^= 4;
        let error = parse(&bytes);
        assert!(matches!(error, BatchError::Crc { .. }) && error.is_damage());
    }
    assert_eq!(parse(&with(&batch, 16, &[1])), BatchError::Magic(1));
    let length = |length: i32| parse(&with(&batch, 8, &length.to_be_bytes()));
    assert_eq!(length(48), BatchError::Length(48));
    assert_eq!(length(-1), BatchError::Length(-1));
    assert_eq!(length(i32::MAX), BatchError::Length(i32::MAX));
    let counts = |last: i32, count: i32| {
        let last = with(&batch, 23, &last.to_be_bytes());
        let batch = with(&last, 57, &count.to_be_bytes());
        Batches::new(batch).next().unwrap().unwrap_err()
    };
    for (last, count) in [(1, 1), (-1, 0), (i32::MAX, i32::MIN), (2, 2), (999, 1_000)] {
        assert!(
            matches!(counts(last, count), BatchError::Count { .. }),
            "{last} {count}"
        );
    }
    assert_eq!(
        parse(&with(&batch, 21, &[0, 5])),
        BatchError::Compression(5)
    );
    assert_eq!(parse(&with(&batch, 21, &[0, 16])), BatchError::Producer);
    assert_eq!(parse(&with(&batch, 43, &[0; 8])), BatchError::Producer);
}

#[test]
fn control_batches_are_not_taken_from_producers() {
    let marker = Marker {
        offset: 7,
        leader_epoch: 3,
        producer_id: 42,
        producer_epoch: 1,
        committed: true,
        timestamp: 1_234,
    };
    let batch = marker.to_batch();
    let header = BatchHeader::parse(&batch).unwrap();
    assert!(header.is_control() && header.is_transactional());
    assert_eq!(
        (header.base_offset, header.producer_id, header.record_count),
        (7, 42, 1)
    );
    let records = read_records(&header, &batch, LIMIT).unwrap();
    let record = Records::new(&header, &records).next().unwrap().unwrap();
    assert_eq!(record.offset, 7);
    assert_eq!(record.key, Some(&[0, 0, 0, 1][..]));
    assert_eq!(record.value, Some(&[0; 6][..]));
    let taken: Vec<_> = Batches::new(batch).collect();
    assert_eq!(taken, [Err(BatchError::Control)]);
}

pub(super) fn outbound_bytes(out: &mut Outbound) -> Vec<u8> {
    let mut all = Vec::new();
    while !out.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        let filled = out.slices(&mut slices);
        let part: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
        out.advance(part.len());
        all.extend_from_slice(&part);
    }
    all
}

#[test]
fn a_batch_is_sent_with_its_place() {
    let large = vec![7u8; 10_000];
    for batch in [batch(&[b"a", b"b"]), batch(&[&large, b"c"])] {
        for stamped in [None, Some(99_999)] {
            let sent = SentBatch {
                bytes: batch.clone(),
                base_offset: 123_456,
                leader_epoch: 4,
                stamped,
            };
            let mut out = Outbound::new();
            sent.write(&mut out);
            let written = outbound_bytes(&mut out);
            assert_eq!(written, sent.to_bytes());
            // Its CRC still holds.
            let header = BatchHeader::parse(&written).unwrap();
            assert_eq!((header.base_offset, header.leader_epoch), (123_456, 4));
            assert_eq!(header.is_stamped(), stamped.is_some());
            let records = read_records(&header, &written.into(), LIMIT).unwrap();
            let times: Vec<_> = Records::new(&header, &records)
                .map(|record| record.unwrap().timestamp)
                .collect();
            let expected = stamped.map_or(vec![1_000, 1_001], |time| vec![time, time]);
            assert_eq!(times, expected);
        }
    }
}

fn compressed(compression: Compression, plain: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        Compression::Lz4 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        }
        Compression::Zstd => {
            ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
        }
    }
}

const COMPRESSIONS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

#[test]
fn compressed_records_are_read() {
    let plain = batch(&[b"one", b"two", &[b'x'; 5_000]]);
    let records = &plain[BATCH_HEADER_BYTES..];
    for (number, compression) in COMPRESSIONS.into_iter().enumerate() {
        assert_eq!(Compression::from_number(number as u8), Some(compression));
        let batch = Making {
            base_offset: 10,
            leader_epoch: 0,
            attributes: number as i16,
            base_timestamp: 1_000,
            max_timestamp: 1_002,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            last_offset_delta: 2,
            record_count: 3,
        }
        .finish(&compressed(compression, records));
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.compression, compression);
        let read = read_records(&header, &batch, LIMIT).unwrap();
        assert_eq!(read, records);
        let all: Vec<_> = Records::new(&header, &read).map(Result::unwrap).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[1].value, Some(&b"two"[..]));
        assert_eq!((all[2].offset, all[2].timestamp), (12, 1_002));
        let names: Vec<_> = all[0].headers.clone().map(|header| header.name).collect();
        assert_eq!(names, ["h"]);
    }
}

#[test]
fn snappy_as_java_frames_it() {
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for part in [&b"hello "[..], b"world"] {
        let block = compressed(Compression::Snappy, part);
        framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        framed.extend_from_slice(&block);
    }
    let read = |bytes: &[u8]| Compression::Snappy.decompress(&Bytes::copy_from_slice(bytes), LIMIT);
    assert_eq!(read(&framed), Ok(Bytes::from_static(b"hello world")));
    for cut in 17..framed.len() {
        if let Ok(plain) = read(&framed[..cut]) {
            assert_eq!(plain, "hello ", "cut between the blocks");
        }
    }
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; LIMIT + 1];
    for compression in COMPRESSIONS {
        let bomb = Bytes::from(compressed(compression, &zeros));
        let read = compression.decompress(&bomb, LIMIT);
        assert_eq!(read, Err(CodecError::TooMuch), "{compression:?}");
        assert!(
            compression.decompress(&bomb, LIMIT + 1).is_ok(),
            "{compression:?}"
        );
    }
    // Five bytes that say they hold a gigabyte.
    let snappy = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x04, 0]);
    let read = Compression::Snappy.decompress(&snappy, usize::MAX);
    assert_eq!(read, Err(CodecError::Compressed));
    // A zstd frame that wants to look back two gigabytes.
    let zstd = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0]);
    let read = Compression::Zstd.decompress(&zstd, LIMIT);
    assert_eq!(read, Err(CodecError::Compressed));
}

#[test]
fn records_that_lie() {
    let plain = batch(&[b"one", b"two"]);
    let header = BatchHeader::parse(&plain).unwrap();
    let records = plain.slice(BATCH_HEADER_BYTES..);
    for cut in 0..records.len() {
        let cut = records.slice(..cut);
        assert!(Records::new(&header, &cut).any(|record| record.is_err()));
    }
    // A length of -1, a header count of two thousand million, a key longer than its record.
    for lie in [
        &[1][..],
        &[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f],
        &[12, 0, 0, 0, 80, 1, 0],
    ] {
        let lie = Bytes::copy_from_slice(lie);
        let read: Vec<_> = Records::new(&header, &lie).collect();
        assert_eq!(read.len(), 1);
        assert!(read[0].is_err());
    }
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_made(
        made in prop::collection::vec(
            (any::<i64>(), any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>(),
             prop::collection::vec((".{0,4}", any::<Option<Vec<u8>>>()), 0..3)), 1..5),
        base_offset in 0..i64::MAX / 2, stamped: Option<i64>,
    ) {
        let mut builder = BatchBuilder::new();
        for (time, key, value, headers) in &made {
            let headers = headers.iter().map(|(name, value)| RecordHeader { name, value: value.as_deref() });
            builder.push(*time, key.as_deref(), value.as_deref(), headers);
        }
        let bytes = builder.finish(0, 0).unwrap();
        let batch = SentBatch { bytes, base_offset, leader_epoch: 1, stamped }.to_bytes();
        let header = BatchHeader::parse(&batch).unwrap();
        let records = read_records(&header, &batch, usize::MAX).unwrap();
        let read: Result<Vec<_>, _> = Records::new(&header, &records).collect();
        let read = read.unwrap();
        prop_assert_eq!(read.len(), made.len());
        for (at, (record, (time, key, value, headers))) in read.iter().zip(&made).enumerate() {
            prop_assert_eq!(record.offset, base_offset + at as i64);
            prop_assert_eq!(record.timestamp, stamped.unwrap_or(*time));
            prop_assert_eq!(record.key, key.as_deref());
            prop_assert_eq!(record.value, value.as_deref());
            let read: Vec<_> = record.headers.clone().map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&read, headers);
        }
    }

    #[test]
    fn random_bytes_are_no_records(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let header = BatchHeader { record_count: i32::MAX, ..BatchHeader::parse(&batch(&[b"a"])).unwrap() };
        let bytes = Bytes::from(bytes);
        let _ = BatchHeader::parse(&bytes);
        let _ = Records::new(&header, &bytes).count();
        for compression in COMPRESSIONS {
            if let Ok(plain) = compression.decompress(&bytes, LIMIT) {
                prop_assert!(plain.len() <= LIMIT);
            }
        }
    }

    #[test]
    fn damaged_compressions(values in prop::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0..8) {
        for compression in COMPRESSIONS {
            let mut bytes = compressed(compression, &values);
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            let _ = compression.decompress(&bytes.into(), LIMIT);
        }
    }
}

#[test]
fn no_records_make_no_batch() {
    assert_eq!(BatchBuilder::new().finish(0, 0), None);
}

#[test]
fn what_is_left_of_a_batch_keeps_its_offsets_producer_and_codec() {
    let plain = batch(&[b"one", b"two", &[b'x'; 50_000], b"four"]);
    let records = &plain[BATCH_HEADER_BYTES..];
    for (number, compression) in COMPRESSIONS.into_iter().enumerate() {
        let stored = Making {
            base_offset: 10,
            leader_epoch: 3,
            attributes: number as i16,
            base_timestamp: 1_000,
            max_timestamp: 1_003,
            producer_id: 7,
            producer_epoch: 1,
            base_sequence: 40,
            last_offset_delta: 3,
            record_count: 4,
        }
        .finish(&compressed(compression, records));
        let mut keep = |position: u32| position.is_multiple_of(2);
        let left = rewrite(&stored, &mut keep, None, LIMIT).unwrap();
        let header = BatchHeader::parse(&left.bytes).unwrap();
        assert_eq!((header.record_count, header.last_offset_delta), (2, 3));
        assert_eq!((header.producer_id, header.base_sequence), (7, 40));
        assert_eq!(
            (header.compression, header.max_timestamp),
            (compression, 1_002)
        );
        assert!(header.horizon().is_none());
        // Once more, with the time from which on tombstones may go.
        let mut keep = |position: u32| position == 2;
        let left = rewrite(&left.bytes, &mut keep, Some(99_000), LIMIT).unwrap();
        let header = BatchHeader::parse(&left.bytes).unwrap();
        assert_eq!(
            (header.horizon(), header.max_timestamp),
            (Some(99_000), 1_002)
        );
        let read = read_records(&header, &left.bytes, LIMIT).unwrap();
        let all: Vec<_> = Records::new(&header, &read).map(Result::unwrap).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].offset, all[0].timestamp), (12, 1_002));
        assert_eq!(all[0].value.map(<[u8]>::len), Some(50_000));
        assert!(rewrite(&left.bytes, &mut |_| false, None, LIMIT).is_none());
    }
}

#[test]
fn a_batch_with_gaps_is_no_producers() {
    let left = rewrite(&batch(&[b"a", b"b", b"c"]), &mut |at| at != 1, None, LIMIT).unwrap();
    assert!(BatchHeader::parse(&left.bytes).is_ok());
    let taken = Batches::new(left.bytes).next();
    assert!(matches!(taken, Some(Err(BatchError::Count { .. }))));
}

#[test]
fn a_batch_with_another_number_of_records_than_it_says_is_left_alone() {
    let sound = batch(&[b"a", b"b"]);
    let making = |record_count| {
        let records = &sound[BATCH_HEADER_BYTES..];
        Making {
            base_offset: 0,
            leader_epoch: 0,
            attributes: 0,
            base_timestamp: 1_000,
            max_timestamp: 1_001,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            last_offset_delta: record_count - 1,
            record_count,
        }
        .finish(records)
    };
    for count in [1, 3] {
        let stored = making(count);
        assert!(
            (crate::COMPACTOR.read)(&stored, &mut |_| ()).is_none(),
            "{count}"
        );
        assert!(rewrite(&stored, &mut |_| true, None, LIMIT).is_none());
    }
    assert!((crate::COMPACTOR.read)(&making(2), &mut |_| ()).is_some());
}
