//! Who may do what: users with argon2 hashes and salted keys, and per namespace three regular expressions over resource names, as
//! RabbitMQ has them; beside them rules, as Kafka has them.
//!
//! ```text
//! Authenticate -> users.rs (hash, on a thread of its own) -> Principal
//! request      -> rules.rs (what it needs)  -> grants.rs (do the patterns and rules say so?) -> on, or Refused
//! ```

mod asked;
mod catalog;
mod first;
mod grants;
mod groups;
mod kept_quota;
mod kept_rule;
mod key_rules;
mod logs;
mod passwords;
mod permissions;
mod rules;
mod scram;
mod sight;

pub(crate) use asked::{Asker, answer};
pub(crate) use catalog::{Catalog, Change, User};
pub(crate) use first::first_user;
pub(crate) use grants::Grants;
pub use key_rules::KeptKeyRules;
pub(crate) use logs::{Logs, refuse_parts, refuse_whole};
pub(crate) use passwords::Passwords;
pub(crate) use permissions::{Patterns, Permissions};
pub(crate) use rules::{live_refused, refuse_forbidden, refuse_live};
pub(crate) use scram::ScramKeys;
pub(crate) use sight::show;

/// What a request needs of a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Create, delete, change.
    Configure,
    /// Put messages in.
    Write,
    /// Take messages out.
    Read,
}
