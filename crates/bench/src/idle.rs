//! Connections that do nothing but prove that they live.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use polybus_amqp091::codec::write_heartbeat;

use crate::error::BenchError;
use crate::link::{Link, Target};
use crate::walker::{Filled, Walker};

/// The heartbeat agreed on; each side sends one every half of it. Clients' default is six times as long.
const HEARTBEAT_S: u16 = 10;

const OPENERS: usize = 4;
const WALKER_ROOM: usize = 8 * 1024;

/// Each round of heartbeats is spread over so many slices.
const SLICES: usize = 100;

/// Opens so many connections.
pub(crate) fn open(target: &Target, count: u32) -> Result<Vec<Link>, BenchError> {
    let count = count as usize;
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| {
                scope.spawn(move || -> Result<Vec<Link>, BenchError> {
                    (opener..count)
                        .step_by(OPENERS)
                        .map(|_| {
                            let walker = Walker::with_room(WALKER_ROOM);
                            Link::open_with(target, HEARTBEAT_S, walker)
                        })
                        .collect()
                })
            })
            .collect();
        let mut links = Vec::with_capacity(count);
        for opener in openers {
            match opener.join() {
                Ok(opened) => links.extend(opened?),
                Err(_) => return Err(BenchError::Protocol("a thread ended early".into())),
            }
        }
        Ok(links)
    })
}

/// Keeps them alive until told to stop. Every one of them must still be there at the end.
pub(crate) fn keep(links: &mut [Link], stop: &AtomicBool) -> Result<(), BenchError> {
    if links.is_empty() {
        return Ok(());
    }
    let mut heartbeat = BytesMut::new();
    write_heartbeat(&mut heartbeat);
    let slice = Duration::from_secs(HEARTBEAT_S.into()) / 2 / SLICES as u32;
    let per_slice = links.len().div_ceil(SLICES).max(1);
    while !stop.load(Ordering::Relaxed) {
        for some in links.chunks_mut(per_slice) {
            for link in some {
                link.write(&heartbeat)?;
                let filled = link.walker.fill(&link.socket, false);
                if filled.map_err(BenchError::io("reading heartbeats"))? == Filled::End {
                    return Err(BenchError::Wrong("an idle connection was closed".into()));
                }
                while link.walker.next_frame()?.is_some() {}
            }
            std::thread::sleep(slice);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(())
}
