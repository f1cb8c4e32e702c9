//! Our codec and the `kafka-protocol` crate's against each other, for every message and version it has.
//!
//! That crate reserves memory for a count before it looks at the bytes, so it only ever sees bytes that our
//! decoder accepted and our encoder wrote.

mod golden_data;

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use golden_data::{Golden, messages};
use kafka_protocol::messages as theirs;
use kafka_protocol::messages::{RequestKind, ResponseKind};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::collection::vec;
use proptest::prelude::*;
use ringlog_net::protocol::fetch::FetchRequest;
use ringlog_net::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::protocol::{AnyRequest, AnyResponse, ApiKey, Decoder, MessageKind, Uuid, encode_body};

/// Requests that crate lists as valid and then refuses to read.
const UNREAD: [(ApiKey, i16); 3] =
    [(ApiKey::InitProducerId, 6), (ApiKey::OffsetCommit, 10), (ApiKey::OffsetFetch, 10)];

/// Golden messages of the versions both codecs have.
static COMMON: LazyLock<Vec<Golden>> = LazyLock::new(|| {
    let common = |golden: &Golden| {
        let api = theirs::ApiKey::try_from(golden.api as i16).expect("they know every API of ours");
        let versions = api.valid_versions();
        let unread = golden.kind == MessageKind::Request && UNREAD.contains(&(golden.api, golden.version));
        (versions.min..=versions.max).contains(&golden.version) && !unread
    };
    messages().into_iter().filter(common).collect()
});

/// What we write for bytes that we accept.
fn we_write(golden: &Golden, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(bytes);
    match golden.kind {
        MessageKind::Request => Some(
            AnyRequest::decode(golden.api, &mut decoder, golden.version).ok()?.encode_body(golden.version),
        ),
        MessageKind::Response => Some(
            AnyResponse::decode(golden.api, &mut decoder, golden.version).ok()?.encode_body(golden.version),
        ),
    }
}

/// What they write for bytes that we wrote.
fn they_write(golden: &Golden, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let api = theirs::ApiKey::try_from(golden.api as i16).expect("they know every API of ours");
    let (mut input, mut output) = (Bytes::copy_from_slice(bytes), BytesMut::new());
    match golden.kind {
        MessageKind::Request => RequestKind::decode(api, &mut input, golden.version)
            .and_then(|request| request.encode(&mut output, golden.version)),
        MessageKind::Response => ResponseKind::decode(api, &mut input, golden.version)
            .and_then(|response| response.encode(&mut output, golden.version)),
    }
    .map_err(|error| error.to_string())?;
    assert!(input.is_empty(), "{} bytes left unread", input.len());
    Ok(output.to_vec())
}

