//! OffsetForLeaderEpoch (API key 23): where a leader epoch ended.

use super::prelude::*;

message! {
    /// Asks for the end offset of leader epochs.
    request OffsetForLeaderEpochRequest<'a> of OffsetForLeaderEpoch, versions 2..=4, flexible 4.. {
        replica_id: i32 [3..] = -2,
        topics: Vec<OffsetForLeaderTopic<'a>>,
    }

    /// The partitions of one topic.
    part OffsetForLeaderTopic<'a> {
        topic: &'a str,
        partitions: Vec<OffsetForLeaderPartition>,
    }

    /// The epoch asked about.
    part OffsetForLeaderPartition {
        partition: i32,
        current_leader_epoch: i32 = -1,
        leader_epoch: i32,
    }
}

message! {
    /// The epochs' end offsets.
    response OffsetForLeaderEpochResponse<'a> of OffsetForLeaderEpoch, versions 2..=4, flexible 4.. {
        throttle_time_ms: i32,
        topics: Vec<OffsetForLeaderTopicResult<'a>>,
    }

    /// The results for one topic.
    part OffsetForLeaderTopicResult<'a> {
        topic: &'a str,
        partitions: Vec<EpochEndOffset>,
    }

    /// Where the epoch ended.
    part EpochEndOffset {
        error_code: i16,
        partition: i32,
        leader_epoch: i32 = -1,
        end_offset: i64 = -1,
    }
}
