//! DescribeCluster: describe the cluster.

use super::*;

message! {
    /// Asks what the cluster is like.
    struct DescribeClusterRequest: DescribeCluster {
        include_cluster_authorized_operations: bool [0..];
        endpoint_type: i8 [1..] = 1;
        include_fenced_brokers: bool [2..];
    }

    /// What it is like.
    struct DescribeClusterResponse: DescribeCluster {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        endpoint_type: i8 [1..] = 1;
        cluster_id: String [0..];
        controller_id: i32 [0..] = -1;
        brokers: Vec<DescribeClusterBroker> [0..];
        cluster_authorized_operations: i32 [0..] = i32::MIN;
    }

    struct DescribeClusterBroker {
        broker_id: i32 [0..];
        host: String [0..];
        port: i32 [0..];
        rack: Option<String> [0..] null [0..];
        is_fenced: bool [2..];
    }
}
