//! Produce requests, encoded once: sending one is a copy, a few numbers and a checksum.
//!
//! ```text
//!   | length | key, version, CORRELATION, client | acks, timeout, topic, PARTITION, | batch header: TIMESTAMPS, PRODUCER, |
//!   |        |                                   | length of the batch              | SEQUENCE, CHECKSUM; records: VALUES  |
//! ```
//!
//! The numbers in capitals are patched. Inside of a compressed batch nothing is: who sent it and from which number on is
//! said in the batch's header (epoch and base sequence, which no broker looks at without a producer id), the checksum
//! follows from the template's without the records being read again.
//!
//! Always true: a patched batch passes the validation that a broker does (the tests ask it).

use ringlog_core::checksum;
use ringlog_core::compression::{Codec, DecompressionBudget};
use ringlog_core::record_batch::{BatchBuilder, HEADER_BYTES, RawBatch};
use ringlog_core::time::Timestamp;
use ringlog_net::protocol::encode_request_frame;
use ringlog_net::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_runtime::buffer::Arena;

use crate::filler::{Filler, mix};
use crate::line::CLIENT_ID;
use crate::payload::{PRODUCER_IN_HEADER, Payload};

/// The newest that names topics by name; Kafka 4 and Ringlog serve it.
pub const PRODUCE_VERSION: i16 = 12;

/// The oldest whose requests look the same.
pub const PRODUCE_VERSION_MIN: i16 = 9;

/// Places in a frame and in a batch (see `record_batch::header`).
const CORRELATION_AT: usize = 8;
const CRC_AT: usize = 17;
const CHECKSUM_START: usize = 21;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;

/// The tagged fields of a partition, a topic and the request, each empty.
const AFTER_RECORDS_BYTES: usize = 3;

/// A partition that no topic has, to find its place again.
const SOME_PARTITION: i32 = 0x7a5b_3c1d;

/// Bytes of a key: a number.
pub const KEY_BYTES: usize = 8;

/// What a template is made for.
#[derive(Clone, Debug)]
pub struct Shape<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// Records in the batch.
    pub batch_records: usize,
    /// Bytes of each value.
    pub record_bytes: usize,
    /// Different keys; 0 for none.
    pub keys: u32,
    /// How it is compressed.
    pub codec: Codec,
    /// As requests say it.
    pub acks: i16,
    /// What the request says of patience.
    pub timeout_ms: i32,
    /// The version of Produce.
    pub version: i16,
}

/// A request, encoded.
pub struct Template {
    frame: Vec<u8>,
    partition_at: usize,
    batch_at: usize,
    batch_end: usize,
    values: Vec<ValuePlace>,
    value_bytes: usize,
    batch_records: usize,
    keys: u32,
}

/// Where the value of a record lies in the frame; its key lies before the value's length.
struct ValuePlace {
    at: usize,
    key_at: Option<usize>,
    filler_start: u32,
}

/// What makes one request differ from another.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The request's number on its connection.
    pub correlation_id: i32,
    /// Where the batch goes.
    pub partition: i32,
    /// Which connection sends it.
    pub producer: u32,
    /// The number of the batch's first record among those of this producer in this partition.
    pub sequence: u64,
    /// When it was due.
    pub planned_ns: u64,
    /// The wall clock.
    pub timestamp_ms: i64,
    /// The producer's id and epoch, with idempotence.
    pub identity: Option<(i64, i16)>,
}

impl Template {
    /// Encodes; `index` tells one template of a run from the others.
    pub fn new(index: usize, shape: &Shape<'_>, filler: &Filler) -> Template {
        let batch = build_batch(index, shape, filler);
        let frame = encode_frame(shape, &batch);
        let batch_end = frame.len() - AFTER_RECORDS_BYTES;
        let batch_at = batch_end - batch.len();
        assert_eq!(frame[batch_at..batch_end], batch, "the batch stands at the end of its request");
        let length_bytes = unsigned_varint_bytes(batch.len() + 1);
        let partition_at = batch_at - length_bytes - size_of::<i32>();
        assert_eq!(
            frame[partition_at..][..4],
            SOME_PARTITION.to_be_bytes(),
            "the partition precedes the batch"
        );
        Template {
            values: value_places(index, shape, &batch, batch_at),
            frame,
            partition_at,
            batch_at,
            batch_end,
            value_bytes: shape.record_bytes,
            batch_records: shape.batch_records,
            keys: shape.keys,
        }
    }

    /// Bytes of the whole request.
    pub fn frame_bytes(&self) -> usize {
        self.frame.len()
    }

    /// Bytes of the batch as it is sent.
    pub fn batch_bytes(&self) -> usize {
        self.batch_end - self.batch_at
    }

