//! Taking records under leases, and settling them.
//!
//! ```text
//! share fetch -> its session's partitions, what is settled of them -> Lease -> batches, and what of them is the member's
//! share acknowledge -> what is settled -> Lease, without reading
//! ```

use std::collections::HashMap;

use polybus_model::{
    GroupError, GroupReply, GroupRequest, LeasePart, LeaseRequest, Leased, LeasedPart, LogError,
    Metered, PartitionName, Run, RunContent, Settling, Verdict,
};
use polybus_session::Outbound;

use super::core::{Core, wire_offset};
use super::known::with_names;
use super::pending::{Body, Step};
use super::share_sessions::{Key, Plan, Who, plan, plan_settling};
use crate::codec::messages::share_acknowledge::{
    PartitionData as Acknowledged, ShareAcknowledgeRequest, ShareAcknowledgeResponse,
    ShareAcknowledgeTopicResponse,
};
use crate::codec::messages::share_fetch::{
    AcknowledgementBatch, AcquiredRecords, LeaderIdAndEpoch, PartitionData, ShareFetchRequest,
    ShareFetchResponse, ShareFetchableTopicResponse,
};
use crate::codec::{BatchHeader, SentBatch, Uuid, write_share_fetch};
use crate::error::{Code, of_group, of_log, text_of_group, text_of_log};
use crate::mapping::{LEADER_EPOCH, batch_of_run};

/// How a record is acknowledged: there is none of that offset,
const GAP: i8 = 0;
const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
const REJECT: i8 = 3;
/// or it is to stay leased for as long again.
const RENEW: i8 = 4;
/// Not more records than were asked for, even if a batch has more.
const RECORD_LIMIT: i8 = 1;

/// What is settled, by partition.
type Settles = HashMap<Key, Vec<Settling>>;

/// The partitions that are asked for, in the order of the answer; an error where one cannot be asked for.
type Asked = Vec<(Key, Result<(), Code>)>;

/// The answer, until its turn to be written comes.
struct Taken {
    response: ShareFetchResponse,
    /// The records of its partitions, in their order.
    batches: Vec<Vec<SentBatch>>,
}

impl Body for Taken {
    fn write(&self, out: &mut Outbound, version: i16, correlation: i32) {
        let batches = self.batches.clone();
        write_share_fetch(out, version, correlation, &self.response, batches);
    }

    fn hold_back(&mut self, throttle_ms: i32) {
        let told = &mut self.response.throttle_time_ms;
        *told = (*told).max(throttle_ms);
    }
}

/// Takes records.
pub(super) fn fetch(core: &mut Core, request: ShareFetchRequest, _version: i16) -> Step {
    let unsigned = |number: i32| u32::try_from(number).unwrap_or(0);
    let bytes_max = unsigned(request.max_bytes).min(core.answer_bytes_max());
    core.cost += bytes_max as usize;
    let who = who(request.group_id.clone(), request.member_id.clone());
    let named = request.topics.iter().map(|topic| topic.topic_id);
    let known = core.shares.partitions(&who).iter().map(|one| one.0);
    let ids: Vec<Uuid> = named.chain(known).collect();
    with_names(core, ids.into_iter(), move |core| {
        let mut named = Vec::new();
        let mut settles = Settles::new();
        for topic in request.topics {
            for one in topic.partitions {
                let key = (topic.topic_id, one.partition_index);
                named.push(key);
                if one.acknowledgement_batches.is_empty() {
                    continue;
                }
                match settlings(&one.acknowledgement_batches, request.is_renew_ack) {
                    Some(all) => settles.insert(key, all),
                    None => return refused(Code::INVALID_REQUEST, None),
                };
            }
        }
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
            let indexes = topic.partitions.iter();
            indexes.map(|index| (topic.topic_id, *index))
        });
        let forgotten: Vec<Key> = forgotten.collect();
        let epoch = request.share_session_epoch;
        let plan = match plan(core, &who, epoch, &named, &forgotten) {
            Ok(plan) => plan,
            Err(code) => return refused(code, None),
        };
        let lease = LeaseRequest {
            group: who.0.clone(),
            member: who.1.clone(),
            parts: Vec::new(),
            bytes_min: unsigned(request.min_bytes).min(bytes_max),
            wait_ms: unsigned(request.max_wait_ms).into(),
            bytes_max,
            records_max: unsigned(request.max_records),
            exactly: request.share_acquire_mode == RECORD_LIMIT,
            ends: plan.ends,
        };
        let reads = !request.is_renew_ack && lease.records_max > 0;
        take(core, who, plan, settles, lease, reads)
    })
}