#[test]
fn both_codecs_read_and_write_the_golden_messages_alike() {
    assert!(COMMON.len() > 1500, "{} messages in common", COMMON.len());
    for golden in COMMON.iter() {
        let label = format!("{:?} {:?} version {}", golden.api, golden.kind, golden.version);
        assert_eq!(they_write(golden, &golden.body).as_ref(), Ok(&golden.body), "{label}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_we_accept_and_write_they_read_and_write_the_same(
        row in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let golden = row.get(&COMMON);
        let mut bytes = golden.body.clone();
        for (position, value) in changes {
            if !bytes.is_empty() {
                let position = position.index(bytes.len());
                bytes[position] = value;
            }
        }
        if let Some(written) = we_write(golden, &bytes) {
            prop_assert_eq!(they_write(golden, &written), Ok(written), "{:?} {}", golden.api, golden.version);
        }
    }

    #[test]
    fn a_produce_request_they_build_means_the_same_to_us(
        version in 3i16..=13,
        transactional_id in proptest::option::of(".{0,20}"),
        acks in -1i16..=1,
        timeout_ms in any::<i32>(),
        topics in vec((".{0,10}", any::<[u8; 16]>(), vec((any::<i32>(), proptest::option::of(vec(any::<u8>(), 0..300))), 0..4)), 0..4),
    ) {
        let mut built = theirs::ProduceRequest::default()
            .with_transactional_id(transactional_id.clone().map(|id| StrBytes::from_string(id).into()))
            .with_acks(acks)
            .with_timeout_ms(timeout_ms);
        for (name, id, partitions) in &topics {
            let mut topic = theirs::produce_request::TopicProduceData::default();
            if version < 13 {
                topic.name = StrBytes::from_string(name.clone()).into();
            } else {
                topic.topic_id = uuid::Uuid::from_bytes(*id);
            }
            topic.partition_data = partitions.iter().map(|(index, records)| {
                theirs::produce_request::PartitionProduceData::default()
                    .with_index(*index)
                    .with_records(records.clone().map(Bytes::from))
            }).collect();
            built.topic_data.push(topic);
        }
        let mut bytes = BytesMut::new();
        built.encode(&mut bytes, version).unwrap();

        let expected = ProduceRequest {
            transactional_id: transactional_id.as_deref(),
            acks,
            timeout_ms,
            topic_data: topics.iter().map(|(name, id, partitions)| TopicProduceData {
                name: if version < 13 { name } else { "" },
                topic_id: if version < 13 { Uuid::ZERO } else { Uuid(*id) },
                partition_data: partitions.iter().map(|(index, records)| PartitionProduceData {
                    index: *index,
                    records: records.as_deref(),
                }).collect(),
            }).collect(),
        };
        prop_assert_eq!(ProduceRequest::decode(&mut Decoder::new(&bytes), version).unwrap(), expected);
    }

    #[test]
    fn a_fetch_request_we_build_means_the_same_to_them(
        version in 4i16..=17,
        numbers in any::<(i32, i32, i32, i8, i32, i32)>(),
        partition in any::<(i32, i32, i64, i32, i64, i32)>(),
        rack_id in ".{0,10}",
    ) {
        let ours = FetchRequest {
            max_wait_ms: numbers.0,
            min_bytes: numbers.1,
            max_bytes: numbers.2,
            isolation_level: numbers.3,
            session_id: numbers.4,
            session_epoch: numbers.5,
            topics: vec![ringlog_net::protocol::fetch::FetchTopic {
                topic: "t",
                topic_id: Uuid([5; 16]),
                partitions: vec![ringlog_net::protocol::fetch::FetchPartition {
                    partition: partition.0,
                    current_leader_epoch: partition.1,
                    fetch_offset: partition.2,
                    last_fetched_epoch: partition.3,
                    log_start_offset: partition.4,
                    partition_max_bytes: partition.5,
                    ..Default::default()
                }],
            }],
            rack_id: &rack_id,
            ..FetchRequest::default()
        };
        let mut bytes = Bytes::from(encode_body(&ours, version));
        let read = theirs::FetchRequest::decode(&mut bytes, version).unwrap();
        let (topic, has) = (&read.topics[0], |first| version >= first);
        let read_partition = &topic.partitions[0];
        prop_assert_eq!((read.max_wait_ms, read.min_bytes, read.max_bytes), (numbers.0, numbers.1, numbers.2));
        prop_assert_eq!(read.isolation_level, numbers.3);
        prop_assert_eq!((read.session_id, read.session_epoch), if has(7) { (numbers.4, numbers.5) } else { (0, -1) });
        prop_assert_eq!(read.rack_id.as_str(), if has(11) { rack_id.as_str() } else { "" });
        prop_assert_eq!(topic.topic.as_str(), if has(13) { "" } else { "t" });
        prop_assert_eq!(topic.topic_id, uuid::Uuid::from_bytes(if has(13) { [5; 16] } else { [0; 16] }));
        prop_assert_eq!((read_partition.partition, read_partition.fetch_offset), (partition.0, partition.2));
        prop_assert_eq!(read_partition.partition_max_bytes, partition.5);
        prop_assert_eq!(read_partition.current_leader_epoch, if has(9) { partition.1 } else { -1 });
        prop_assert_eq!(read_partition.last_fetched_epoch, if has(12) { partition.3 } else { -1 });
        prop_assert_eq!(read_partition.log_start_offset, if has(5) { partition.4 } else { -1 });
    }
}
