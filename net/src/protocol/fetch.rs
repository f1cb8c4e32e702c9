//! Fetch (API key 1): read record batches of partitions.

use super::prelude::*;

message! {
    /// Asks for records from given offsets, within a session or without. Version 18 is for followers.
    request FetchRequest<'a> of Fetch, versions 4..=18, flexible 12.. {
        replica_id: i32 [..=14] = -1,
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32 = i32::MAX,
        isolation_level: i8,
        session_id: i32 [7..],
        session_epoch: i32 [7..] = -1,
        topics: Vec<FetchTopic<'a>>,
        forgotten_topics_data: Vec<ForgottenTopic<'a>> [7..],
        rack_id: &'a str [11..],
    } tagged {
        0 => cluster_id: Option<&'a str> [12..],
        1 => replica_state: ReplicaState [15..],
    }

    /// Which replica asks, if a replica asks.
    part ReplicaState {
        replica_id: i32 = -1,
        replica_epoch: i64 = -1,
    }

    /// The partitions of one topic.
    part FetchTopic<'a> {
        topic: &'a str [..=12],
        topic_id: Uuid [13..],
        partitions: Vec<FetchPartition>,
    }

    /// From where one partition is read.
    part FetchPartition {
        partition: i32,
        current_leader_epoch: i32 [9..] = -1,
        fetch_offset: i64,
        last_fetched_epoch: i32 [12..] = -1,
        log_start_offset: i64 [5..] = -1,
        partition_max_bytes: i32,
    } tagged {
        0 => replica_directory_id: Uuid [17..],
        1 => high_watermark: i64 [18..] = i64::MAX,
    }

    /// Partitions to drop from the session.
    part ForgottenTopic<'a> {
        topic: &'a str [..=12],
        topic_id: Uuid [13..],
        partitions: Vec<i32>,
    }
}

message! {
    /// Record batches as they are stored, possibly more and less than asked for.
    response FetchResponse<'a> of Fetch, versions 4..=18, flexible 12.. {
        throttle_time_ms: i32,
        error_code: i16 [7..],
        session_id: i32 [7..],
        responses: Vec<FetchableTopicResponse<'a>>,
    } tagged {
        0 => node_endpoints: Vec<NodeEndpoint<'a>> [16..],
    }

    /// The results for one topic.
    part FetchableTopicResponse<'a> {
        topic: &'a str [..=12],
        topic_id: Uuid [13..],
        partitions: Vec<PartitionData<'a>>,
    }

    /// One partition's ends and records.
    part PartitionData<'a> {
        partition_index: i32,
        error_code: i16,
        high_watermark: i64,
        last_stable_offset: i64 = -1,
        log_start_offset: i64 [5..] = -1,
        aborted_transactions: Option<Vec<AbortedTransaction>> = Some(Vec::new()),
        preferred_read_replica: i32 [11..] = -1,
        records: Option<Records<'a>>,
    } tagged {
        0 => diverging_epoch: EpochEndOffset [12..],
        1 => current_leader: LeaderIdAndEpoch [12..],
        2 => snapshot_id: SnapshotId [12..],
    }

    /// Where the reader's log and the leader's part ways.
    part EpochEndOffset {
        epoch: i32 = -1,
        end_offset: i64 = -1,
    }

    /// Who leads the partition now; sent when the client asked the wrong broker.
    part LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// The snapshot to fetch instead; only metadata quorums have one.
    part SnapshotId {
        end_offset: i64 = -1,
        epoch: i32 = -1,
    }

    /// A transaction whose records a committed reader must skip.
    part AbortedTransaction {
        producer_id: i64,
        first_offset: i64,
    }

    /// Where a broker named above is reached.
    part NodeEndpoint<'a> {
        node_id: i32,
        host: &'a str,
        port: i32,
        rack: Option<&'a str>,
    }
}
