//! The records of what is on schedules, and their section of a snapshot.
//!
//! | kind | payload after `kind u8, version u8` |
//! |---|---|
//! | 54 record scheduled | log u64, partition u32, offset u64, due u64, schedule |
//!
//! ```text
//! section 54 = records u32, each as in 54; left out if there are none
//! schedule   = target, source flag u8 and, if 1, source, ttl u8 (0 none, 1 never, 2 and u64), recurrence
//! recurrence = 0 and u64 once | 1 and u64 every | 2, seconds u64, minutes u64, hours u32, days u32, months u16,
//!              weekdays u8, both days u8
//! ```

use bytes::Bytes;
use polybus_model::{Calendar, Millis, RecordTtl, Recurrence, Schedule};

use crate::Engine;
use crate::logs::At;
use crate::record::codec::{Bounded, Put};
use crate::record::{Corrupt, begin, kind};

/// A record that is on a schedule, and when it is due.
#[derive(Clone, Debug)]
pub(crate) struct Scheduled {
    pub(crate) at: At,
    pub(crate) offset: u64,
    pub(crate) due: Millis,
    pub(crate) schedule: Schedule,
}

pub(super) fn put_scheduled(out: &mut Vec<u8>, one: &Scheduled) {
    begin(out, kind::RECORD_SCHEDULED);
    put_schedule(out, one.at, (one.offset, one.due, &one.schedule));
}

fn put_schedule(out: &mut Vec<u8>, at: At, (offset, due, schedule): (u64, Millis, &Schedule)) {
    out.put_u64(at.log);
    out.put_u32(at.partition);
    out.put_u64(offset);
    out.put_u64(due);
    out.put_bytes(&schedule.target);
    out.put_u8(schedule.source.is_some().into());
    if let Some(source) = &schedule.source {
        out.put_bytes(source);
    }
    match schedule.ttl {
        None => out.put_u8(0),
        Some(RecordTtl::Never) => out.put_u8(1),
        Some(RecordTtl::For(ttl)) => {
            out.put_u8(2);
            out.put_u64(ttl);
        }
    }
    match &schedule.recurrence {
        Recurrence::Once(due) => {
            out.put_u8(0);
            out.put_u64(*due);
        }
        Recurrence::Every(ms) => {
            out.put_u8(1);
            out.put_u64(*ms);
        }
        Recurrence::Calendar(calendar) => {
            out.put_u8(2);
            out.put_u64(calendar.seconds);
            out.put_u64(calendar.minutes);
            out.put_u32(calendar.hours);
            out.put_u32(calendar.days);
            out.put_u16(calendar.months);
            out.put_u8(calendar.weekdays);
            out.put_u8(calendar.both_days.into());
        }
    }
}

pub(crate) fn scheduled(from: &mut Bounded<'_>) -> Result<Scheduled, Corrupt> {
    let at = At {
        log: from.u64()?,
        partition: from.u32()?,
    };
    let (offset, due) = (from.u64()?, from.u64()?);
    let target = Bytes::copy_from_slice(from.bytes()?);
    let source = match from.bool()? {
        true => Some(Bytes::copy_from_slice(from.bytes()?)),
        false => None,
    };
    let ttl = match from.u8()? {
        0 => None,
        1 => Some(RecordTtl::Never),
        2 => Some(RecordTtl::For(from.u64()?)),
        other => return Err(Corrupt(format!("{other} is no time to live"))),
    };
    let recurrence = match from.u8()? {
        0 => Recurrence::Once(from.u64()?),
        1 => Recurrence::Every(from.u64()?),
        2 => Recurrence::Calendar(Calendar {
            seconds: from.u64()?,
            minutes: from.u64()?,
            hours: from.u32()?,
            days: from.u32()?,
            months: from.u16()?,
            weekdays: from.u8()?,
            both_days: from.bool()?,
        }),
        other => return Err(Corrupt(format!("{other} is no way to be due again"))),
    };
    let schedule = Schedule {
        recurrence,
        target,
        source,
        ttl,
    };
    Ok(Scheduled {
        at,
        offset,
        due,
        schedule,
    })
}

impl Engine {
    /// Whether there is anything on a schedule that survives a restart.
    pub(crate) fn has_schedules(&self) -> bool {
        let logs = self.logs.all.values().filter(|log| log.settings.durable);
        let mut keyed = logs.flat_map(|log| &log.partitions);
        keyed.any(|one| {
            one.keyed
                .as_ref()
                .is_some_and(|one| one.schedules.iter().len() > 0)
        })
    }

    /// Writes the section of a snapshot that is about schedules.
    pub(crate) fn put_schedules(&self, out: &mut Vec<u8>) {
        let mut all = Vec::new();
        for log in self.logs.all.values().filter(|log| log.settings.durable) {
            for (partition, number) in log.partitions.iter().zip(0_u32..) {
                let at = At {
                    log: log.id.0,
                    partition: number,
                };
                let keyed = partition.keyed.iter();
                all.extend(
                    keyed
                        .flat_map(|one| one.schedules.iter())
                        .map(|one| (at, one)),
                );
            }
        }
        out.put_u32(all.len() as u32);
        for (at, one) in all {
            put_schedule(out, at, one);
        }
    }
}

/// Reads the section of a snapshot that is about schedules.
pub(crate) fn read_schedules(
    section: &[u8],
    mut each: impl FnMut(Scheduled),
) -> Result<(), Corrupt> {
    let from = &mut Bounded::new(section);
    for _ in 0..from.u32()? {
        each(scheduled(from)?);
    }
    if from.is_empty() {
        Ok(())
    } else {
        Err(Corrupt::new(
            "a snapshot's schedules are followed by other bytes",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_back() {
        let calendar = Calendar {
            seconds: 1,
            minutes: 1 << 59,
            hours: 1 << 23,
            days: 1 << 31,
            months: 1 << 12,
            weekdays: 3,
            both_days: true,
        };
        for (recurrence, ttl) in [
            (Recurrence::Once(7), None),
            (Recurrence::Every(8), Some(RecordTtl::Never)),
            (Recurrence::Calendar(calendar), Some(RecordTtl::For(9))),
        ] {
            let schedule = Schedule {
                recurrence,
                target: Bytes::from_static(b"a.b"),
                source: ttl.map(|_| Bytes::from_static(b"c")),
                ttl,
            };
            let at = At {
                log: 3,
                partition: 1,
            };
            let mut out = Vec::new();
            put_schedule(&mut out, at, (5, 6, &schedule));
            let read = scheduled(&mut Bounded::new(&out)).unwrap();
            assert_eq!((read.at, read.offset, read.due), (at, 5, 6));
            assert_eq!(read.schedule, schedule);
            for len in 0..out.len() {
                assert!(scheduled(&mut Bounded::new(&out[..len])).is_err(), "{len}");
            }
        }
    }
}
