//! What a session asks of groups, and what it is told.
//!
//! A **group** reads: its members share the partitions of logs among themselves and remember, per partition, up to where
//! they have come. The engine keeps members, generations and offsets; what members tell each other (subscriptions,
//! assignments) are bytes of their protocol's.

use bytes::Bytes;

use crate::{
    GroupSettings, LeaseRequest, Leased, Millis, Name, PartitionName, ReaderReply, ReaderRequest,
    Sight, Transactor, WindowSummary,
};

/// A member's way to share the work: the name of an assignor and what it says to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignor {
    /// Its name; members of a group must have one in common.
    pub name: String,
    /// The member's bytes for it.
    pub metadata: Bytes,
}

/// A member that wants to join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// The group.
    pub group: String,
    /// The member's id; none for one that has none yet.
    pub member: Option<String>,
    /// An id to give to it if it has none: unique, made by the session.
    pub new_member: String,
    /// A member without an id is told [`GroupError::MemberIdRequired`] first, and joins when it comes back with it.
    pub id_first: bool,
    /// The name of a member that keeps its place over a restart.
    pub instance: Option<String>,
    /// What the client calls itself, for listings.
    pub client: String,
    /// The client's address, for listings.
    pub host: String,
    /// Without a sign of life for so long it is out, in milliseconds.
    pub session_timeout_ms: Millis,
    /// It has so long to come back when the group is shared out anew, in milliseconds.
    pub rebalance_timeout_ms: Millis,
    /// What sort of group: all members must agree (`consumer`).
    pub protocol_type: String,
    /// Its assignors, the one it likes best first.
    pub assignors: Vec<Assignor>,
    /// It understands [`Joined::skip_assignment`].
    pub can_skip_assignment: bool,
    /// The logs that it subscribes to, if its protocol says so.
    pub reads: Option<Vec<Name>>,
    /// The partitions in its hands, if its protocol says so.
    pub owned: Vec<PartitionName>,
}

/// A member of a group, in a generation of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// The generation; none for a client that assigns partitions to itself.
    pub generation: Option<u32>,
    /// The member's id; empty for a client that assigns partitions to itself.
    pub member: String,
    /// Its lasting name, if it has one.
    pub instance: Option<String>,
}

/// A member that leaves: by its id, or by its lasting name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaver {
    /// The member's id; empty if only the lasting name is known.
    pub member: String,
    /// Its lasting name, if it has one.
    pub instance: Option<String>,
}

/// Up to where a group has come in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupOffset {
    /// The partition.
    pub partition: PartitionName,
    /// The next offset to read.
    pub offset: u64,
    /// The leader epoch of the record before it, if the client said it.
    pub epoch: Option<u32>,
    /// The client's own remark.
    pub metadata: String,
}

/// What a member says of where it stands, in a group whose work the broker shares out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It joins, with nothing in its hands.
    Joins,
    /// It works in this epoch.
    Works(u32),
    /// It leaves.
    Leaves,
    /// It will come back under its lasting name.
    Pauses,
}

/// A sign of life of a member whose share of the work the broker decides. What has not changed may be left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beat {
    /// The group.
    pub group: String,
    /// The member's id: unique, made by the client, or by the session for a client that leaves it out.
    pub member: String,
    /// Its lasting name, if it has one.
    pub instance: Option<String>,
    /// What the client calls itself, for listings.
    pub client: String,
    /// The client's address, for listings.
    pub host: String,
    /// Where it stands.
    pub standing: Standing,
    /// It has so long to give partitions back, in milliseconds.
    pub rebalance_timeout_ms: Option<Millis>,
    /// The logs it reads.
    pub reads: Option<Vec<Name>>,
    /// A pattern of the names of other logs it reads; empty: none any more.
    pub pattern: Option<String>,
    /// Which logs a pattern may find: the broker says it.
    pub sight: Sight,
    /// The assignor it likes (`uniform` or `range`).
    pub assignor: Option<String>,
    /// The partitions in its hands.
    pub owned: Option<Vec<PartitionName>>,
}

