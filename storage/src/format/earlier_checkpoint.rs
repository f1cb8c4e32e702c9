//! The bodies of checkpoints as earlier builds wrote them: `RLCHKPT1` before block checksums, `RLCHKPT2` before a
//! checkpoint kept index entries and checksums that are not in their files yet. Read, never written.

use ringlog_core::producer_state::ProducerSnapshot;
use rkyv::rancor::Error;
use rkyv::util::AlignedVec;

use crate::format::checkpoint::{CheckpointBody, PartitionRecord};

pub(super) const MAGIC_1: [u8; 8] = *b"RLCHKPT1";
pub(super) const MAGIC_2: [u8; 8] = *b"RLCHKPT2";

/// A record of an earlier kind, `$between` the fields that all have, and its body.
macro_rules! earlier_checkpoint {
    ($body:ident, $record:ident { $($between:ident: $kind:ty),* }, $parse:ident, $completed:expr) => {
        #[derive(Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
        struct $record {
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
            $($between: $kind,)*
            epochs: Vec<(i32, i64)>,
            producers: ProducerSnapshot,
        }

        impl $record {
            fn into_record(self) -> PartitionRecord {
                let record = PartitionRecord {
                    topic_id: self.topic_id,
                    topic: self.topic,
                    partition: self.partition,
                    log_start_offset: self.log_start_offset,
                    end_offset: self.end_offset,
                    durable_end_offset: self.durable_end_offset,
                    sealed_digest: self.sealed_digest,
                    segment_base_offset: self.segment_base_offset,
                    position: self.position,
                    max_timestamp: self.max_timestamp,
                    max_timestamp_last_offset: self.max_timestamp_last_offset,
                    first_timestamp: self.first_timestamp,
                    bytes_since_index_entry: self.bytes_since_index_entry,
                    offset_index_count: self.offset_index_count,
                    time_index_count: self.time_index_count,
                    last_time_entry: self.last_time_entry,
                    $($between: self.$between,)*
                    epochs: self.epochs,
                    producers: self.producers,
                    ..PartitionRecord::default()
                };
                $completed(record)
            }
        }

        #[derive(Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
        struct $body {
            start: u64,
            number: u64,
            shard_count: u16,
            is_clean: bool,
            generation: u64,
            sequence: u64,
            checksum: u32,
            partitions: Vec<$record>,
            deleted: Vec<([u8; 16], i32)>,
        }

        /// Reads one; the reason if its structure is wrong. Its checksum was verified.
        pub(super) fn $parse(body: &AlignedVec) -> Result<CheckpointBody, Error> {
            let body = rkyv::from_bytes::<$body, Error>(body)?;
            Ok(CheckpointBody {
                start: body.start,
                number: body.number,
                shard_count: body.shard_count,
                is_clean: body.is_clean,
                generation: body.generation,
                sequence: body.sequence,
                checksum: body.checksum,
                partitions: body.partitions.into_iter().map($record::into_record).collect(),
                deleted: body.deleted,
            })
        }
    };
}

earlier_checkpoint!(Body1, Record1 {}, parse_1, without_checksums);
// Everything that counts is in its file.
earlier_checkpoint!(
    Body2,
    Record2 { checksums_from: i64, open_checksums: Option<(u32, u32)> },
    parse_2,
    std::convert::identity
);

/// No segment of such a log has checksums but one that is still empty.
fn without_checksums(record: PartitionRecord) -> PartitionRecord {
    let open_checksums = (record.position == 0).then_some((0, 0));
    PartitionRecord { checksums_from: i64::MAX, open_checksums, ..record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_checkpoint_is_read_and_knows_of_no_checksums() {
        let partitions = vec![
            Record1 { topic: "orders".to_owned(), end_offset: 12, position: 900, ..Default::default() },
            Record1 { partition: 1, ..Default::default() },
        ];
        let body = Body1 { start: 3, sequence: 41, partitions, ..Default::default() };
        let archived = rkyv::to_bytes::<Error>(&body).unwrap();
        let read =
            CheckpointBody::parse(&crate::format::checkpoint::with_header(MAGIC_1, &archived)).unwrap();
        assert_eq!((read.start, read.sequence, read.partitions.len()), (3, 41, 2));
        assert_eq!((read.partitions[0].topic.as_str(), read.partitions[0].position), ("orders", 900));
        assert_eq!((read.partitions[0].checksums_from, read.partitions[0].open_checksums), (i64::MAX, None));
        assert_eq!(
            read.partitions[1].open_checksums,
            Some((0, 0)),
            "an empty segment has a past of no bytes"
        );
    }

    #[test]
    fn a_second_checkpoint_is_read_and_has_everything_in_files() {
        let record = Record2 {
            position: 9_000,
            offset_index_count: 2,
            checksums_from: 17,
            open_checksums: Some((5, 6)),
            ..Default::default()
        };
        let body = Body2 { number: 4, partitions: vec![record], ..Default::default() };
        let archived = rkyv::to_bytes::<Error>(&body).unwrap();
        let read =
            CheckpointBody::parse(&crate::format::checkpoint::with_header(MAGIC_2, &archived)).unwrap();
        let expected = PartitionRecord {
            position: 9_000,
            offset_index_count: 2,
            checksums_from: 17,
            open_checksums: Some((5, 6)),
            ..Default::default()
        };
        assert_eq!((read.number, read.partitions), (4, vec![expected]));
    }
}
