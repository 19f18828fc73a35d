//! The names on the broker: one place, so that no program can misspell them.

/// The media type of a sale message.
pub const CONTENT_TYPE: &str = "application/json";
/// How often inventory tries a message before it becomes a dead letter.
pub const ATTEMPTS_MAX: u32 = 3;
/// The header with the number of the attempt: on a message in a queue the one that comes (absent on the first), on a dead
/// letter the last one.
pub const HEADER_ATTEMPT: &str = "x-shop-attempt";
/// The header that says why the last attempt failed.
pub const HEADER_REASON: &str = "x-shop-reason";

/// The header that says whose consumer failed.
pub const HEADER_QUEUE: &str = "x-shop-queue";

/// What the exchanges, queues and routing keys are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The durable topic exchange that every sale is published to.
    pub sales_exchange: String,
    /// The routing key of a sale.
    pub sale_created: String,
    /// Where billing's messages wait.
    pub billing_queue: String,
    /// Where inventory's messages wait.
    pub inventory_queue: String,
    /// The durable direct exchange for messages that were given up.
    pub sales_dead: String,
    /// What billing gave up; the queue's name is its routing key too.
    pub billing_dead_letters: String,
    /// What inventory gave up; the queue's name is its routing key too.
    pub inventory_dead_letters: String,
}

impl Names {
    /// The names, each with `prefix` in front, so that several shops can share one broker. The prefix is usually empty.
    #[must_use]
    pub fn with_prefix(prefix: &str) -> Self {
        let name = |plain: &str| format!("{prefix}{plain}");
        Self {
            sales_exchange: name("sales_exchange"),
            sale_created: "sale.created".to_owned(),
            billing_queue: name("billing_queue"),
            inventory_queue: name("inventory_queue"),
            sales_dead: name("sales_dead"),
            billing_dead_letters: name("billing_dead_letters"),
            inventory_dead_letters: name("inventory_dead_letters"),
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::with_prefix("")
    }
}