/// The answer to a sign of life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BeatAnswer {
    /// The member's id.
    pub member: String,
    /// The epoch it works in from now on; not for one that leaves.
    pub epoch: Option<u32>,
    /// When the next sign of life is wanted, in milliseconds.
    pub interval_ms: Millis,
    /// What it may have in its hands, if that has changed or it asks for it.
    pub assignment: Option<Vec<PartitionName>>,
}

/// What a session asks of groups.
#[derive(Clone, Debug)]
pub enum GroupRequest {
    /// Join. Answers [`GroupReply::Joined`] when all members are there or their time is over.
    Join(Join),
    /// Hand the assignments in (the leader), or ask for one's own. Answers [`GroupReply::Synced`] when the leader has.
    Sync {
        /// Who.
        membership: Membership,
        /// The protocol type the client believes in, if it says it.
        protocol_type: Option<String>,
        /// The assignor the client believes in, if it says it.
        assignor: Option<String>,
        /// Member ids and what each is to do: from the leader only.
        assignments: Vec<(String, Bytes)>,
        /// The same as partitions, in their order, as far as the session can read them.
        shares: Vec<Vec<PartitionName>>,
    },
    /// A sign of life of a member whose work the broker shares out. Answers [`GroupReply::Beat`].
    Beat(Box<Beat>),
    /// A sign of life of a member of a group that leases. Answers [`GroupReply::Beat`].
    Attend(Box<Beat>),
    /// Settle leases, and lease more. Answers [`GroupReply::Leased`], when what was settled is durable.
    Lease(Box<LeaseRequest>),
    /// How far a group that leases has come (none: in all partitions). Answers [`GroupReply::Windows`].
    Windows {
        /// The group.
        group: String,
        /// Of which partitions.
        partitions: Option<Vec<PartitionName>>,
    },
    /// Let a group that leases begin anew at these offsets. Answers [`GroupReply::Committed`] when durable.
    MoveWindows {
        /// The group; it must have no members.
        group: String,
        /// Where.
        to: Vec<(PartitionName, u64)>,
    },
    /// Forget how far a group that leases has come in these logs. Answers [`GroupReply::Committed`] when durable.
    CloseWindows {
        /// The group; it must have no members.
        group: String,
        /// Which.
        logs: Vec<Name>,
    },
    /// How groups lease. Answers [`GroupReply::Settings`]; what stands here as an error is answered with it.
    Settings(Vec<Result<String, GroupError>>),
    /// Say how a group leases, before it is there or after. Answers [`GroupReply::Done`] when durable.
    Configure {
        /// The group.
        group: String,
        /// How.
        settings: Box<GroupSettings>,
    },
    /// A sign of life. Answers [`GroupReply::Done`].
    Heartbeat(Membership),
    /// Leave. Answers [`GroupReply::Left`].
    Leave {
        /// The group.
        group: String,
        /// Who.
        leavers: Vec<Leaver>,
    },
    /// Remember offsets. Answers [`GroupReply::Committed`] when durable.
    Commit {
        /// Who.
        membership: Membership,
        /// Where it is.
        offsets: Vec<GroupOffset>,
        /// The positions of those that the session may not have remembered: the broker says them.
        forbidden: Vec<u32>,
    },
    /// Remember offsets when a producer's transaction is committed; the group was added to it. Answers
    /// [`GroupReply::Committed`] when durable.
    CommitInTransaction {
        /// Whose transaction.
        transactor: Transactor,
        /// Who.
        membership: Membership,
        /// Where it is.
        offsets: Vec<GroupOffset>,
        /// The positions of those that the session may not have remembered: the broker says them.
        forbidden: Vec<u32>,
    },
    /// The offsets remembered (none: all). Answers [`GroupReply::Offsets`].
    Offsets {
        /// Who asks: the group, and where the protocol says it, the member.
        membership: Membership,
        /// Of which partitions.
        partitions: Option<Vec<PartitionName>>,
        /// Fail where a transaction has offsets that are not yet committed.
        stable: bool,
    },
    /// Forget offsets. Answers [`GroupReply::Committed`].
    ForgetOffsets {
        /// The group.
        group: String,
        /// Of which partitions.
        partitions: Vec<PartitionName>,
    },
    /// List groups. Answers [`GroupReply::Groups`].
    List,
    /// Describe groups. Answers [`GroupReply::Described`]; what stands here as an error is answered with it.
    Describe(Vec<Result<String, GroupError>>),
    /// Describe groups whose work the broker shares out. Answers [`GroupReply::SharedDescribed`]; what stands here as an
    /// error is answered with it.
    DescribeShared(Vec<Result<String, GroupError>>),
    /// Describe groups that lease. Answers [`GroupReply::SharedDescribed`], likewise.
    DescribeLeasing(Vec<Result<String, GroupError>>),
    /// Delete groups. Answers [`GroupReply::Deleted`]; what stands here as an error is answered with it.
    Delete(Vec<Result<String, GroupError>>),
    /// Something of readers. Answers [`GroupReply::Reader`].
    Reader(Box<ReaderRequest>),
    /// The broker puts this in place of what the session may not ask: it is answered so.
    Refused(Box<GroupReply>),
}

