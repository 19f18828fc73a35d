//! How many bytes the partitions hold. There is one folder, the data folder.

use std::collections::{HashMap, HashSet};

use polybus_model::{LogReply, LogRequest, Name, WhichLogs};

use super::core::{Core, wire_index, wire_offset};
use super::pending::Step;
use crate::codec::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

/// What the data folder is called to clients: where it is is not theirs to know.
const FOLDER: &str = "data";

/// Tells sizes, of all partitions or of those asked for.
pub(super) fn describe(_core: &mut Core, request: DescribeLogDirsRequest, _version: i16) -> Step {
    let wanted: Option<HashMap<String, HashSet<i32>>> = request.topics.map(|topics| {
        let topics = topics.into_iter();
        topics
            .map(|topic| (topic.topic, topic.partitions.into_iter().collect()))
            .collect()
    });
    let which = match &wanted {
        None => WhichLogs::All,
        Some(topics) => WhichLogs::Named(
            topics
                .keys()
                .filter_map(|name| Name::new(name).ok())
                .collect(),
        ),
    };
    Step::log(LogRequest::Sizes(which), move |_, reply| {
        let LogReply::Sizes(sizes) = reply else {
            return Step::misunderstood();
        };
        let topics = sizes.into_iter().map(|(log, bytes)| {
            let name = log.name.as_str().to_owned();
            let only = wanted.as_ref().and_then(|topics| topics.get(&name));
            let each = (0..).map(wire_index).zip(bytes);
            DescribeLogDirsTopic {
                partitions: each
                    .filter(|(index, _)| only.is_none_or(|only| only.contains(index)))
                    .map(|(partition_index, bytes)| DescribeLogDirsPartition {
                        partition_index,
                        partition_size: wire_offset(bytes),
                        ..DescribeLogDirsPartition::default()
                    })
                    .collect(),
                name,
            }
        });
        Step::answer(DescribeLogDirsResponse {
            results: vec![DescribeLogDirsResult {
                log_dir: FOLDER.to_owned(),
                topics: topics.collect(),
                ..DescribeLogDirsResult::default()
            }],
            ..DescribeLogDirsResponse::default()
        })
    })
}
