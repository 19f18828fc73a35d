//! Which APIs are spoken, in which versions, and who answers each. What is not in this table is not advertised.

use super::core::Core;
use super::pending::Step;
use super::{
    acls, cluster, config_changes, config_resources, configs, fetch, group_offsets, groups,
    log_dirs, metadata, offsets,
};
use super::{consumer_groups, topics, transactions};
use super::{produce, producers, quotas, records, replicas, scram, share_fetch, share_groups};
use crate::codec::messages::api_versions::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use crate::codec::{Api, CodecError, Message, Reader};
use crate::error::Code;

/// Advertised although nothing below 3 is taken: otherwise older librdkafkas send their batches uncompressed.
const PRODUCE_ADVERTISED_MIN: i16 = 0;

type Handler = fn(&mut Core, &mut Reader<'_>, i16) -> Result<Step, CodecError>;

/// An API that is spoken.
struct Spoken {
    api: Api,
    min: i16,
    max: i16,
    handle: Handler,
}

macro_rules! spoken {
    ($( $api:ident $min:literal..=$max:literal $handler:path; )*) => {
        &[$( Spoken {
            api: Api::$api,
            min: $min,
            max: $max,
            handle: |core, reader, version| {
                // What is left behind it is left alone, as Kafka does: librdkafka 2.16 lists all topics with three bytes too many.
                let request = Message::decode(reader, version)?;
                Ok($handler(core, request, version))
            },
        }, )*]
    };
}

const SPOKEN: &[Spoken] = spoken! {
    Produce 3..=13 produce::produce;
    Fetch 4..=17 fetch::fetch;
    ListOffsets 1..=10 offsets::list_offsets;
    Metadata 0..=13 metadata::metadata;
    OffsetCommit 2..=9 group_offsets::commit;
    OffsetFetch 1..=9 group_offsets::fetch;
    FindCoordinator 0..=6 cluster::find_coordinator;
    JoinGroup 0..=9 groups::join;
    Heartbeat 0..=4 groups::heartbeat;
    LeaveGroup 0..=5 groups::leave;
    SyncGroup 0..=5 groups::sync;
    DescribeGroups 0..=6 groups::describe;
    ListGroups 0..=5 groups::list;
    CreateTopics 2..=7 topics::create;
    DeleteTopics 1..=6 topics::delete;
    DeleteRecords 0..=2 records::delete;
    InitProducerId 0..=5 producers::init;
    AddPartitionsToTxn 0..=3 transactions::add_partitions;
    AddOffsetsToTxn 0..=4 transactions::add_group;
    EndTxn 0..=5 transactions::end;
    TxnOffsetCommit 0..=5 transactions::commit_offsets;
    OffsetForLeaderEpoch 2..=4 offsets::for_leader_epoch;
    DescribeConfigs 1..=4 configs::describe;
    AlterConfigs 0..=2 config_changes::alter;
    DescribeLogDirs 1..=4 log_dirs::describe;
    CreatePartitions 0..=3 topics::create_partitions;
    DeleteGroups 0..=2 groups::delete;
    IncrementalAlterConfigs 0..=1 config_changes::alter_some;
    OffsetDelete 0..=0 group_offsets::delete;
    DescribeAcls 1..=3 acls::describe;
    CreateAcls 1..=3 acls::create;
    DeleteAcls 1..=3 acls::delete;
    ElectLeaders 0..=2 replicas::elect;
    AlterPartitionReassignments 0..=1 replicas::move_partitions;
    ListPartitionReassignments 0..=0 replicas::list_moves;
    DescribeClientQuotas 0..=1 quotas::describe;
    AlterClientQuotas 0..=1 quotas::alter;
    WriteTxnMarkers 1..=1 transactions::abort;
    DescribeUserScramCredentials 0..=0 scram::describe;
    AlterUserScramCredentials 0..=0 scram::alter;
    DescribeCluster 0..=2 cluster::describe;
    ConsumerGroupHeartbeat 0..=1 consumer_groups::heartbeat;
    ConsumerGroupDescribe 0..=1 consumer_groups::describe;
    DescribeProducers 0..=0 producers::describe;
    DescribeTransactions 0..=0 transactions::describe;
    ListTransactions 0..=1 transactions::list;
    ListConfigResources 0..=1 config_resources::list;
    DescribeTopicPartitions 0..=0 metadata::describe_partitions;
    ShareGroupHeartbeat 1..=1 share_groups::heartbeat;
    ShareGroupDescribe 1..=1 share_groups::describe;
    ShareFetch 1..=2 share_fetch::fetch;
    ShareAcknowledge 1..=2 share_fetch::acknowledge;
    DescribeShareGroupOffsets 0..=1 share_groups::describe_offsets;
    AlterShareGroupOffsets 0..=0 share_groups::alter_offsets;
    DeleteShareGroupOffsets 0..=0 share_groups::delete_offsets;
};

/// What the session itself answers, before anyone is let in.
const HANDSHAKES: &[(Api, i16, i16)] = &[
    (Api::SaslHandshake, 0, 1),
    (Api::ApiVersions, 0, 4),
    (Api::SaslAuthenticate, 0, 2),
];

/// True if the API can be used by whom is not let in yet.
pub(super) fn is_handshake(api_key: i16) -> bool {
    HANDSHAKES.iter().any(|(api, ..)| api.key() == api_key)
}

/// True if this version of a handshake's API is spoken.
pub(super) fn is_spoken_handshake(api: Api, version: i16) -> bool {
    HANDSHAKES
        .iter()
        .any(|(known, min, max)| *known == api && (*min..=*max).contains(&version))
}

/// Reads a request's body and begins to answer it; none if that version of that API is not spoken.
pub(super) fn dispatch(
    core: &mut Core,
    api: Api,
    version: i16,
    reader: &mut Reader<'_>,
) -> Option<Result<Step, CodecError>> {
    let spoken = SPOKEN
        .iter()
        .find(|spoken| spoken.api == api && (spoken.min..=spoken.max).contains(&version))?;
    Some((spoken.handle)(core, reader, version))
}

/// Features that clients look for by name, with their levels: groups whose work the broker shares out; share groups; transactions
/// each of which has an epoch of its own, and to which the broker adds the partitions that are written to.
const FEATURES: &[(&str, i16)] = &[
    ("group.version", 1),
    ("share.version", 1),
    ("transaction.version", 2),
];

/// What is spoken, as clients are told.
pub(super) fn api_versions(code: Code) -> ApiVersionsResponse {
    let min = |spoken: &Spoken| match spoken.api {
        Api::Produce => PRODUCE_ADVERTISED_MIN,
        _ => spoken.min,
    };
    let mut all: Vec<(i16, i16, i16)> = SPOKEN
        .iter()
        .map(|spoken| (spoken.api.key(), min(spoken), spoken.max))
        .chain(
            HANDSHAKES
                .iter()
                .map(|(api, min, max)| (api.key(), *min, *max)),
        )
        .collect();
    all.sort_unstable();
    ApiVersionsResponse {
        error_code: code.0,
        api_keys: all
            .into_iter()
            .map(|(api_key, min_version, max_version)| ApiVersion {
                api_key,
                min_version,
                max_version,
            })
            .collect(),
        supported_features: FEATURES
            .iter()
            .map(|(name, level)| SupportedFeatureKey {
                name: (*name).to_owned(),
                min_version: 0,
                max_version: *level,
            })
            .collect(),
        finalized_features_epoch: 0,
        finalized_features: FEATURES
            .iter()
            .map(|(name, level)| FinalizedFeatureKey {
                name: (*name).to_owned(),
                max_version_level: *level,
                min_version_level: *level,
            })
            .collect(),
        ..ApiVersionsResponse::default()
    }
}
