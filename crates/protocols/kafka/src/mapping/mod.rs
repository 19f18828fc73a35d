//! Kafka's words to the model's and back.

mod names;
mod runs;
mod topic_settings;

pub(crate) use names::is_topic_name;
pub(crate) use runs::{LEADER_EPOCH, batch_of_run, wire_time};
pub(crate) use topic_settings::{SETTINGS, Sort, apply, new_settings, setting};
