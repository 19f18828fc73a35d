//! AMQP 0-9-1: any bytes are read without a panic, the same however they are cut, and what was read is read again from what
//! is written of it.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use polybus_amqp091::codec::{
    CodecError, Frame, Frames, PropertiesRef, TableRef, encode_table, rewrite_headers, write_method,
};

const FRAME_MAX: u32 = 4096;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, input)) = data.split_first() else {
        return;
    };
    let mut whole = Vec::new();
    let error = read(input, &mut whole).err();
    for frame in &whole {
        check(frame);
    }
    let (before, _) = input.split_at(usize::from(cut).min(input.len()));
    let mut first = Vec::new();
    match read(before, &mut first) {
        Ok(consumed) => {
            let rest = input.get(consumed..).unwrap_or_default();
            assert_eq!(read(rest, &mut first).err(), error);
        }
        Err(early) => assert_eq!(Some(early), error),
    }
    assert_eq!(first, whole);
});

/// Reads all frames; gives how many octets they took.
fn read<'a>(input: &'a [u8], seen: &mut Vec<Frame<'a>>) -> Result<usize, CodecError> {
    let mut frames = Frames::new(input, FRAME_MAX);
    while let Some(frame) = frames.next_frame()? {
        seen.push(frame);
    }
    Ok(frames.consumed())
}

fn check(frame: &Frame<'_>) {
    match *frame {
        Frame::Method { channel, method } => {
            let mut out = BytesMut::new();
            write_method(&mut out, channel, &method);
            // What is written never has more octets than what was read, so it fits a frame too.
            assert_eq!(Frames::new(&out, FRAME_MAX).next_frame(), Ok(Some(*frame)));
        }
        Frame::Header { header, .. } => check_properties(header.properties),
        Frame::Body { bytes, .. } => check_table(TableRef::new(bytes)),
        Frame::Heartbeat { .. } => {}
    }
}

fn check_properties(raw: PropertiesRef<'_>) {
    let routing = raw.check();
    let mut out = BytesMut::new();
    let rewritten = rewrite_headers(raw, &mut out, |headers, writer| {
        for entry in headers.entries() {
            writer.raw_entry(&entry);
        }
    });
    if let Ok(routing) = routing {
        rewritten.expect("checked properties can be rewritten");
        assert_eq!(out, raw.as_bytes());
        let fields = raw.fields().expect("checked properties have fields");
        assert_eq!(fields.headers, routing.headers);
        assert_eq!(raw.headers(), routing.headers);
        out.clear();
        fields.encode(&mut out);
        assert_eq!(out, raw.as_bytes());
    }
    if let Some(headers) = raw.headers() {
        check_table(headers);
    }
}

fn check_table(raw: TableRef<'_>) {
    let decoded = raw.decode();
    assert_eq!(
        raw.check(),
        decoded.as_ref().map(|_| ()).map_err(|error| *error)
    );
    if let Ok(table) = decoded {
        assert_eq!(raw.entries().count(), table.len());
        // The first writing may differ from what was read (a truth value of 2, an `L`), the second may not.
        let once = encode_table(&table);
        let again = TableRef::new(&once)
            .decode()
            .expect("what was written is read");
        assert_eq!(encode_table(&again), once);
    }
}
