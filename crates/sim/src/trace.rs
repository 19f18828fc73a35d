//! What happened, line by line: always as a hash, so that two runs can be compared; as text when someone wants to read it.

use std::fmt::{self, Write};
use std::io::Write as _;

use polybus_model::{
    Event, LogReply, LogRequest, Message, Publish, Reply, Request, RunContent, Settle,
};

use crate::ledger::id_of;

/// A request in a line.
pub(crate) struct ShownRequest<'a>(pub(crate) &'a Request);

impl fmt::Display for ShownRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Request::Publish(publish) => show_publish(f, publish),
            Request::Settle(settle) => show_settle(f, settle),
            Request::Subscribe(subscribe) => write!(
                f,
                "subscribe {} to {}, auto-settle {}, credit {:?}, priority {}",
                subscribe.subscriber.0,
                subscribe.queue,
                subscribe.auto_settle,
                subscribe.credit,
                subscribe.priority
            ),
            Request::Transaction(transaction) => {
                f.write_str("transaction:")?;
                for publish in &transaction.publishes {
                    f.write_str(" ")?;
                    show_publish(f, publish)?;
                }
                for settle in &transaction.settles {
                    f.write_str(" ")?;
                    show_settle(f, settle)?;
                }
                Ok(())
            }
            Request::Log { number, request } => show_log(f, *number, request),
            other => write!(f, "{other:?}"),
        }
    }
}

fn show_publish(f: &mut fmt::Formatter<'_>, publish: &Publish) -> fmt::Result {
    write!(f, "publish {}", ShownMessage(&publish.message))?;
    match publish.confirm {
        Some(number) => write!(f, " as number {number}"),
        None => Ok(()),
    }
}

fn show_settle(f: &mut fmt::Formatter<'_>, settle: &Settle) -> fmt::Result {
    write!(f, "{:?}", settle.outcome)?;
    for lease in &settle.leases {
        write!(f, " {}:{}:{}", lease.queue, lease.slot, lease.stamp)?;
    }
    Ok(())
}

fn show_log(f: &mut fmt::Formatter<'_>, number: u64, request: &LogRequest) -> fmt::Result {
    let LogRequest::Append(appends) = request else {
        return write!(f, "{number}: {request:?}");
    };
    write!(f, "{number}: append")?;
    for append in appends {
        let run = ShownContent(&append.run.content);
        let (place, writer) = (&append.partition, append.run.writer);
        write!(
            f,
            " {run} x{} by {writer:?} to {place:?};",
            append.run.count
        )?;
    }
    Ok(())
}

/// A run's content in a few words.
struct ShownContent<'a>(&'a RunContent);

impl fmt::Display for ShownContent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RunContent::Packed { bytes, .. } => {
                let number = bytes.first_chunk().map(|one| u64::from_le_bytes(*one));
                write!(f, "run {number:?} of {} bytes", bytes.len())
            }
            RunContent::Message(message) => ShownMessage(message).fmt(f),
        }
    }
}

/// What a client of logs is told, in a line.
pub(crate) struct ShownLogEvent<'a>(pub(crate) &'a Event);

impl fmt::Display for ShownLogEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event::Log { number, reply } = self.0 else {
            return write!(f, "{:?}", self.0);
        };
        let LogReply::Read(slices) = &**reply else {
            return write!(f, "{number}: {reply:?}");
        };
        write!(f, "{number}:")?;
        for slice in slices {
            match slice {
                Err(error) => write!(f, " {error:?};")?,
                Ok(slice) => {
                    write!(f, " {}..{}", slice.start, slice.end)?;
                    for run in &slice.runs {
                        let content = ShownContent(&run.content);
                        write!(f, ", {} x{}: {content}", run.offset, run.count)?;
                    }
                    f.write_char(';')?;
                }
            }
        }
        Ok(())
    }
}

/// A message in a few words.
struct ShownMessage<'a>(&'a Message);

impl fmt::Display for ShownMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.0;
        let number = id_of(message.body());
        write!(
            f,
            "message {number:?} ({}/{}, {} bytes, durable {}, priority {:?}, ttl {:?})",
            String::from_utf8_lossy(message.topic()),
            String::from_utf8_lossy(message.key()),
            message.body().len(),
            message.is_durable(),
            message.priority(),
            message.ttl()
        )
    }
}

/// An event in a line.
pub(crate) struct ShownEvent<'a>(pub(crate) &'a Event);

impl fmt::Display for ShownEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whom, lease, message, redelivered) = match self.0 {
            Event::Delivery(one) => (one.subscriber.0, one.lease, &one.message, one.redelivered),
            Event::Reply {
                result: Ok(Reply::Taken(Some(one))),
                ..
            } => (0, one.lease, &one.message, one.redelivered),
            other => return write!(f, "{other:?}"),
        };
        write!(f, "to {whom}: {}", ShownMessage(message))?;
        if redelivered {
            f.write_str(" again")?;
        }
        match lease {
            Some(lease) => write!(f, " {}:{}:{}", lease.queue, lease.slot, lease.stamp),
            None => f.write_str(" settled"),
        }
    }
}

/// The trace of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    prints: bool,
    line: u64,
}

impl Trace {
    pub(crate) fn new(prints: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            prints,
            line: 0,
        }
    }

    /// Adds a line.
    pub(crate) fn note(&mut self, what: fmt::Arguments<'_>) {
        self.line += 1;
        let _ = Write::write_fmt(self, what);
        let _ = self.write_char('\n');
        if self.prints {
            // A reader who has seen enough closes the pipe.
            let _ = writeln!(std::io::stdout(), "{:6} {what}", self.line);
        }
    }

    /// The hash of all lines so far.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
