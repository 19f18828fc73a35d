//! Tests of the wire.

use super::messages::*;

mod batch;
mod golden;
mod hostile;
mod hot;
mod round_trip;
pub(super) mod sample;

/// Runs a macro for each API with its request and response.
macro_rules! each_message {
    ($run:ident) => {
        $run!(produce, ProduceRequest, ProduceResponse);
        $run!(fetch, FetchRequest, FetchResponse);
        $run!(list_offsets, ListOffsetsRequest, ListOffsetsResponse);
        $run!(metadata, MetadataRequest, MetadataResponse);
        $run!(offset_commit, OffsetCommitRequest, OffsetCommitResponse);
        $run!(offset_fetch, OffsetFetchRequest, OffsetFetchResponse);
        $run!(
            find_coordinator,
            FindCoordinatorRequest,
            FindCoordinatorResponse
        );
        $run!(join_group, JoinGroupRequest, JoinGroupResponse);
        $run!(heartbeat, HeartbeatRequest, HeartbeatResponse);
        $run!(leave_group, LeaveGroupRequest, LeaveGroupResponse);
        $run!(sync_group, SyncGroupRequest, SyncGroupResponse);
        $run!(
            describe_groups,
            DescribeGroupsRequest,
            DescribeGroupsResponse
        );
        $run!(list_groups, ListGroupsRequest, ListGroupsResponse);
        $run!(sasl_handshake, SaslHandshakeRequest, SaslHandshakeResponse);
        $run!(api_versions, ApiVersionsRequest, ApiVersionsResponse);
        $run!(create_topics, CreateTopicsRequest, CreateTopicsResponse);
        $run!(delete_topics, DeleteTopicsRequest, DeleteTopicsResponse);
        $run!(delete_records, DeleteRecordsRequest, DeleteRecordsResponse);
        $run!(
            init_producer_id,
            InitProducerIdRequest,
            InitProducerIdResponse
        );
        $run!(
            offset_for_leader_epoch,
            OffsetForLeaderEpochRequest,
            OffsetForLeaderEpochResponse
        );
        $run!(
            add_partitions_to_txn,
            AddPartitionsToTxnRequest,
            AddPartitionsToTxnResponse
        );
        $run!(
            add_offsets_to_txn,
            AddOffsetsToTxnRequest,
            AddOffsetsToTxnResponse
        );
        $run!(end_txn, EndTxnRequest, EndTxnResponse);
        $run!(
            write_txn_markers,
            WriteTxnMarkersRequest,
            WriteTxnMarkersResponse
        );
        $run!(
            txn_offset_commit,
            TxnOffsetCommitRequest,
            TxnOffsetCommitResponse
        );
        $run!(describe_acls, DescribeAclsRequest, DescribeAclsResponse);
        $run!(create_acls, CreateAclsRequest, CreateAclsResponse);
        $run!(delete_acls, DeleteAclsRequest, DeleteAclsResponse);
        $run!(
            describe_configs,
            DescribeConfigsRequest,
            DescribeConfigsResponse
        );
        $run!(alter_configs, AlterConfigsRequest, AlterConfigsResponse);
        $run!(
            describe_log_dirs,
            DescribeLogDirsRequest,
            DescribeLogDirsResponse
        );
        $run!(
            sasl_authenticate,
            SaslAuthenticateRequest,
            SaslAuthenticateResponse
        );
        $run!(
            create_partitions,
            CreatePartitionsRequest,
            CreatePartitionsResponse
        );
        $run!(delete_groups, DeleteGroupsRequest, DeleteGroupsResponse);
        $run!(elect_leaders, ElectLeadersRequest, ElectLeadersResponse);
        $run!(
            incremental_alter_configs,
            IncrementalAlterConfigsRequest,
            IncrementalAlterConfigsResponse
        );
        $run!(
            alter_partition_reassignments,
            AlterPartitionReassignmentsRequest,
            AlterPartitionReassignmentsResponse
        );
        $run!(
            list_partition_reassignments,
            ListPartitionReassignmentsRequest,
            ListPartitionReassignmentsResponse
        );
        $run!(offset_delete, OffsetDeleteRequest, OffsetDeleteResponse);
        $run!(
            describe_client_quotas,
            DescribeClientQuotasRequest,
            DescribeClientQuotasResponse
        );
        $run!(
            alter_client_quotas,
            AlterClientQuotasRequest,
            AlterClientQuotasResponse
        );
        $run!(
            describe_user_scram_credentials,
            DescribeUserScramCredentialsRequest,
            DescribeUserScramCredentialsResponse
        );
        $run!(
            alter_user_scram_credentials,
            AlterUserScramCredentialsRequest,
            AlterUserScramCredentialsResponse
        );
        $run!(
            describe_cluster,
            DescribeClusterRequest,
            DescribeClusterResponse
        );
        $run!(
            describe_producers,
            DescribeProducersRequest,
            DescribeProducersResponse
        );
        $run!(
            describe_transactions,
            DescribeTransactionsRequest,
            DescribeTransactionsResponse
        );
        $run!(
            list_transactions,
            ListTransactionsRequest,
            ListTransactionsResponse
        );
        $run!(
            consumer_group_heartbeat,
            ConsumerGroupHeartbeatRequest,
            ConsumerGroupHeartbeatResponse
        );
        $run!(
            consumer_group_describe,
            ConsumerGroupDescribeRequest,
            ConsumerGroupDescribeResponse
        );
        $run!(
            list_config_resources,
            ListConfigResourcesRequest,
            ListConfigResourcesResponse
        );
        $run!(
            describe_topic_partitions,
            DescribeTopicPartitionsRequest,
            DescribeTopicPartitionsResponse
        );
        $run!(
            share_group_heartbeat,
            ShareGroupHeartbeatRequest,
            ShareGroupHeartbeatResponse
        );
        $run!(
            share_group_describe,
            ShareGroupDescribeRequest,
            ShareGroupDescribeResponse
        );
        $run!(share_fetch, ShareFetchRequest, ShareFetchResponse);
        $run!(
            share_acknowledge,
            ShareAcknowledgeRequest,
            ShareAcknowledgeResponse
        );
        $run!(
            describe_share_group_offsets,
            DescribeShareGroupOffsetsRequest,
            DescribeShareGroupOffsetsResponse
        );
        $run!(
            alter_share_group_offsets,
            AlterShareGroupOffsetsRequest,
            AlterShareGroupOffsetsResponse
        );
        $run!(
            delete_share_group_offsets,
            DeleteShareGroupOffsetsRequest,
            DeleteShareGroupOffsetsResponse
        );
    };
}

use each_message;
