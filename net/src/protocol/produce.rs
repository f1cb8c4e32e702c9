//! Produce (API key 0): append record batches to partitions.

use super::prelude::*;

message! {
    /// Appends at most one record batch to each partition named. Versions 0 to 2 are advertised, as clients probe them, and never read.
    request ProduceRequest<'a> of Produce, versions 3..=13, flexible 9.. {
        transactional_id: Option<&'a str>,
        acks: i16,
        timeout_ms: i32,
        topic_data: Vec<TopicProduceData<'a>>,
    }

    /// The partitions of one topic.
    part TopicProduceData<'a> {
        name: &'a str [..=12],
        topic_id: Uuid [13..],
        partition_data: Vec<PartitionProduceData<'a>>,
    }

    /// One partition's batch.
    part PartitionProduceData<'a> {
        index: i32,
        records: Option<&'a [u8]>,
    }
}

message! {
    /// Where each batch went, or why it did not.
    response ProduceResponse<'a> of Produce, versions 3..=13, flexible 9.. {
        responses: Vec<TopicProduceResponse<'a>>,
        throttle_time_ms: i32,
    } tagged {
        0 => node_endpoints: Vec<NodeEndpoint<'a>> [10..],
    }

    /// The results for one topic.
    part TopicProduceResponse<'a> {
        name: &'a str [..=12],
        topic_id: Uuid [13..],
        partition_responses: Vec<PartitionProduceResponse<'a>>,
    }

    /// The result for one partition.
    part PartitionProduceResponse<'a> {
        index: i32,
        error_code: i16,
        base_offset: i64,
        log_append_time_ms: i64 = -1,
        log_start_offset: i64 [5..] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage<'a>> [8..],
        error_message: Option<&'a str> [8..],
    } tagged {
        0 => current_leader: LeaderIdAndEpoch [10..],
    }

    /// Why one record of a batch was refused.
    part BatchIndexAndErrorMessage<'a> {
        batch_index: i32,
        batch_index_error_message: Option<&'a str>,
    }

    /// Who leads the partition now; sent when the client asked the wrong broker.
    part LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// Where a broker named above is reached.
    part NodeEndpoint<'a> {
        node_id: i32,
        host: &'a str,
        port: i32,
        rack: Option<&'a str>,
    }
}
