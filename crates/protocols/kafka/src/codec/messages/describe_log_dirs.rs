//! DescribeLogDirs: how many bytes partitions hold.

use super::*;

message! {
    /// Asks how many bytes partitions hold.
    struct DescribeLogDirsRequest: DescribeLogDirs {
        topics: Option<Vec<DescribableLogDirTopic>> [0..] null [0..];
    }

    struct DescribableLogDirTopic {
        topic: String [0..];
        partitions: Vec<i32> [0..];
    }

    /// How many they hold.
    struct DescribeLogDirsResponse: DescribeLogDirs {
        throttle_time_ms: i32 [0..];
        error_code: i16 [3..];
        results: Vec<DescribeLogDirsResult> [0..];
    }

    struct DescribeLogDirsResult {
        error_code: i16 [0..];
        log_dir: String [0..];
        topics: Vec<DescribeLogDirsTopic> [0..];
        total_bytes: i64 [4..] = -1;
        usable_bytes: i64 [4..] = -1;
    }

    struct DescribeLogDirsTopic {
        name: String [0..];
        partitions: Vec<DescribeLogDirsPartition> [0..];
    }

    struct DescribeLogDirsPartition {
        partition_index: i32 [0..];
        partition_size: i64 [0..];
        offset_lag: i64 [0..];
        is_future_key: bool [0..];
    }
}
