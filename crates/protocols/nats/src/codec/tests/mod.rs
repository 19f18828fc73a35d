//! What is read, what is refused, and that it does not matter how the bytes are cut.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    line_bytes_max: 64,
    payload_bytes_max: 100,
};

/// An operation in bytes of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Owned {
    Publish {
        subject: Vec<u8>,
        reply: Vec<u8>,
        headers: Vec<u8>,
        body: Vec<u8>,
        rest: Vec<u8>,
        has_headers: bool,
    },
    Other(String),
}

fn owned(input: &[u8], operation: Operation<'_>) -> Owned {
    let Operation::Publish(publication, has_headers) = operation else {
        return Owned::Other(format!("{operation:?}"));
    };
    let Publication {
        subject,
        reply,
        body,
        headers_len,
        rest,
    } = publication;
    let part = |from: u32, to: u32| input[from as usize..to as usize].to_vec();
    Owned::Publish {
        subject: part(subject.start, subject.end),
        reply: part(reply.start, reply.end),
        headers: part(body.start - headers_len, body.start),
        rest: part(rest, body.end),
        body: part(body.start, body.end),
        has_headers,
    }
}

/// Reads bytes that come in pieces; what is not read yet stays for the next.
fn read(pieces: &[&[u8]], limits: Limits) -> (Vec<Owned>, Option<CodecError>) {
    let (mut input, mut all) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        let mut operations = Operations::new(&input, limits);
        loop {
            match operations.next_operation() {
                Ok(Some(operation)) => all.push(owned(&input, operation)),
                Ok(None) => break,
                Err(error) => return (all, Some(error)),
            }
        }
        let consumed = operations.consumed();
        input.drain(..consumed);
    }
    (all, None)
}

fn one(bytes: &[u8]) -> Owned {
    let (mut all, error) = read(&[bytes], LIMITS);
    assert_eq!(
        (all.len(), error),
        (1, None),
        "{}",
        String::from_utf8_lossy(bytes)
    );
    all.remove(0)
}

/// Subject, reply, headers, body and what may be copied as it came.
type Parts = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

fn publish(bytes: &[u8]) -> Parts {
    match one(bytes) {
        Owned::Publish {
            subject,
            reply,
            headers,
            body,
            rest,
            ..
        } => (subject, reply, headers, body, rest),
        other => panic!("{other:?}"),
    }
}

