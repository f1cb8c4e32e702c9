//! Frames as clients send them, and what a shard does with each; a fetch response as a shard sends it.

use ringlog_net::protocol::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ringlog_net::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::protocol::{
    AnyRequest, ApiKey, Decoder, Message, Records, decode_request_header, encode_request_frame,
};
use ringlog_runtime::buffer::{Arena, Slice};

/// Of each partition in a produce request.
pub const RECORDS_BYTES: usize = 1024;

/// A request as it arrives, without its length.
pub fn frame(arena: &Arena, version: i16, message: &impl Message) -> Vec<u8> {
    let segments =
        encode_request_frame(arena, version, 1, Some("rdkafka"), message).expect("room for one frame");
    segments.iter().flat_map(|segment| segment.to_vec()).skip(4).collect()
}

/// A produce request for so many partitions of a topic.
pub fn produce(partitions: i32, records: &[u8]) -> ProduceRequest<'_> {
    let data = (0..partitions).map(|index| PartitionProduceData { index, records: Some(records) });
    let topic =
        TopicProduceData { name: "events", partition_data: data.collect(), ..TopicProduceData::default() };
    ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() }
}

/// What a shard does with every frame.
pub fn decode(frame: &[u8]) -> AnyRequest<'_> {
    let (header, body) = decode_request_header(frame).expect("a sound header");
    let api = ApiKey::from_wire(header.api_key).expect("a known API");
    AnyRequest::decode(api, &mut Decoder::at(frame, body), header.api_version).expect("a sound body")
}

/// A fetch request that only asks what is new.
pub fn fetch_in_session() -> FetchRequest<'static> {
    FetchRequest { session_id: 77, session_epoch: 5, max_wait_ms: 500, ..FetchRequest::default() }
}

/// A fetch response with the same records for so many partitions.
pub fn fetched(partitions: i32, records: &Slice) -> FetchResponse<'static> {
    let data = (0..partitions).map(|partition_index| PartitionData {
        partition_index,
        records: Some(Records::Slices(vec![records.clone()])),
        ..PartitionData::default()
    });
    let topic = FetchableTopicResponse { partitions: data.collect(), ..FetchableTopicResponse::default() };
    FetchResponse { responses: vec![topic], ..FetchResponse::default() }
}

/// Bytes of a log.
pub fn log_slice(arena: &Arena, bytes: usize) -> Slice {
    let mut buffer = arena.allocate(bytes).expect("room for one slice");
    buffer.set_len(bytes);
    buffer.freeze()
}
