//! Reading records. What is read is sent as it is stored; it waits where there is too little.

use polybus_model::{
    LogError, LogReply, LogRequest, Metered, Name, PartitionName, Read, ReadRequest, Slice,
};

use super::core::{Core, wire_offset};
use super::fetch_sessions::{Plan, Slot, Told, plan};
use super::fetched::{Fetched, FetchedPartition};
use super::known::with_names;
use super::pending::Step;
use crate::codec::Uuid;
use crate::codec::messages::fetch::{FetchRequest, FetchResponse};
use crate::error::{Code, of_log};
use crate::mapping::{LEADER_EPOCH, batch_of_run};

/// From this version on topics are named by their ids.
const IDS_FROM: i16 = 13;
/// What reads committed records only.
const READ_COMMITTED: i8 = 1;

/// How long a read waits, for how much, and what it sees.
#[derive(Clone, Copy)]
struct Wish {
    wait_ms: u64,
    bytes_min: u32,
    bytes_max: u32,
    committed: bool,
}

/// Reads records.
pub(super) fn fetch(core: &mut Core, request: FetchRequest, version: i16) -> Step {
    let cap = core.answer_bytes_max();
    let unsigned = |number: i32| u32::try_from(number).unwrap_or(0);
    let bytes_max = unsigned(request.max_bytes).min(cap);
    core.cost += bytes_max as usize;
    let wish = Wish {
        wait_ms: unsigned(request.max_wait_ms).into(),
        bytes_min: unsigned(request.min_bytes).min(bytes_max),
        bytes_max,
        committed: request.isolation_level == READ_COMMITTED,
    };
    if version < IDS_FROM {
        return begin(core, &request, version, wish);
    }
    let ids: Vec<Uuid> = request.topics.iter().map(|topic| topic.topic_id).collect();
    with_names(core, ids.into_iter(), move |core| {
        begin(core, &request, version, wish)
    })
}

fn begin(core: &mut Core, request: &FetchRequest, version: i16, wish: Wish) -> Step {
    let mut slots = Vec::new();
    for topic in &request.topics {
        let name = if version < IDS_FROM {
            Name::new(&topic.topic).ok()
        } else {
            core.known.name(&topic.topic_id).cloned()
        };
        slots.extend(topic.partitions.iter().map(|one| Slot {
            topic: name.clone(),
            id: topic.topic_id,
            index: one.partition,
            offset: one.fetch_offset,
            bytes_max: one.partition_max_bytes,
            leader_epoch: one.current_leader_epoch,
            told: None,
        }));
    }
    match plan(core, request, slots) {
        Ok(plan) => read(core, plan, version, wish),
        Err(code) => Step::answer(FetchResponse {
            error_code: code.0,
            ..FetchResponse::default()
        }),
    }
}

/// Why a partition is not read at all.
fn refusal(slot: &Slot, version: i16) -> Option<Code> {
    if slot.topic.is_none() {
        return Some(if version < IDS_FROM {
            Code::UNKNOWN_TOPIC_OR_PARTITION
        } else {
            Code::UNKNOWN_TOPIC_ID
        });
    }
    if slot.index < 0 {
        return Some(Code::UNKNOWN_TOPIC_OR_PARTITION);
    }
    if slot.leader_epoch > LEADER_EPOCH {
        return Some(Code::UNKNOWN_LEADER_EPOCH);
    }
    (slot.offset < 0).then_some(Code::OFFSET_OUT_OF_RANGE)
}

fn read(core: &mut Core, plan: Plan, version: i16, wish: Wish) -> Step {
    let mut reads = Vec::with_capacity(plan.slots.len());
    let mut has_refused = false;
    for slot in &plan.slots {
        if refusal(slot, version).is_some() {
            has_refused = true;
            continue;
        }
        if let (Some(log), Ok(partition)) = (&slot.topic, u32::try_from(slot.index)) {
            reads.push(Read {
                partition: PartitionName {
                    log: log.clone(),
                    partition,
                },
                id: core.known.log_id(&slot.id),
                offset: u64::try_from(slot.offset).unwrap_or(0),
                bytes_max: u32::try_from(slot.bytes_max).unwrap_or(0),
            });
        }
    }
    if reads.is_empty() {
        return answer(core, plan, version, wish, Vec::new());
    }
    let request = ReadRequest {
        reads,
        bytes_max: wish.bytes_max,
        bytes_min: wish.bytes_min,
        // What is wrong is told at once.
        wait_ms: if has_refused { 0 } else { wish.wait_ms },
        committed: wish.committed,
    };
    Step::log(LogRequest::Read(request), move |core, reply| {
        let LogReply::Read(results) = reply else {
            return Step::misunderstood();
        };
        answer(core, plan, version, wish, results)
    })
}

fn answer(
    core: &mut Core,
    plan: Plan,
    version: i16,
    wish: Wish,
    results: Vec<Result<Slice, LogError>>,
) -> Step {
    let mut results = results.into_iter();
    let mut fetched = Fetched::new(plan.session);
    let mut notes = Vec::with_capacity(plan.slots.len());
    for slot in plan.slots {
        let result = match refusal(&slot, version) {
            Some(code) => Err(code),
            None => match results.next().unwrap_or(Err(LogError::NotFound)) {
                Ok(slice) => Ok(slice),
                Err(error) => {
                    if let (LogError::NotFound | LogError::Replaced, Some(name)) =
                        (&error, &slot.topic)
                    {
                        core.known.forget(name.as_str());
                    }
                    Err(of_log(&error))
                }
            },
        };
        let (part, told) = partition(core, slot.index, result, wish.committed);
        let has_records = !part.batches.is_empty();
        let has_news = has_records || told.is_none() || told != slot.told;
        notes.push((told, has_records));
        if plan.is_incremental && !has_news {
            continue;
        }
        let name = slot.topic.filter(|_| version < IDS_FROM);
        fetched.push(name, slot.id, part);
    }
    core.fetches.note(plan.session, &notes);
    fetched.throttle_ms = core.meter(Metered::BytesOut, fetched.bytes());
    Step::answer(fetched)
}

fn partition(
    core: &Core,
    index: i32,
    result: Result<Slice, Code>,
    committed: bool,
) -> (FetchedPartition, Option<Told>) {
    let slice = match result {
        Ok(slice) => slice,
        Err(code) => return (FetchedPartition::refused(index, code), None),
    };
    let told = Told {
        start: wire_offset(slice.start),
        end: wire_offset(slice.end),
        stable_end: wire_offset(slice.stable_end),
    };
    let aborted = slice
        .aborted
        .into_iter()
        .map(|(producer, first)| (wire_offset(producer), wire_offset(first)));
    let part = FetchedPartition {
        index,
        code: Code::NONE,
        told,
        aborted: committed.then(|| aborted.collect()),
        batches: slice
            .runs
            .into_iter()
            .filter_map(|run| batch_of_run(run, &core.settings.headers_of))
            .collect(),
    };
    (part, Some(told))
}