#[test]
fn publishes_are_ranges_and_what_may_be_copied_as_it_came() {
    let parts = |subject: &str, reply: &str, headers: &str, body: &str, rest: &str| {
        let bytes = |text: &str| text.as_bytes().to_vec();
        (
            bytes(subject),
            bytes(reply),
            bytes(headers),
            bytes(body),
            bytes(rest),
        )
    };
    let cases = [
        ("PUB a.b 2\r\nhi\r\n", parts("a.b", "", "", "hi", "2\r\nhi")),
        (
            "pub a.b re 0\r\n\r\n",
            parts("a.b", "re", "", "", "re 0\r\n"),
        ),
        (
            "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            parts(
                "a",
                "",
                "NATS/1.0\r\n\r\n",
                "hi",
                "12 14\r\nNATS/1.0\r\n\r\nhi",
            ),
        ),
        (
            "hPuB a re 3 3\r\nH:1\r\n",
            parts("a", "re", "H:1", "", "re 3 3\r\nH:1"),
        ),
        // As nobody writes it: read, but not copied as it came.
        (
            "PUB  a.b 2\r\nhi\r\n",
            parts("a.b", "", "", "hi", "2\r\nhi"),
        ),
        ("PUB a.b  2\r\nhi\r\n", parts("a.b", "", "", "hi", "hi")),
        ("PUB\ta.b\t02 \r\nhi\r\n", parts("a.b", "", "", "hi", "hi")),
        ("PUB a.b 2\nhi\r\n", parts("a.b", "", "", "hi", "hi")),
        ("PUB a.b 002\r\nhi\r\n", parts("a.b", "", "", "hi", "hi")),
    ];
    for (text, expected) in cases {
        assert_eq!(publish(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn every_other_operation() {
    for (text, expected) in [
        (
            "SUB a.* 1\r\n",
            "Subscribe { subject: [97, 46, 42], queue: None, sid: [49] }",
        ),
        (
            "sub a q 1\n",
            "Subscribe { subject: [97], queue: Some([113]), sid: [49] }",
        ),
        ("UNSUB 1\r\n", "Unsubscribe { sid: [49], max: None }"),
        (
            "unsub  1  5 \r\n",
            "Unsubscribe { sid: [49], max: Some(5) }",
        ),
        ("CONNECT {} \r\n", "Connect([123, 125])"),
        ("PING\r\n", "Ping"),
        ("ping anything\n", "Ping"),
        ("PONG\r\n", "Pong"),
        ("+OK\r\n", "Nothing"),
        ("INFO {}\r\n", "Nothing"),
        ("-ERR 'x'\r\n", "Error([39, 120, 39])"),
    ] {
        assert_eq!(
            one(text.as_bytes()),
            Owned::Other(expected.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_operation_is_refused() {
    use CodecError::{LineTooLong, PayloadTooLarge, UnknownOperation};
    let long = "a".repeat(65);
    for (text, error) in [
        ("\r\n", UnknownOperation),
        ("X", UnknownOperation),
        ("PUX", UnknownOperation),
        ("PUBS a 1\r\n", UnknownOperation),
        ("SUBa 1\r\n", UnknownOperation),
        ("PUB a\r\n", UnknownOperation),
        ("PUB \r\n", UnknownOperation),
        ("PUB a b c 1\r\n", UnknownOperation),
        ("PUB a b c d e f g h\r\n", UnknownOperation),
        ("PUB a -1\r\n", UnknownOperation),
        ("PUB a 1x\r\n", UnknownOperation),
        ("PUB a 1234567890\r\n", UnknownOperation),
        ("PUB a 999999999\r\n", PayloadTooLarge),
        ("PUB a 101\r\n", PayloadTooLarge),
        ("PUB a 2\r\nhello\r\n", UnknownOperation),
        ("PUB a 2\r\nhi\rx", UnknownOperation),
        ("PUB a\rb 2\r\nhi\r\n", UnknownOperation),
        ("HPUB a 2\r\nhi\r\n", UnknownOperation),
        ("HPUB a 3 2\r\nhi\r\n", UnknownOperation),
        ("SUB a\r\n", UnknownOperation),
        ("SUB a b c d\r\n", UnknownOperation),
        ("UNSUB\r\n", UnknownOperation),
        ("UNSUB 1 x\r\n", UnknownOperation),
        ("UNSUB 1 2 3\r\n", UnknownOperation),
        ("GET / HTTP/1.1\r\n", UnknownOperation),
        (&format!("PUB {long}"), LineTooLong),
        (&format!("PUB {long}\r\n"), LineTooLong),
        (&format!("SUB {long}{long}"), LineTooLong),
        (&format!("PING{long}"), LineTooLong),
    ] {
        assert_eq!(
            read(&[text.as_bytes()], LIMITS),
            (Vec::new(), Some(error)),
            "{text}"
        );
    }
    // As long as it may be, and a subject of 100 KB.
    let whole = format!("SUB {} 1\r\n", "a".repeat(62));
    assert_eq!(read(&[whole.as_bytes()], LIMITS).1, None);
    let huge = format!("PUB {} 1\r\n", "a".repeat(100_000));
    assert_eq!(read(&[huge.as_bytes()], LIMITS).1, Some(LineTooLong));
}

#[test]
fn what_is_written_is_what_clients_read() {
    let written = |outgoing: Outgoing<'_>| {
        let mut out = polybus_session::Outbound::new();
        outgoing.write(&mut out);
        String::from_utf8_lossy(out.staged()).into_owned()
    };
    let message = Outgoing {
        subject: b"a.b",
        sid: b"7",
        reply: b"",
        headers: b"",
        body: b"hello",
        shared: None,
    };
    assert_eq!(written(message), "MSG a.b 7 5\r\nhello\r\n");
    let reply = Outgoing {
        reply: b"re",
        body: b"",
        ..message
    };
    assert_eq!(written(reply), "MSG a.b 7 re 0\r\n\r\n");
    let headers = Outgoing {
        headers: b"NATS/1.0\r\nA: 1\r\n\r\n",
        ..reply
    };
    assert_eq!(
        written(headers),
        "HMSG a.b 7 re 18 18\r\nNATS/1.0\r\nA: 1\r\n\r\n\r\n"
    );
    let mut out = polybus_session::Outbound::new();
    write_unheard(&mut out, b"_INBOX.1", b"3", b"a.b");
    assert_eq!(
        &out.staged()[..],
        b"HMSG _INBOX.1 3 35 35\r\nNATS/1.0 503\r\nNats-Subject: a.b\r\n\r\n\r\n"
    );
    out.staged().clear();
    write_error(out.staged(), "a 'b'\r\nc");
    assert_eq!(&out.staged()[..], b"-ERR 'a  b   c'\r\n");
}

/// Operations as clients send them, and sometimes not quite.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let words = ["a.b", "a", "_INBOX.x", "q", "1", "22"];
    let word = prop::sample::select(words.to_vec());
    let operation = prop_oneof![
        8 => (word.clone(), prop::option::of(word.clone()), prop::collection::vec(any::<u8>(), 0..99)).prop_map(
            |(subject, reply, body)| {
                let reply = reply.map(|reply| format!("{reply} ")).unwrap_or_default();
                let line = format!("PUB {subject} {reply}{}\r\n", body.len());
                [line.as_bytes(), &body, b"\r\n"].concat()
            }
        ),
        4 => (word.clone(), prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..40)).prop_map(
            |(subject, headers, body)| {
                let line = format!("HPUB {subject} {} {}\r\n", headers.len(), headers.len() + body.len());
                [line.as_bytes(), &headers, &body, b"\r\n"].concat()
            }
        ),
        3 => (word.clone(), word.clone()).prop_map(|(subject, sid)| format!("SUB {subject} {sid}\r\n").into_bytes()),
        2 => word.prop_map(|sid| format!("UNSUB {sid} 3\n").into_bytes()),
        2 => Just(b"PING\r\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..80),
        1 => "[ -~]{0,90}\r\n".prop_map(String::into_bytes),
    ];
    prop::collection::vec(operation, 0..12).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(bytes in conversation(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let whole = read(&[&bytes], LIMITS);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&pieces, LIMITS), whole.clone());
        let singles: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(read(&singles, LIMITS), whole);
    }
}
