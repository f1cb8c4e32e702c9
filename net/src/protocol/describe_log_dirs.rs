//! DescribeLogDirs (API key 35): what lies in the data directories.

use super::prelude::*;

message! {
    /// Asks about partitions; null asks about all.
    request DescribeLogDirsRequest<'a> of DescribeLogDirs, versions 1..=5, flexible 2.. {
        topics: Option<Vec<DescribableLogDirTopic<'a>>> = Some(Vec::new()),
    }

    /// The partitions of one topic.
    part DescribableLogDirTopic<'a> {
        topic: &'a str,
        partitions: Vec<i32>,
    }
}

message! {
    /// The directories, their partitions and sizes.
    response DescribeLogDirsResponse<'a> of DescribeLogDirs, versions 1..=5, flexible 2.. {
        throttle_time_ms: i32,
        error_code: i16 [3..],
        results: Vec<DescribeLogDirsResult<'a>>,
    }

    /// One directory.
    part DescribeLogDirsResult<'a> {
        error_code: i16,
        log_dir: &'a str,
        topics: Vec<DescribeLogDirsTopic<'a>>,
        total_bytes: i64 [4..] = -1,
        usable_bytes: i64 [4..] = -1,
        is_cordoned: bool [5..],
    }

    /// The partitions of one topic.
    part DescribeLogDirsTopic<'a> {
        name: &'a str,
        partitions: Vec<DescribeLogDirsPartition>,
    }

    /// One partition's size.
    part DescribeLogDirsPartition {
        partition_index: i32,
        partition_size: i64,
        offset_lag: i64,
        is_future_key: bool,
    }
}
