//! The APIs: their numbers, the versions that this codec has, and from which one on they are flexible.

use std::ops::RangeInclusive;

use super::error::CodecError;
use super::messages::Shape;

macro_rules! first_flexible {
    (flexible $version:literal) => {
        $version
    };
    (never flexible) => {
        i16::MAX
    };
}

macro_rules! apis {
    ($( $name:ident = $key:literal, $versions:expr, $how:ident $flexible:tt; )*) => {
        /// An API, by Kafka's name for it.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[allow(missing_docs, reason = "the module of a message says what its API does")]
        #[repr(i16)]
        pub enum Api {
            $( $name = $key, )*
        }

        impl Api {
            /// All that this codec has, by their numbers.
            pub const ALL: &[Self] = &[$( Self::$name, )*];

            /// The API of this number.
            #[must_use]
            pub const fn from_key(key: i16) -> Option<Self> {
                match key {
                    $( $key => Some(Self::$name), )*
                    _ => None,
                }
            }

            /// The versions that this codec has.
            #[must_use]
            pub const fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $( Self::$name => $versions, )*
                }
            }

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$name => stringify!($name), )*
                }
            }

            const fn flexible_from(self) -> i16 {
                match self {
                    $( Self::$name => first_flexible!($how $flexible), )*
                }
            }
        }
    };
}

apis! {
    Produce = 0, 3..=13, flexible 9;
    Fetch = 1, 4..=18, flexible 12;
    ListOffsets = 2, 1..=11, flexible 6;
    Metadata = 3, 0..=13, flexible 9;
    OffsetCommit = 8, 2..=10, flexible 8;
    OffsetFetch = 9, 1..=10, flexible 6;
    FindCoordinator = 10, 0..=6, flexible 3;
    JoinGroup = 11, 0..=9, flexible 6;
    Heartbeat = 12, 0..=4, flexible 4;
    LeaveGroup = 13, 0..=5, flexible 4;
    SyncGroup = 14, 0..=5, flexible 4;
    DescribeGroups = 15, 0..=6, flexible 5;
    ListGroups = 16, 0..=5, flexible 3;
    SaslHandshake = 17, 0..=1, never flexible;
    ApiVersions = 18, 0..=4, flexible 3;
    CreateTopics = 19, 2..=7, flexible 5;
    DeleteTopics = 20, 1..=6, flexible 4;
    DeleteRecords = 21, 0..=2, flexible 2;
    InitProducerId = 22, 0..=5, flexible 2;
    OffsetForLeaderEpoch = 23, 2..=4, flexible 4;
    AddPartitionsToTxn = 24, 0..=5, flexible 3;
    AddOffsetsToTxn = 25, 0..=4, flexible 3;
    EndTxn = 26, 0..=5, flexible 3;
    WriteTxnMarkers = 27, 1..=2, flexible 1;
    TxnOffsetCommit = 28, 0..=5, flexible 3;
    DescribeAcls = 29, 1..=3, flexible 2;
    CreateAcls = 30, 1..=3, flexible 2;
    DeleteAcls = 31, 1..=3, flexible 2;
    DescribeConfigs = 32, 1..=4, flexible 4;
    AlterConfigs = 33, 0..=2, flexible 2;
    DescribeLogDirs = 35, 1..=4, flexible 2;
    SaslAuthenticate = 36, 0..=2, flexible 2;
    CreatePartitions = 37, 0..=3, flexible 2;
    DeleteGroups = 42, 0..=2, flexible 2;
    ElectLeaders = 43, 0..=2, flexible 2;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1;
    AlterPartitionReassignments = 45, 0..=1, flexible 0;
    ListPartitionReassignments = 46, 0..=0, flexible 0;
    OffsetDelete = 47, 0..=0, never flexible;
    DescribeClientQuotas = 48, 0..=1, flexible 1;
    AlterClientQuotas = 49, 0..=1, flexible 1;
    DescribeUserScramCredentials = 50, 0..=0, flexible 0;
    AlterUserScramCredentials = 51, 0..=0, flexible 0;
    DescribeCluster = 60, 0..=2, flexible 0;
    DescribeProducers = 61, 0..=0, flexible 0;
    DescribeTransactions = 65, 0..=0, flexible 0;
    ListTransactions = 66, 0..=2, flexible 0;
    ConsumerGroupHeartbeat = 68, 0..=1, flexible 0;
    ConsumerGroupDescribe = 69, 0..=1, flexible 0;
    ListConfigResources = 74, 0..=1, flexible 0;
    DescribeTopicPartitions = 75, 0..=0, flexible 0;
    ShareGroupHeartbeat = 76, 1..=1, flexible 0;
    ShareGroupDescribe = 77, 1..=1, flexible 0;
    ShareFetch = 78, 1..=2, flexible 0;
    ShareAcknowledge = 79, 1..=2, flexible 0;
    DescribeShareGroupOffsets = 90, 0..=1, flexible 0;
    AlterShareGroupOffsets = 91, 0..=0, flexible 0;
    DeleteShareGroupOffsets = 92, 0..=0, flexible 0;
}

impl Api {
    /// Its number.
    #[must_use]
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// True if this version has compact lengths and tagged fields.
    #[inline]
    #[must_use]
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_from()
    }

    /// How a message of this version looks.
    pub(super) fn shape(self, version: i16) -> Result<Shape, CodecError> {
        if self.versions().contains(&version) {
            Ok(self.shape_near(version))
        } else {
            Err(CodecError::UnknownVersion {
                api: self.key(),
                version,
            })
        }
    }

    /// How a message of this version looks, or of the one next to it that there is.
    pub(super) fn shape_near(self, version: i16) -> Shape {
        let versions = self.versions();
        let version = version.clamp(*versions.start(), *versions.end());
        Shape {
            version,
            flexible: self.is_flexible(version),
            nullable: false,
        }
    }
}
