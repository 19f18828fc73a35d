//! Kafka's words to the model's and back.

mod compaction;
mod group_settings;
mod messages;
mod names;
mod runs;
mod topic_settings;

pub use compaction::COMPACTOR;
pub(crate) use compaction::keyless_records;
pub(crate) use group_settings::{GROUP_SETTINGS, group_settings};
pub use messages::{read_headers, read_messages, read_property};
pub(crate) use names::is_topic_name;
pub(crate) use runs::{LEADER_EPOCH, batch_of_run, wire_time};
pub(crate) use topic_settings::{SETTINGS, Setting, Sort, apply, new_settings, setting};
