//! What bounds groups.

use polybus_model::Millis;

/// Bounds and times of groups. The defaults are Kafka's, but where it says otherwise.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// At most so many groups in all namespaces together (Kafka: no bound).
    pub groups_max: usize,
    /// At most so many members in one group, those included that are yet to come back with their id (Kafka: no bound).
    pub members_max: usize,
    /// At most so many bytes of what members say and of offsets, in all groups together (Kafka: no bound).
    pub bytes_max: usize,
    /// The first members of an empty group have so long to come before the work is shared out, and as long again after
    /// each that came, up to their rebalance timeout. Kafka waits 3 s, its quick start's configuration not at all. Members of one
    /// application start within a moment of each other: this is long enough that they share one rebalance, and short
    /// enough that a console tool does not seem to hang.
    pub initial_delay_ms: Millis,
    /// The shortest session timeout that a member may ask for.
    pub session_timeout_ms_min: Millis,
    /// The longest.
    pub session_timeout_ms_max: Millis,
    /// Offsets are forgotten so long after the group's last member left, or, where it never had any or has some that do not read
    /// the log any more, after the commit.
    pub retention_ms: Millis,
    /// The longest remark on an offset, in bytes.
    pub remark_bytes_max: usize,
}

/// How often it is looked whether a group has offsets of logs that its members do not read any more (Kafka's).
const UNREAD_LOOK_MS: Millis = 10 * 60_000;

impl GroupOptions {
    /// The same, where offsets are kept for less.
    pub(super) fn unread_look_ms(&self) -> Millis {
        UNREAD_LOOK_MS.min(self.retention_ms)
    }
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            groups_max: 100_000,
            members_max: 10_000,
            bytes_max: 256 << 20,
            initial_delay_ms: 100,
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 30 * 60_000,
            retention_ms: 7 * 24 * 3_600_000,
            remark_bytes_max: 4_096,
        }
    }
}
