//! Request frames, spoiled. All are without their length.
//!
//! Always true: a frame that no mistake concerns stays as it is.

use std::ops::Range;

use ringlog_core::checksum::crc32c;
use ringlog_core::record_batch::BatchBuilder;
use ringlog_net::protocol::delete_records::DeleteRecordsRequest;
use ringlog_net::protocol::incremental_alter_configs::IncrementalAlterConfigsRequest;
use ringlog_net::protocol::produce::ProduceRequest;
use ringlog_net::protocol::sync_group::SyncGroupRequest;
use ringlog_net::protocol::{AnyRequest, ApiKey, Decoder, decode_request_header};

use crate::configurer::CONFIGURED;

/// Behind API key and version.
const CORRELATION_ID: Range<usize> = 4..8;
/// KAFKA_STORAGE_ERROR.
const STORAGE_ERROR: i16 = 56;
/// In a record batch: its checksum, what the checksum covers, and producer id, epoch and sequence.
const BATCH_CHECKSUM: Range<usize> = 17..21;
const BATCH_PRODUCER: Range<usize> = 43..57;
/// Batches of the configured topic that are longer are sent to see whether they are refused.
const SMALL_BYTES: usize = 350;

/// Where the batches lie in a produce request; nowhere in any other frame.
fn batches_in(frame: &[u8]) -> Vec<Range<usize>> {
    let Ok((header, body)) = decode_request_header(frame) else { return Vec::new() };
    if ApiKey::from_wire(header.api_key) != Some(ApiKey::Produce) {
        return Vec::new();
    }
    let decoder = &mut Decoder::new(&frame[body..]);
    let Ok(request) = ProduceRequest::decode(decoder, header.api_version) else { return Vec::new() };
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    partitions.filter_map(|partition| partition.records).map(|records| place_in(frame, records)).collect()
}

/// Where bytes lie that were found in a frame.
fn place_in(frame: &[u8], bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr() as usize - frame.as_ptr() as usize;
    start..start + bytes.len()
}

/// Makes the batches of a produce request such of no idempotent producer.
pub(super) fn forget_producer(frame: &mut [u8]) {
    for range in batches_in(frame) {
        let batch = &mut frame[range];
        let is_whole = batch.len() > BATCH_PRODUCER.end;
        // One that was damaged on purpose stays damaged.
        if !is_whole || batch[BATCH_CHECKSUM] != crc32c(&batch[BATCH_CHECKSUM.end..]).to_be_bytes() {
            continue;
        }
        batch[BATCH_PRODUCER].fill(0xff);
        let checksum = crc32c(&batch[BATCH_CHECKSUM.end..]);
        batch[BATCH_CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Makes produce requests that arrived together change places, two by two. Correlation ids stay where they are:
/// the answers come as a client expects them.
pub(super) fn swap_neighbours(frames: &mut [Vec<u8>]) {
    for pair in
        frames.chunks_exact_mut(2).filter(|pair| pair.iter().all(|frame| !batches_in(frame).is_empty()))
    {
        let ids = [0, 1].map(|index: usize| pair[index][CORRELATION_ID].to_vec());
        pair.swap(0, 1);
        for (frame, id) in pair.iter_mut().zip(ids) {
            frame[CORRELATION_ID].copy_from_slice(&id);
        }
    }
}

/// The correlation id of a fetch.
pub(super) fn fetch_in(frame: &[u8]) -> Option<i32> {
    let (header, _) = decode_request_header(frame).ok()?;
    let is_fetch = ApiKey::from_wire(header.api_key) == Some(ApiKey::Fetch);
    is_fetch.then(|| i32::from_be_bytes(frame[CORRELATION_ID].try_into().expect("four bytes")))
}

/// Makes KAFKA_STORAGE_ERROR in the body of an answer to a fetch the answer of an empty log.
pub(super) fn empty_if_failed(body: &mut [u8]) {
    // A refused partition: the error, and a high watermark that says nothing.
    let refused = [&STORAGE_ERROR.to_be_bytes()[..], &(-1_i64).to_be_bytes()].concat();
    let empty = [0; 10];
    let found = |body: &[u8]| body.windows(refused.len()).position(|bytes| bytes == refused);
    while let Some(place) = found(body) {
        body[place..place + empty.len()].copy_from_slice(&empty);
    }
}

/// Makes a change of configurations one that is only checked.
pub(super) fn only_check_configs(frame: &mut [u8]) {
    let Ok((header, body)) = decode_request_header(frame) else { return };
    if ApiKey::from_wire(header.api_key) != Some(ApiKey::IncrementalAlterConfigs) {
        return;
    }
    let is_flexible = usize::from(header.api_version >= 1);
    let decoder = &mut Decoder::new(&frame[body..]);
    if IncrementalAlterConfigsRequest::decode(decoder, header.api_version).is_ok() {
        // `validate_only` is the last field; behind it stand at most no tagged fields.
        let place = frame.len() - 1 - is_flexible;
        frame[place] = 1;
    }
}

/// Makes one that deletes records delete one more.
pub(super) fn delete_one_more(frame: &mut Vec<u8>) {
    let original = frame.clone();
    change_request(&original, frame, ApiKey::DeleteRecords, |request| {
        let AnyRequest::DeleteRecords(DeleteRecordsRequest { topics, .. }) = request else { return };
        let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.filter(|partition| partition.offset >= 0).for_each(|partition| partition.offset += 1);
    });
}

/// Makes large batches of the topic whose configuration changes small ones: none is too large any more.
pub(super) fn shrink_batches(frame: &mut Vec<u8>) {
    let small = BatchBuilder::new().record(None, b"small".as_slice()).build();
    let original = frame.clone();
    change_request(&original, frame, ApiKey::Produce, |request| {
        let AnyRequest::Produce(ProduceRequest { topic_data, .. }) = request else { return };
        let configured = topic_data.iter_mut().filter(|topic| topic.name == CONFIGURED);
        for partition in configured.flat_map(|topic| &mut topic.partition_data) {
            if partition.records.is_some_and(|records| records.len() > SMALL_BYTES) {
                partition.records = Some(&small);
            }
        }
    });
}

/// Changes the body of a request of one API; its header stays as it is.
fn change_request<'f>(
    original: &'f [u8],
    frame: &mut Vec<u8>,
    api: ApiKey,
    change: impl FnOnce(&mut AnyRequest<'f>),
) {
    let Ok((header, body)) = decode_request_header(original) else { return };
    if ApiKey::from_wire(header.api_key) != Some(api) {
        return;
    }
    let decoder = &mut Decoder::new(&original[body..]);
    if let Ok(mut request) = AnyRequest::decode(api, decoder, header.api_version) {
        change(&mut request);
        frame.truncate(body);
        frame.extend_from_slice(&request.encode_body(header.api_version));
    }
}

/// Gives what the first member is assigned to the next one that is assigned as much.
pub(super) fn give_to_two(frame: &mut [u8]) {
    let Ok((header, body)) = decode_request_header(frame) else { return };
    if ApiKey::from_wire(header.api_key) != Some(ApiKey::SyncGroup) {
        return;
    }
    let decoder = &mut Decoder::new(&frame[body..]);
    let Ok(request) = SyncGroupRequest::decode(decoder, header.api_version) else { return };
    let mut places = request
        .assignments
        .iter()
        .map(|given| place_in(frame, given.assignment))
        .filter(|place| !place.is_empty());
    let Some(first) = places.next() else { return };
    if let Some(other) = places.find(|other| other.len() == first.len()) {
        frame.copy_within(first, other.start);
    }
}
