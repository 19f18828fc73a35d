//! The cluster, which is this one broker.

use super::core::Core;
use super::operations::with_bits_of_cluster;
use super::pending::Step;
use crate::codec::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use crate::codec::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use crate::error::Code;

/// The sorts of coordinators: of groups, of transactions, of share groups.
const KEY_TYPES: std::ops::RangeInclusive<i8> = 0..=2;

/// The cluster's id: 22 letters of the data folder's number.
pub(super) fn cluster_id(identity: u64) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits =
        u128::from(identity) << 64 | u128::from(identity.rotate_left(32) ^ 0x706f_6c79_6275_7300);
    let mut id = String::with_capacity(22);
    for _ in 0..22 {
        let index = (bits & 63) as usize;
        id.push(ALPHABET.get(index).map_or('A', |byte| char::from(*byte)));
        bits >>= 6;
    }
    id
}

/// Who coordinates: always this broker.
pub(super) fn find_coordinator(
    core: &mut Core,
    request: FindCoordinatorRequest,
    version: i16,
) -> Step {
    let code = if KEY_TYPES.contains(&request.key_type) {
        Code::NONE
    } else {
        Code::INVALID_REQUEST
    };
    let error_message =
        (!code.is_none()).then(|| "there is no such type of coordinator".to_owned());
    let (node_id, host, port) = if code.is_none() {
        (core.settings.node_id, core.host(), core.port())
    } else {
        (-1, String::new(), -1)
    };
    let keys = if version >= 4 {
        request.coordinator_keys
    } else {
        Vec::new()
    };
    let coordinators = keys.into_iter().map(|key| Coordinator {
        key,
        node_id,
        host: host.clone(),
        port,
        error_code: code.0,
        error_message: error_message.clone(),
    });
    Step::answer(FindCoordinatorResponse {
        coordinators: coordinators.collect(),
        error_code: code.0,
        error_message: error_message.clone(),
        node_id,
        host: host.clone(),
        port,
        ..FindCoordinatorResponse::default()
    })
}

/// The cluster's id and its one broker.
pub(super) fn describe(core: &mut Core, request: DescribeClusterRequest, _version: i16) -> Step {
    let is_brokers = request.endpoint_type == 1;
    let broker = DescribeClusterBroker {
        broker_id: core.settings.node_id,
        host: core.host(),
        port: core.port(),
        ..DescribeClusterBroker::default()
    };
    let response = DescribeClusterResponse {
        error_code: if is_brokers {
            Code::NONE
        } else {
            Code::MISMATCHED_ENDPOINT_TYPE
        }
        .0,
        error_message: (!is_brokers)
            .then(|| "this is a broker's listener, not a controller's".to_owned()),
        endpoint_type: 1,
        cluster_id: cluster_id(core.settings.identity),
        controller_id: core.settings.node_id,
        brokers: if is_brokers { vec![broker] } else { Vec::new() },
        ..DescribeClusterResponse::default()
    };
    let is_asked = request.include_cluster_authorized_operations;
    with_bits_of_cluster(core, is_asked, move |_, cluster_authorized_operations| {
        Step::answer(DescribeClusterResponse {
            cluster_authorized_operations,
            ..response
        })
    })
}
