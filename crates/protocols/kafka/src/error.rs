//! The model's failures in Kafka's words: the numbers that clients see, and nowhere else in this crate spelled out.

use polybus_model::{AccessError, Error, GroupError, Kind, LogError};

/// An error number of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Code(pub(crate) i16);

#[rustfmt::skip]
impl Code {
    pub(crate) const UNKNOWN: Self = Self(-1);
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const OFFSET_OUT_OF_RANGE: Self = Self(1);
    pub(crate) const CORRUPT_MESSAGE: Self = Self(2);
    pub(crate) const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    pub(crate) const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    pub(crate) const INVALID_TOPIC: Self = Self(17);
    pub(crate) const MESSAGE_TOO_LARGE: Self = Self(10);
    pub(crate) const OFFSET_METADATA_TOO_LARGE: Self = Self(12);
    pub(crate) const INVALID_REQUIRED_ACKS: Self = Self(21);
    pub(crate) const ILLEGAL_GENERATION: Self = Self(22);
    pub(crate) const INCONSISTENT_GROUP_PROTOCOL: Self = Self(23);
    pub(crate) const INVALID_GROUP_ID: Self = Self(24);
    pub(crate) const UNKNOWN_MEMBER_ID: Self = Self(25);
    pub(crate) const INVALID_SESSION_TIMEOUT: Self = Self(26);
    pub(crate) const REBALANCE_IN_PROGRESS: Self = Self(27);
    pub(crate) const TOPIC_AUTHORIZATION_FAILED: Self = Self(29);
    pub(crate) const GROUP_AUTHORIZATION_FAILED: Self = Self(30);
    pub(crate) const UNSUPPORTED_SASL_MECHANISM: Self = Self(33);
    pub(crate) const ILLEGAL_SASL_STATE: Self = Self(34);
    pub(crate) const UNSUPPORTED_VERSION: Self = Self(35);
    pub(crate) const TOPIC_ALREADY_EXISTS: Self = Self(36);
    pub(crate) const INVALID_PARTITIONS: Self = Self(37);
    pub(crate) const INVALID_REPLICATION_FACTOR: Self = Self(38);
    pub(crate) const INVALID_REPLICA_ASSIGNMENT: Self = Self(39);
    pub(crate) const INVALID_CONFIG: Self = Self(40);
    pub(crate) const INVALID_REQUEST: Self = Self(42);
    pub(crate) const POLICY_VIOLATION: Self = Self(44);
    pub(crate) const OUT_OF_ORDER_SEQUENCE_NUMBER: Self = Self(45);
    pub(crate) const DUPLICATE_SEQUENCE_NUMBER: Self = Self(46);
    pub(crate) const INVALID_PRODUCER_EPOCH: Self = Self(47);
    pub(crate) const INVALID_TXN_STATE: Self = Self(48);
    pub(crate) const INVALID_PRODUCER_ID_MAPPING: Self = Self(49);
    pub(crate) const CONCURRENT_TRANSACTIONS: Self = Self(51);
    pub(crate) const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Self = Self(53);
    pub(crate) const OPERATION_NOT_ATTEMPTED: Self = Self(55);
    pub(crate) const KAFKA_STORAGE_ERROR: Self = Self(56);
    pub(crate) const SASL_AUTHENTICATION_FAILED: Self = Self(58);
    pub(crate) const UNKNOWN_PRODUCER_ID: Self = Self(59);
    pub(crate) const NON_EMPTY_GROUP: Self = Self(68);
    pub(crate) const GROUP_ID_NOT_FOUND: Self = Self(69);
    pub(crate) const FETCH_SESSION_ID_NOT_FOUND: Self = Self(70);
    pub(crate) const INVALID_FETCH_SESSION_EPOCH: Self = Self(71);
    pub(crate) const UNKNOWN_LEADER_EPOCH: Self = Self(75);
    pub(crate) const MEMBER_ID_REQUIRED: Self = Self(79);
    pub(crate) const GROUP_MAX_SIZE_REACHED: Self = Self(81);
    pub(crate) const FENCED_INSTANCE_ID: Self = Self(82);
    pub(crate) const GROUP_SUBSCRIBED_TO_TOPIC: Self = Self(86);
    pub(crate) const INVALID_RECORD: Self = Self(87);
    pub(crate) const THROTTLING_QUOTA_EXCEEDED: Self = Self(89);
    pub(crate) const UNSTABLE_OFFSET_COMMIT: Self = Self(88);
    pub(crate) const ELECTION_NOT_NEEDED: Self = Self(84);
    pub(crate) const NO_REASSIGNMENT_IN_PROGRESS: Self = Self(85);
    pub(crate) const CLUSTER_AUTHORIZATION_FAILED: Self = Self(31);
    pub(crate) const RESOURCE_NOT_FOUND: Self = Self(91);
    pub(crate) const DUPLICATE_RESOURCE: Self = Self(92);
    pub(crate) const UNACCEPTABLE_CREDENTIAL: Self = Self(93);
    pub(crate) const INVALID_TIMESTAMP: Self = Self(32);
    pub(crate) const PRODUCER_FENCED: Self = Self(90);
    pub(crate) const UNKNOWN_TOPIC_ID: Self = Self(100);
    pub(crate) const INVALID_TRANSACTION_TIMEOUT: Self = Self(50);
    pub(crate) const LEADER_NOT_AVAILABLE: Self = Self(5);
    pub(crate) const UNSUPPORTED_COMPRESSION_TYPE: Self = Self(76);
    pub(crate) const TRANSACTIONAL_ID_NOT_FOUND: Self = Self(105);
    pub(crate) const FENCED_MEMBER_EPOCH: Self = Self(110);
    pub(crate) const UNRELEASED_INSTANCE_ID: Self = Self(111);
    pub(crate) const UNSUPPORTED_ASSIGNOR: Self = Self(112);
    pub(crate) const STALE_MEMBER_EPOCH: Self = Self(113);
    pub(crate) const INVALID_RECORD_STATE: Self = Self(121);
    pub(crate) const SHARE_SESSION_NOT_FOUND: Self = Self(122);
    pub(crate) const INVALID_SHARE_SESSION_EPOCH: Self = Self(123);
    pub(crate) const SHARE_SESSION_LIMIT_REACHED: Self = Self(133);
    pub(crate) const INVALID_REGULAR_EXPRESSION: Self = Self(128);
    pub(crate) const MISMATCHED_ENDPOINT_TYPE: Self = Self(114);
}