fn take(
    core: &mut Core,
    who: Who,
    plan: Plan,
    mut settles: Settles,
    mut lease: LeaseRequest,
    reads: bool,
) -> Step {
    let mut asked = Asked::new();
    for key in plan.partitions {
        let settled = settles.remove(&key).unwrap_or_default();
        asked.push((key, add_part(core, &mut lease, key, settled, reads)));
    }
    for (key, settled) in settles {
        asked.push((key, add_part(core, &mut lease, key, settled, false)));
    }
    if asked.iter().any(|(_, result)| result.is_err()) {
        // What is wrong is told at once.
        lease.wait_ms = 0;
    }
    let settled: Vec<bool> = lease
        .parts
        .iter()
        .map(|one| !one.settles.is_empty())
        .collect();
    let is_new = plan.is_new;
    Step::group(GroupRequest::Lease(Box::new(lease)), move |core, reply| {
        let GroupReply::Leased(result) = reply else {
            return Step::misunderstood();
        };
        let leased = match result {
            Ok(leased) => *leased,
            Err(error) => {
                core.shares.close(&who);
                return refused(of_group(&error), text_of_group(&error));
            }
        };
        Step::answer(taken(core, asked, leased, &settled, is_new))
    })
}

/// Adds a partition to what is asked.
fn add_part(
    core: &Core,
    lease: &mut LeaseRequest,
    (id, index): Key,
    settles: Vec<Settling>,
    reads: bool,
) -> Result<(), Code> {
    let log = core.known.name(&id).ok_or(Code::UNKNOWN_TOPIC_ID)?;
    let partition = u32::try_from(index).map_err(|_| Code::UNKNOWN_TOPIC_OR_PARTITION)?;
    lease.parts.push(LeasePart {
        partition: PartitionName {
            log: log.clone(),
            partition,
        },
        id: core.known.log_id(&id),
        settles,
        reads,
        forbidden: false,
    });
    Ok(())
}

fn taken(core: &mut Core, asked: Asked, leased: Leased, settled: &[bool], is_new: bool) -> Taken {
    let mut batches = Vec::new();
    let mut responses: Vec<ShareFetchableTopicResponse> = Vec::new();
    let mut parts = leased.parts.into_iter().zip(settled);
    for ((id, index), result) in asked {
        let mut part = PartitionData {
            partition_index: index,
            current_leader: LeaderIdAndEpoch {
                leader_id: -1,
                leader_epoch: -1,
            },
            ..PartitionData::default()
        };
        let (mut has_news, mut records) = (is_new, Vec::new());
        match result {
            Err(code) => {
                part.error_code = code.0;
                has_news = true;
            }
            Ok(()) => {
                if let Some((leased, settled)) = parts.next() {
                    has_news |= *settled || !leased.lent.is_empty() || leased.slice.is_err();
                    records = fill(core, &mut part, id, leased);
                }
            }
        }
        if !has_news {
            continue;
        }
        batches.push(records);
        match responses.last_mut() {
            Some(last) if last.topic_id == id => last.partitions.push(part),
            _ => responses.push(ShareFetchableTopicResponse {
                topic_id: id,
                partitions: vec![part],
            }),
        }
    }
    let bytes = batches
        .iter()
        .flatten()
        .map(|batch| batch.bytes.len())
        .sum();
    let response = ShareFetchResponse {
        throttle_time_ms: core.meter(Metered::BytesOut, bytes),
        acquisition_lock_timeout_ms: i32::try_from(leased.lease_ms).unwrap_or(i32::MAX),
        responses,
        ..ShareFetchResponse::default()
    };
    Taken { response, batches }
}