    /// Records in the batch.
    pub fn records(&self) -> usize {
        self.batch_records
    }

    /// Writes the request into `frame`, which has [`Template::frame_bytes`].
    pub fn write(&self, stamp: &Stamp, frame: &mut [u8]) {
        frame.copy_from_slice(&self.frame);
        put(frame, CORRELATION_AT, stamp.correlation_id.to_be_bytes());
        put(frame, self.partition_at, stamp.partition.to_be_bytes());
        for (index, place) in self.values.iter().enumerate() {
            let sequence = stamp.sequence + index as u64;
            if let Some(key_at) = place.key_at {
                put(frame, key_at, key_of(stamp.producer, sequence, self.keys));
            }
            let (producer, filler_start, planned_ns) = (stamp.producer, place.filler_start, stamp.planned_ns);
            let payload = Payload { producer, filler_start, sequence, planned_ns };
            payload.write(&mut frame[place.at..place.at + self.value_bytes]);
        }
        self.write_header(stamp, frame);
    }

    fn write_header(&self, stamp: &Stamp, frame: &mut [u8]) {
        let original = &self.frame[self.batch_at..self.batch_end];
        let batch = &mut frame[self.batch_at..self.batch_end];
        put(batch, BASE_TIMESTAMP_AT, stamp.timestamp_ms.to_be_bytes());
        put(batch, MAX_TIMESTAMP_AT, stamp.timestamp_ms.to_be_bytes());
        let (id, epoch) = stamp.identity.unwrap_or((-1, stamp.producer as i16));
        put(batch, PRODUCER_ID_AT, id.to_be_bytes());
        put(batch, PRODUCER_EPOCH_AT, epoch.to_be_bytes());
        put(batch, BASE_SEQUENCE_AT, base_sequence(stamp.sequence).to_be_bytes());
        let crc = if self.values.is_empty() {
            let stored = original[CRC_AT..][..4].first_chunk().expect("a checksum has four bytes");
            let heads = CHECKSUM_START..HEADER_BYTES;
            let body_bytes = original.len() - HEADER_BYTES;
            let (old, new) = (&original[heads.clone()], &batch[heads]);
            checksum::crc32c_replace_prefix(u32::from_be_bytes(*stored), old, new, body_bytes)
        } else {
            checksum::crc32c(&batch[CHECKSUM_START..])
        };
        put(batch, CRC_AT, crc.to_be_bytes());
    }
}

/// A number of records as the header's 31 bits say it.
pub fn base_sequence(sequence: u64) -> i32 {
    (sequence & 0x7fff_ffff) as i32
}

/// The key of a record: by who sent it, or, in a compressed batch, by where its filler begins.
pub fn key_of(producer: u32, sequence: u64, keys: u32) -> [u8; KEY_BYTES] {
    let number = mix(mix(u64::from(producer)) ^ sequence) % u64::from(keys.max(1));
    number.to_be_bytes()
}

fn build_batch(index: usize, shape: &Shape<'_>, filler: &Filler) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compressed(shape.codec);
    for record in 0..shape.batch_records {
        let filler_start = Filler::start_of(index, record);
        let payload =
            Payload { producer: PRODUCER_IN_HEADER, filler_start, sequence: record as u64, planned_ns: 0 };
        let value = payload.to_value(shape.record_bytes, filler);
        let key = key_of(filler_start, record as u64, shape.keys);
        let key = (shape.keys > 0).then_some(&key[..]);
        builder = builder.record_with(Timestamp(0), key, Some(&value), &[]);
    }
    builder.build()
}

fn encode_frame(shape: &Shape<'_>, batch: &[u8]) -> Vec<u8> {
    let data = PartitionProduceData { index: SOME_PARTITION, records: Some(batch) };
    let topic =
        TopicProduceData { name: shape.topic, partition_data: vec![data], ..TopicProduceData::default() };
    let request = ProduceRequest {
        transactional_id: None,
        acks: shape.acks,
        timeout_ms: shape.timeout_ms,
        topic_data: vec![topic],
    };
    let arena = Arena::unregistered(2 * batch.len() + (1 << 20));
    let segments = encode_request_frame(&arena, shape.version, 0, Some(CLIENT_ID), &request);
    let segments = segments.expect("the arena is larger than the frame");
    segments.iter().flat_map(|segment| segment.iter().copied()).collect()
}

