//! What a broker's processes cost while something is done with them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::machine::busy_cpu_s;
use crate::process::Tree;

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(50);

const MIB: f64 = 1024.0 * 1024.0;

/// What it cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) server_cpu_s: f64,
    pub(crate) own_cpu_s: f64,
    pub(crate) wall_s: f64,
    pub(crate) resident_mib: f64,
    /// Processors kept busy by others than broker and client.
    pub(crate) others: f64,
}

/// The memory of a process and its children that is in RAM.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    Tree::of(pid).resident_bytes() as f64 / MIB
}

/// Does it, and looks at what it costs.
pub(crate) fn costing<T>(
    pid: u32,
    work: impl FnOnce() -> Result<T, BenchError>,
) -> Result<(T, Cost), BenchError> {
    let (server, own) = (Tree::of(pid), Tree::alone(std::process::id()));
    let cpu = || (server.cpu(), own.cpu(), busy_cpu_s());
    let is_done = AtomicBool::new(false);
    let begin = Instant::now();
    let before = cpu();
    let (done, peak_bytes) = std::thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let mut peak_bytes = server.resident_bytes();
            while !is_done.load(Ordering::Relaxed) {
                std::thread::park_timeout(SAMPLE);
                peak_bytes = peak_bytes.max(server.resident_bytes());
            }
            peak_bytes
        });
        let done = work();
        is_done.store(true, Ordering::Relaxed);
        sampling.thread().unpark();
        (done, sampling.join().unwrap_or(0))
    });
    let after = cpu();
    let wall_s = begin.elapsed().as_secs_f64();
    let server_cpu_s = after.0.saturating_sub(before.0).as_secs_f64();
    let own_cpu_s = after.1.saturating_sub(before.1).as_secs_f64();
    let others_s = (after.2 - before.2) - server_cpu_s - own_cpu_s;
    let cost = Cost {
        server_cpu_s,
        own_cpu_s,
        wall_s,
        resident_mib: peak_bytes as f64 / MIB,
        others: (others_s / wall_s).max(0.0),
    };
    done.map(|done| (done, cost))
}