impl Code {
    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// What a failure with a partition or a log is called.
pub(crate) fn of_log(error: &LogError) -> Code {
    match error {
        LogError::NotFound => Code::UNKNOWN_TOPIC_OR_PARTITION,
        LogError::Replaced => Code::UNKNOWN_TOPIC_ID,
        LogError::Exists => Code::TOPIC_ALREADY_EXISTS,
        LogError::OutOfRange { .. } => Code::OFFSET_OUT_OF_RANGE,
        LogError::TooLarge => Code::MESSAGE_TOO_LARGE,
        LogError::OutOfSequence => Code::OUT_OF_ORDER_SEQUENCE_NUMBER,
        LogError::Duplicate { .. } => Code::DUPLICATE_SEQUENCE_NUMBER,
        LogError::UnknownProducer => Code::UNKNOWN_PRODUCER_ID,
        LogError::Fenced => Code::INVALID_PRODUCER_EPOCH,
        LogError::NoTransaction => Code::INVALID_TXN_STATE,
        LogError::Busy => Code::CONCURRENT_TRANSACTIONS,
        LogError::Keyed(_) => Code::POLICY_VIOLATION,
        LogError::Unsupported(_) | LogError::KeysUnknown => Code::INVALID_RECORD,
        LogError::BadTime => Code::INVALID_TIMESTAMP,
        LogError::Forbidden => Code::TOPIC_AUTHORIZATION_FAILED,
        LogError::Unavailable(_) => Code::KAFKA_STORAGE_ERROR,
        LogError::Other(error) => of_error(error),
    }
}

/// What there is to say about it beside the number.
pub(crate) fn text_of_log(error: &LogError) -> Option<String> {
    match error {
        LogError::Unsupported(text) | LogError::Unavailable(text) => Some(text.clone()),
        LogError::BadTime => Some("the time of a record is further from now than the topic's message.timestamp.before.max.ms or message.timestamp.after.max.ms allow".to_owned()),
        LogError::Other(error) => Some(error.to_string()),
        _ => None,
    }
}

/// What a failure of declaring, altering or deleting is called.
pub(crate) fn of_error(error: &Error) -> Code {
    match &error.kind {
        Kind::NotFound => Code::UNKNOWN_TOPIC_OR_PARTITION,
        Kind::Inequivalent(_) | Kind::Locked | Kind::ExclusiveUse => Code::TOPIC_ALREADY_EXISTS,
        Kind::AccessRefused(_) => Code::TOPIC_AUTHORIZATION_FAILED,
        Kind::BadCredentials => Code::SASL_AUTHENTICATION_FAILED,
        Kind::InvalidSetting(_) | Kind::InvalidRouting(_) => Code::INVALID_CONFIG,
        Kind::LimitReached(_) => Code::POLICY_VIOLATION,
        Kind::Unavailable(_) => Code::KAFKA_STORAGE_ERROR,
        Kind::Unsupported(_) => Code::INVALID_REQUEST,
        _ => Code::INVALID_TOPIC,
    }
}

/// What a failure with a group is called.
pub(crate) fn of_group(error: &GroupError) -> Code {
    match error {
        GroupError::NotFound => Code::GROUP_ID_NOT_FOUND,
        GroupError::InvalidName => Code::INVALID_GROUP_ID,
        GroupError::UnknownMember => Code::UNKNOWN_MEMBER_ID,
        GroupError::Fenced => Code::FENCED_INSTANCE_ID,
        GroupError::OldGeneration => Code::ILLEGAL_GENERATION,
        GroupError::FencedEpoch => Code::FENCED_MEMBER_EPOCH,
        GroupError::StaleEpoch => Code::STALE_MEMBER_EPOCH,
        GroupError::InstanceInUse => Code::UNRELEASED_INSTANCE_ID,
        GroupError::UnknownAssignor => Code::UNSUPPORTED_ASSIGNOR,
        GroupError::InvalidPattern(_) => Code::INVALID_REGULAR_EXPRESSION,
        GroupError::InvalidRequest(_) => Code::INVALID_REQUEST,
        GroupError::Rebalancing => Code::REBALANCE_IN_PROGRESS,
        GroupError::Inconsistent => Code::INCONSISTENT_GROUP_PROTOCOL,
        GroupError::InvalidTimeout => Code::INVALID_SESSION_TIMEOUT,
        GroupError::MemberIdRequired(_) => Code::MEMBER_ID_REQUIRED,
        GroupError::NotEmpty => Code::NON_EMPTY_GROUP,
        GroupError::Subscribed => Code::GROUP_SUBSCRIBED_TO_TOPIC,
        GroupError::Full => Code::GROUP_MAX_SIZE_REACHED,
        GroupError::MetadataTooLarge => Code::OFFSET_METADATA_TOO_LARGE,
        GroupError::UnknownPartition => Code::UNKNOWN_TOPIC_OR_PARTITION,
        GroupError::Unstable => Code::UNSTABLE_OFFSET_COMMIT,
        GroupError::UnknownProducer => Code::INVALID_PRODUCER_ID_MAPPING,
        GroupError::FencedProducer => Code::INVALID_PRODUCER_EPOCH,
        GroupError::NoTransaction => Code::INVALID_TXN_STATE,
        GroupError::NotLeased => Code::INVALID_RECORD_STATE,
        GroupError::Forbidden => Code::GROUP_AUTHORIZATION_FAILED,
        GroupError::Unavailable(_) => Code::COORDINATOR_NOT_AVAILABLE,
    }
}

/// What there is to say about it beside the number.
pub(crate) fn text_of_group(error: &GroupError) -> Option<String> {
    match error {
        GroupError::InvalidPattern(text)
        | GroupError::InvalidRequest(text)
        | GroupError::Unavailable(text) => Some(text.clone()),
        _ => None,
    }
}

/// What a failure with users and what they may do is called.
pub(crate) fn of_access(error: &AccessError) -> Code {
    match error {
        AccessError::Forbidden => Code::CLUSTER_AUTHORIZATION_FAILED,
        AccessError::NotFound => Code::RESOURCE_NOT_FOUND,
        AccessError::Invalid(_) => Code::INVALID_REQUEST,
        AccessError::Unavailable(_) => Code::KAFKA_STORAGE_ERROR,
    }
}

/// What there is to say about it beside the number.
pub(crate) fn text_of_access(error: &AccessError) -> Option<String> {
    match error {
        AccessError::Forbidden => Some(
            "it takes the tag 'administrator', or a rule that allows it for the cluster".to_owned(),
        ),
        AccessError::NotFound => None,
        AccessError::Invalid(text) | AccessError::Unavailable(text) => Some(text.clone()),
    }
}