/// Puts into a partition's part what the member has got of it. Gives the batches that hold it.
fn fill(core: &mut Core, part: &mut PartitionData, id: Uuid, leased: LeasedPart) -> Vec<SentBatch> {
    if let Err(error) = &leased.settled {
        part.acknowledge_error_code = of_group(error).0;
        part.acknowledge_error_message = text_of_settling(error);
    }
    let slice = match leased.slice {
        Ok(slice) => slice,
        Err(error) => {
            forget_lost(core, id, &error);
            part.error_code = of_log(&error).0;
            part.error_message = text_of_log(&error);
            return Vec::new();
        }
    };
    let aborted = &leased.aborted;
    let acquired = leased.lent.into_iter().map(|lent| AcquiredRecords {
        first_offset: wire_offset(lent.first),
        last_offset: wire_offset(lent.end.saturating_sub(1)),
        delivery_count: i16::try_from(lent.attempts).unwrap_or(i16::MAX),
    });
    part.acquired_records = acquired.collect();
    let runs = slice.runs.into_iter();
    let runs = runs.filter(|run| !is_aborted(run, aborted));
    runs.filter_map(|run| batch_of_run(run, &core.settings.headers_of))
        .collect()
}

/// Whether a run belongs to an aborted transaction. What is left out is acknowledged by the client as a gap.
fn is_aborted(run: &Run, aborted: &[(u64, std::ops::Range<u64>)]) -> bool {
    let RunContent::Packed { bytes, .. } = &run.content else {
        return false;
    };
    let within = |(_, range): &&(u64, std::ops::Range<u64>)| range.contains(&run.offset);
    let mut around = aborted.iter().filter(within).peekable();
    if run.ends.is_some() || around.peek().is_none() {
        return false;
    }
    let Ok(header) = BatchHeader::parse(bytes) else {
        return false;
    };
    let is_its = |(producer, _): &(u64, _)| i64::try_from(*producer) == Ok(header.producer_id);
    header.is_transactional() && around.any(is_its)
}

/// What was looked up of a log's id does not hold any more.
fn forget_lost(core: &mut Core, id: Uuid, error: &LogError) {
    if let LogError::NotFound | LogError::Replaced = error
        && let Some(name) = core.known.name(&id).cloned()
    {
        core.known.forget(name.as_str());
    }
}

fn who(group: Option<String>, member: Option<String>) -> Who {
    (group.unwrap_or_default(), member.unwrap_or_default())
}

fn refused(code: Code, text: Option<String>) -> Step {
    Step::answer(ShareFetchResponse {
        error_code: code.0,
        error_message: text,
        ..ShareFetchResponse::default()
    })
}

fn text_of_settling(error: &GroupError) -> Option<String> {
    match error {
        GroupError::NotLeased => Some(
            "The record state is invalid. The acknowledgement of delivery could not be completed."
                .to_owned(),
        ),
        other => text_of_group(other),
    }
}

/// What batches of acknowledgements settle; none if they make no sense.
fn settlings(batches: &[AcknowledgementBatch], renews: bool) -> Option<Vec<Settling>> {
    let mut all: Vec<Settling> = Vec::new();
    for batch in batches {
        let first = u64::try_from(batch.first_offset).ok()?;
        let end = u64::try_from(batch.last_offset).ok()?.checked_add(1)?;
        let count = end.checked_sub(first).filter(|count| *count > 0)?;
        let types = &batch.acknowledge_types;
        if let [one] = types[..] {
            let how = verdict(one, renews)?;
            all.push(Settling { first, end, how });
            continue;
        }
        if u64::try_from(types.len()) != Ok(count) {
            return None;
        }
        for (offset, one) in (first..end).zip(types) {
            let how = verdict(*one, renews)?;
            match all.last_mut() {
                Some(last) if last.how == how && last.end == offset => last.end += 1,
                _ => all.push(Settling {
                    first: offset,
                    end: offset + 1,
                    how,
                }),
            }
        }
    }
    Some(all)
}

