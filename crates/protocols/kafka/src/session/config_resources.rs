//! What has settings: topics and the one broker.

use polybus_model::{LogReply, LogRequest, WhichLogs};

use super::configs::{BROKER, GROUP, TOPIC};
use super::core::Core;
use super::pending::Step;
use crate::codec::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use crate::error::Code;

/// Sorts of resources that there are none of here, by Kafka's numbers: subscriptions to clients' metrics, groups.
const CLIENT_METRICS: i8 = 16;
/// Loggers have settings in Kafka; here the log is the broker's own affair.
const BROKER_LOGGER: i8 = 8;
/// From this version on the sorts are named; before it subscriptions to clients' metrics were meant.
const SORTS_FROM: i16 = 1;

/// Lists what has settings.
pub(super) fn list(core: &mut Core, request: ListConfigResourcesRequest, version: i16) -> Step {
    const KNOWN: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
    let sorts = request.resource_types;
    if sorts.iter().any(|sort| !KNOWN.contains(sort)) {
        return Step::answer(ListConfigResourcesResponse {
            error_code: Code::UNSUPPORTED_VERSION.0,
            ..ListConfigResourcesResponse::default()
        });
    }
    let wants = |sort| version >= SORTS_FROM && (sorts.is_empty() || sorts.contains(&sort));
    let resource = |resource_name, resource_type| ConfigResource {
        resource_name,
        resource_type,
    };
    let mut config_resources = Vec::new();
    if wants(BROKER) {
        config_resources.push(resource(core.settings.node_id.to_string(), BROKER));
    }
    if !wants(TOPIC) {
        return Step::answer(ListConfigResourcesResponse {
            config_resources,
            ..ListConfigResourcesResponse::default()
        });
    }
    Step::log(LogRequest::List(WhichLogs::All), move |_, reply| {
        let LogReply::Logs(logs) = reply else {
            return Step::misunderstood();
        };
        let topics = logs.into_iter().flatten();
        config_resources.extend(topics.map(|log| resource(log.name.as_str().to_owned(), TOPIC)));
        Step::answer(ListConfigResourcesResponse {
            config_resources,
            ..ListConfigResourcesResponse::default()
        })
    })
}