/// What can go wrong with a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupError {
    /// There is no such group.
    NotFound,
    /// The group's name is not one.
    InvalidName,
    /// The group does not know the member.
    UnknownMember,
    /// Another client has the member's lasting name by now.
    Fenced,
    /// The generation is over.
    OldGeneration,
    /// The member's epoch is not the one that the group knows: join again, with nothing in hand.
    FencedEpoch,
    /// The member's epoch is over, and it will hear of the new one.
    StaleEpoch,
    /// A client is at work under that lasting name.
    InstanceInUse,
    /// There is no such assignor.
    UnknownAssignor,
    /// The pattern of names cannot be used; the text says why.
    InvalidPattern(String),
    /// The request contradicts itself; the text says how.
    InvalidRequest(String),
    /// The group is being shared out anew: join again.
    Rebalancing,
    /// No assignor that all members have, or another protocol type.
    Inconsistent,
    /// The session timeout is not one that the broker allows.
    InvalidTimeout,
    /// Join again with this id.
    MemberIdRequired(String),
    /// The group still has members.
    NotEmpty,
    /// A member reads that log.
    Subscribed,
    /// As many members are in the group as the broker allows.
    Full,
    /// The remark on an offset is too long.
    MetadataTooLarge,
    /// There is no such partition.
    UnknownPartition,
    /// Offsets of a transaction are not yet committed.
    Unstable,
    /// There is no such producer with transactions.
    UnknownProducer,
    /// A newer epoch of the producer is there.
    FencedProducer,
    /// The group was not added to the producer's transaction.
    NoTransaction,
    /// The records are not leased to the member.
    NotLeased,
    /// The session may not.
    Forbidden,
    /// It cannot be done now; the text says why.
    Unavailable(String),
}

/// A member that has joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// The generation.
    pub generation: u32,
    /// The sort of group.
    pub protocol_type: String,
    /// The assignor that was chosen.
    pub assignor: String,
    /// Who is to assign.
    pub leader: String,
    /// This member's id.
    pub member: String,
    /// All members with their lasting names and their bytes for the assignor: for the leader only.
    pub members: Vec<(String, Option<String>, Bytes)>,
    /// The leader came back under its lasting name, and is not to assign anew.
    pub skip_assignment: bool,
}

/// A state that a group is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupState {
    /// No members; offsets may be remembered.
    Empty,
    /// Waiting for members to join.
    Joining,
    /// Waiting for the leader's assignments.
    Assigning,
    /// Members give back and take over what the broker has shared out anew.
    Reconciling,
    /// All members work.
    Stable,
    /// There is no such group.
    Gone,
}

