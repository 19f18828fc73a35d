//! What reading a read's worth of publishes costs.

#![allow(missing_docs)]

use divan::Bencher;
use divan::counter::ItemsCount;
use polybus_nats::codec::{Limits, Operation, Operations};

const LIMITS: Limits = Limits {
    line_bytes_max: 4096,
    payload_bytes_max: 1 << 20,
};
const READ_BYTES: usize = 128 * 1024;

fn main() {
    divan::main();
}

#[divan::bench(args = [16, 128, 1024])]
fn publishes(bencher: Bencher<'_, '_>, payload: usize) {
    let one = [
        format!("PUB orders.created {payload}\r\n").as_bytes(),
        &vec![b'x'; payload],
        b"\r\n",
    ]
    .concat();
    let count = READ_BYTES / one.len();
    let input = one.repeat(count);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let mut operations = Operations::new(&input, LIMITS);
        let mut seen = 0;
        while let Ok(Some(Operation::Publish(publication, _))) = operations.next_operation() {
            seen += publication.body.end;
        }
        seen
    });
}
