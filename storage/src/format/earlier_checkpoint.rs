//! The body of a checkpoint as builds before block checksums wrote it (`RLCHKPT1`). Read, never written.

use ringlog_core::producer_state::ProducerSnapshot;
use rkyv::rancor::Error;
use rkyv::util::AlignedVec;

use crate::format::checkpoint::{CheckpointBody, PartitionRecord};

#[derive(Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct EarlierBody {
    start: u64,
    number: u64,
    shard_count: u16,
    is_clean: bool,
    generation: u64,
    sequence: u64,
    checksum: u32,
    partitions: Vec<EarlierRecord>,
    deleted: Vec<([u8; 16], i32)>,
}

#[derive(Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct EarlierRecord {
    topic_id: [u8; 16],
    topic: String,
    partition: i32,
    log_start_offset: i64,
    end_offset: i64,
    durable_end_offset: i64,
    sealed_digest: u32,
    segment_base_offset: i64,
    position: u64,
    max_timestamp: i64,
    max_timestamp_last_offset: i64,
    first_timestamp: Option<i64>,
    bytes_since_index_entry: u64,
    offset_index_count: u32,
    time_index_count: u32,
    last_time_entry: Option<(i64, i64)>,
    epochs: Vec<(i32, i64)>,
    producers: ProducerSnapshot,
}

/// Reads one; the reason if its structure is wrong. Its checksum was verified.
pub(super) fn parse(body: &AlignedVec) -> Result<CheckpointBody, Error> {
    let body = rkyv::from_bytes::<EarlierBody, Error>(body)?;
    Ok(CheckpointBody {
        start: body.start,
        number: body.number,
        shard_count: body.shard_count,
        is_clean: body.is_clean,
        generation: body.generation,
        sequence: body.sequence,
        checksum: body.checksum,
        partitions: body.partitions.into_iter().map(record).collect(),
        deleted: body.deleted,
    })
}

/// No segment of such a log has checksums but one that is still empty.
fn record(earlier: EarlierRecord) -> PartitionRecord {
    PartitionRecord {
        checksums_from: i64::MAX,
        open_checksums: (earlier.position == 0).then_some((0, 0)),
        topic_id: earlier.topic_id,
        topic: earlier.topic,
        partition: earlier.partition,
        log_start_offset: earlier.log_start_offset,
        end_offset: earlier.end_offset,
        durable_end_offset: earlier.durable_end_offset,
        sealed_digest: earlier.sealed_digest,
        segment_base_offset: earlier.segment_base_offset,
        position: earlier.position,
        max_timestamp: earlier.max_timestamp,
        max_timestamp_last_offset: earlier.max_timestamp_last_offset,
        first_timestamp: earlier.first_timestamp,
        bytes_since_index_entry: earlier.bytes_since_index_entry,
        offset_index_count: earlier.offset_index_count,
        time_index_count: earlier.time_index_count,
        last_time_entry: earlier.last_time_entry,
        epochs: earlier.epochs,
        producers: earlier.producers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_checkpoint_is_read_and_knows_of_no_checksums() {
        let partitions = vec![
            EarlierRecord { topic: "orders".to_owned(), end_offset: 12, position: 900, ..Default::default() },
            EarlierRecord { partition: 1, ..Default::default() },
        ];
        let body = EarlierBody { start: 3, sequence: 41, partitions, ..Default::default() };
        let archived = rkyv::to_bytes::<Error>(&body).unwrap();
        let bytes = crate::format::checkpoint::with_header(*b"RLCHKPT1", &archived);
        let read = CheckpointBody::parse(&bytes).unwrap();
        assert_eq!((read.start, read.sequence, read.partitions.len()), (3, 41, 2));
        assert_eq!((read.partitions[0].topic.as_str(), read.partitions[0].position), ("orders", 900));
        assert_eq!((read.partitions[0].checksums_from, read.partitions[0].open_checksums), (i64::MAX, None));
        assert_eq!(
            read.partitions[1].open_checksums,
            Some((0, 0)),
            "an empty segment has a past of no bytes"
        );
    }
}