fn verdict(acknowledgement: i8, renews: bool) -> Option<Verdict> {
    match acknowledgement {
        GAP | ACCEPT => Some(Verdict::Accept),
        RELEASE => Some(Verdict::Release),
        REJECT => Some(Verdict::Reject),
        RENEW if renews => Some(Verdict::Extend),
        _ => None,
    }
}

/// Settles records.
pub(super) fn acknowledge(
    core: &mut Core,
    request: ShareAcknowledgeRequest,
    _version: i16,
) -> Step {
    let ids: Vec<Uuid> = request.topics.iter().map(|topic| topic.topic_id).collect();
    with_names(core, ids.into_iter(), move |core| {
        let who = who(request.group_id, request.member_id);
        let plan = match plan_settling(core, &who, request.share_session_epoch) {
            Ok(plan) => plan,
            Err(code) => return not_acknowledged(code, None),
        };
        let mut lease = LeaseRequest {
            group: who.0,
            member: who.1,
            parts: Vec::new(),
            bytes_min: 0,
            wait_ms: 0,
            bytes_max: 0,
            records_max: 0,
            exactly: false,
            ends: plan.ends,
        };
        let mut asked = Asked::new();
        for topic in request.topics {
            for one in topic.partitions {
                let batches = &one.acknowledgement_batches;
                let Some(settles) = settlings(batches, request.is_renew_ack) else {
                    return not_acknowledged(Code::INVALID_REQUEST, None);
                };
                let key = (topic.topic_id, one.partition_index);
                asked.push((key, add_part(core, &mut lease, key, settles, false)));
            }
        }
        Step::group(GroupRequest::Lease(Box::new(lease)), move |_, reply| {
            let GroupReply::Leased(result) = reply else {
                return Step::misunderstood();
            };
            match result {
                Ok(leased) => Step::answer(acknowledged(asked, *leased)),
                Err(error) => not_acknowledged(of_group(&error), text_of_group(&error)),
            }
        })
    })
}

fn not_acknowledged(code: Code, text: Option<String>) -> Step {
    Step::answer(ShareAcknowledgeResponse {
        error_code: code.0,
        error_message: text,
        ..ShareAcknowledgeResponse::default()
    })
}

fn acknowledged(asked: Asked, leased: Leased) -> ShareAcknowledgeResponse {
    let mut responses: Vec<ShareAcknowledgeTopicResponse> = Vec::new();
    let mut parts = leased.parts.into_iter();
    for ((id, index), result) in asked {
        let settled = result.map(|()| parts.next().map_or(Ok(()), |part| part.settled));
        let (code, error_message) = match settled {
            Ok(Ok(())) => (Code::NONE, None),
            Ok(Err(error)) => (of_group(&error), text_of_settling(&error)),
            Err(code) => (code, None),
        };
        let part = Acknowledged {
            partition_index: index,
            error_code: code.0,
            error_message,
            current_leader: LeaderIdAndEpoch {
                leader_id: -1,
                leader_epoch: LEADER_EPOCH,
            },
        };
        match responses.last_mut() {
            Some(last) if last.topic_id == id => last.partitions.push(part),
            _ => responses.push(ShareAcknowledgeTopicResponse {
                topic_id: id,
                partitions: vec![part],
            }),
        }
    }
    ShareAcknowledgeResponse {
        acquisition_lock_timeout_ms: i32::try_from(leased.lease_ms).unwrap_or(i32::MAX),
        responses,
        ..ShareAcknowledgeResponse::default()
    }
}
