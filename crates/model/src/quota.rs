//! Quotas: how much a client may do in a second, by who it is, what it calls itself or where it comes from.

/// Whom one part of a quota's owner means.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Whose {
    /// Each that has no quota of its own, each for itself.
    Default,
    /// The one of this name.
    Named(String),
}

/// Whose a quota is. What is not said does not matter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct QuotaOwner {
    /// Of that user.
    pub user: Option<Whose>,
    /// Of whoever calls itself that.
    pub client: Option<Whose>,
    /// From that address; then nothing else is said.
    pub host: Option<Whose>,
}

/// What a quota is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Metered {
    /// Bytes of messages that are put in.
    BytesIn,
    /// Bytes of messages that are taken out.
    BytesOut,
    /// The share of the broker's time, in percent.
    Time,
    /// Connections.
    Connections,
    /// Partitions that are made and deleted.
    Changes,
}

/// One quota.
#[derive(Clone, PartialEq, Debug)]
pub struct Quota {
    /// Whose.
    pub owner: QuotaOwner,
    /// About what.
    pub metered: Metered,
    /// So much in a second.
    pub rate: f64,
}

/// A change of one quota.
#[derive(Clone, PartialEq, Debug)]
pub struct QuotaChange {
    /// Whose.
    pub owner: QuotaOwner,
    /// About what.
    pub metered: Metered,
    /// So much in a second; none: there is no such quota any more.
    pub rate: Option<f64>,
}
