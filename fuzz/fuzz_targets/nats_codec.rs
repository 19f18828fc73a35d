//! NATS: any bytes are read without a panic and the same however they are cut, and every range lies within them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polybus_nats::codec::{
    CodecError, Connect, Headers, Limits, Operation, Operations, is_literal, is_valid,
};

const LIMITS: Limits = Limits {
    line_bytes_max: 256,
    payload_bytes_max: 512,
};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, input)) = data.split_first() else {
        return;
    };
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    let error = read(input, &mut whole).err();
    let (before, _) = input.split_at(usize::from(cut).min(input.len()));
    match read(before, &mut parts) {
        Ok(consumed) => {
            let rest = input.get(consumed..).unwrap_or_default();
            assert_eq!(read(rest, &mut parts).err(), error);
        }
        Err(early) => assert_eq!(Some(early), error),
    }
    assert_eq!(parts, whole);
});

/// Reads all operations, as texts without places; gives how many bytes they took.
fn read(input: &[u8], seen: &mut Vec<String>) -> Result<usize, CodecError> {
    let mut operations = Operations::new(input, LIMITS);
    while let Some(operation) = operations.next_operation()? {
        seen.push(match operation {
            Operation::Publish(publication, has_headers) => {
                let part = |from: u32, to: u32| {
                    input
                        .get(from as usize..to as usize)
                        .expect("a range within the input")
                };
                let subject = part(publication.subject.start, publication.subject.end);
                let reply = part(publication.reply.start, publication.reply.end);
                let body = part(publication.body.start, publication.body.end);
                let headers = part(
                    publication.body.start - publication.headers_len,
                    publication.body.start,
                );
                let rest = part(publication.rest, publication.body.end);
                let _ = (is_literal(subject), is_valid(reply));
                let fields = Headers::new(headers).count();
                format!("{subject:?} {reply:?} {headers:?} {fields} {body:?} {rest:?} {has_headers}")
            }
            Operation::Connect(json) => format!("{:?}", Connect::parse(json)),
            other => format!("{other:?}"),
        });
    }
    Ok(operations.consumed())
}