/// Finds the values of an uncompressed batch; a compressed one has none that can be reached.
fn value_places(index: usize, shape: &Shape<'_>, batch: &[u8], batch_at: usize) -> Vec<ValuePlace> {
    if shape.codec != Codec::None {
        return Vec::new();
    }
    let (raw, _) = RawBatch::split_first(batch).expect("it was built just now");
    let mut budget = DecompressionBudget::default();
    let records = raw.records(&mut budget).expect("it was built just now");
    let place_of = |part: &[u8]| batch_at + (part.as_ptr() as usize - batch.as_ptr() as usize);
    let mut places = Vec::with_capacity(shape.batch_records);
    for (number, record) in records.iter().enumerate() {
        let record = record.expect("it was built just now");
        places.push(ValuePlace {
            at: place_of(record.value.expect("every record has a value")),
            key_at: record.key.map(place_of),
            filler_start: Filler::start_of(index, number),
        });
    }
    places
}

fn put<const N: usize>(target: &mut [u8], at: usize, bytes: [u8; N]) {
    target[at..at + N].copy_from_slice(&bytes);
}

fn unsigned_varint_bytes(number: usize) -> usize {
    (usize::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use ringlog_core::record_batch::{BatchRules, validate};
    use ringlog_net::protocol::{ApiKey, Decoder, decode_request_header};

    use super::*;

    fn shape(codec: Codec, keys: u32) -> Shape<'static> {
        Shape {
            topic: "t",
            batch_records: 5,
            record_bytes: 100,
            keys,
            codec,
            acks: -1,
            timeout_ms: 7000,
            version: PRODUCE_VERSION,
        }
    }

    fn stamp(identity: Option<(i64, i16)>) -> Stamp {
        Stamp {
            correlation_id: 0x0102_0304,
            partition: 63,
            producer: 41,
            sequence: (1 << 31) + 10,
            planned_ns: 123_456_789,
            timestamp_ms: 1_700_000_000_000,
            identity,
        }
    }

    /// What a broker finds in the request.
    fn with_batch<R>(frame: &[u8], look: impl FnOnce(i32, &[u8]) -> R) -> R {
        let length = i32::from_be_bytes(*frame.first_chunk().unwrap());
        assert_eq!(length as usize, frame.len() - 4);
        let (header, body) = decode_request_header(&frame[4..]).unwrap();
        assert_eq!((header.api_key, header.correlation_id), (ApiKey::Produce as i16, 0x0102_0304));
        let mut decoder = Decoder::at(&frame[4..], body);
        let request = ProduceRequest::decode(&mut decoder, header.api_version).unwrap();
        assert_eq!((decoder.remaining(), request.acks, request.timeout_ms), (0, -1, 7000));
        let data = &request.topic_data[0].partition_data[0];
        look(data.index, data.records.unwrap())
    }

    #[test]
    fn a_patched_request_passes_a_brokers_validation_in_every_codec() {
        let filler = Filler::new();
        for codec in Codec::ALL {
            for (keys, identity) in [(0, None), (10, None), (0, Some((77, 3)))] {
                let template = Template::new(2, &shape(codec, keys), &filler);
                let mut frame = vec![0xaa; template.frame_bytes()];
                template.write(&stamp(identity), &mut frame);
                with_batch(&frame, |partition, batch| {
                    assert_eq!((partition, batch.len()), (63, template.batch_bytes()));
                    let now = Timestamp(1_700_000_000_000);
                    let valid = validate(batch, &BatchRules::default(), now).unwrap();
                    let header = valid.header();
                    assert_eq!(header.max_timestamp(), now, "{codec}");
                    assert_eq!((header.base_sequence().0, header.record_count()), (10, 5));
                    let expected = identity.unwrap_or((-1, 41));
                    assert_eq!((header.producer_id().0, header.producer_epoch().0), expected);
                });
            }
        }
    }

    #[test]
    fn uncompressed_values_say_who_which_and_when() {
        let filler = Filler::new();
        let template = Template::new(0, &shape(Codec::None, 3), &filler);
        let mut frame = vec![0; template.frame_bytes()];
        template.write(&stamp(None), &mut frame);
        with_batch(&frame, |_, batch| {
            let (raw, _) = RawBatch::split_first(batch).unwrap();
            let records = raw.records(&mut DecompressionBudget::default()).unwrap();
            for (index, record) in records.iter().enumerate() {
                let record = record.unwrap();
                let payload = Payload::read(record.value.unwrap(), &filler).unwrap();
                let sequence = (1 << 31) + 10 + index as u64;
                assert_eq!(
                    (payload.producer, payload.sequence, payload.planned_ns),
                    (41, sequence, 123_456_789)
                );
                assert_eq!(record.key, Some(&key_of(41, sequence, 3)[..]));
            }
        });
    }

    #[test]
    fn keys_are_as_many_as_asked_for() {
        let seen: std::collections::BTreeSet<_> = (0..1000).map(|number| key_of(9, number, 20)).collect();
        assert_eq!(seen.len(), 20);
    }
}