/// A member as listings show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberSummary {
    /// Its id.
    pub member: String,
    /// Its lasting name.
    pub instance: Option<String>,
    /// What the client calls itself.
    pub client: String,
    /// Its address.
    pub host: String,
    /// Its bytes for the chosen assignor.
    pub metadata: Bytes,
    /// What it is to do.
    pub assignment: Bytes,
}

/// Who shares out a group's work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Its members among themselves.
    ByMembers,
    /// The broker.
    ByBroker,
    /// The broker, record by record.
    Leased,
}

/// A group as listings show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupSummary {
    /// Its name.
    pub group: String,
    /// Its state.
    pub state: GroupState,
    /// Who shares out its work.
    pub sharing: Sharing,
    /// The sort of group.
    pub protocol_type: String,
    /// The chosen assignor.
    pub assignor: String,
    /// Its members.
    pub members: Vec<MemberSummary>,
}

/// A member whose work the broker shares out, as listings show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SharedMemberSummary {
    /// Its id.
    pub member: String,
    /// Its lasting name.
    pub instance: Option<String>,
    /// What the client calls itself.
    pub client: String,
    /// Its address.
    pub host: String,
    /// The epoch it works in; none while it is away.
    pub epoch: Option<u32>,
    /// The logs it names.
    pub reads: Vec<Name>,
    /// The pattern of others that it reads.
    pub pattern: Option<String>,
    /// It speaks as where members share the work out themselves.
    pub is_guest: bool,
    /// What it may have in its hands.
    pub assigned: Vec<PartitionName>,
    /// What it is to have.
    pub target: Vec<PartitionName>,
}

/// A group whose work the broker shares out, as listings show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SharedSummary {
    /// Its name.
    pub group: String,
    /// Its state.
    pub state: GroupState,
    /// It rises with every change of members, of what they read, and of logs.
    pub epoch: u32,
    /// The epoch that was shared out last.
    pub assigned_epoch: u32,
    /// The assignor.
    pub assignor: String,
    /// Its members.
    pub members: Vec<SharedMemberSummary>,
}

/// What a session is told of groups.
#[derive(Clone, Debug)]
pub enum GroupReply {
    /// To a join.
    Joined(Result<Box<Joined>, GroupError>),
    /// To a sync: the protocol type, the assignor and what the member is to do.
    Synced(Result<(String, String, Bytes), GroupError>),
    /// To a sync where the broker shares out the work, and the member speaks as where members do.
    SyncedByBroker {
        /// The assignor that the member likes best.
        assignor: String,
        /// What the member is to do.
        share: Vec<PartitionName>,
    },
    /// To a sign of life where the broker shares out the work.
    Beat(Result<BeatAnswer, GroupError>),
    /// To something of readers.
    Reader(ReaderReply),
    /// To a lease.
    Leased(Result<Box<Leased>, GroupError>),
    /// How far a group has come; partitions that it has not begun with are left out.
    Windows(Result<Vec<WindowSummary>, GroupError>),
    /// For each group, in order.
    Settings(Vec<Result<GroupSettings, GroupError>>),
    /// To a heartbeat, and to what has nothing to tell.
    Done(Result<(), GroupError>),
    /// To a leave: for the group, then for each leaver.
    Left(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// For each offset, in order.
    Committed(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// The offsets that are remembered; partitions without one are left out.
    Offsets(Result<Vec<GroupOffset>, GroupError>),
    /// All groups of the namespace, without their members.
    Groups(Vec<GroupSummary>),
    /// For each group, in order; one that is not there is [`GroupState::Gone`].
    Described(Vec<Result<GroupSummary, GroupError>>),
    /// For each group, in order.
    SharedDescribed(Vec<Result<SharedSummary, GroupError>>),
    /// For each group, in order.
    Deleted(Vec<Result<(), GroupError>>),
}
