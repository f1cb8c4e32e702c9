//! Simulated producers: one that retries with sequence numbers until everything is acknowledged, and one that
//! sends each batch once. Both have several requests under way.
//!
//! ```text
//!   idempotent   unacknowledged [b4 b5 b6] ──all again, in order──► after every broken connection
//!   plain        b4 b5 b6 ──► an answer or a refusal each, or silence to all that are under way
//! ```
//!
//! Always true: a value is made for one batch of one producer, so it can be told apart from all others.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use ringlog_core::ids::{ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::record_batch::BatchBuilder;
use ringlog_net::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringlog_net::protocol::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use ringlog_runtime::memory::{PerMillion, Random};

use crate::client::Client;
use crate::history::{Answer, BatchNumber, ConnectionNumber, ProducerNumber, Promise};
use crate::workload::{NO_ERROR, RETRY_AFTER, Workload};

const CORRUPT_MESSAGE: i16 = 2;
/// Requests an idempotent producer may have under way: what the broker remembers of it (KIP-98).
const IN_FLIGHT_MAX: u64 = 5;
const RECORDS_MAX: u64 = 5;
/// Values up to so many bytes, by producer: commits of one sector of a disk, and commits of several that can tear.
const USUAL_VALUE_BYTES_MAX: [u64; 4] = [20, 100, 500, 1_500];
const LARGE_VALUE_BYTES_MAX: u64 = 8_000;

/// A client that produces.
pub struct Producer {
    workload: Workload,
    number: ProducerNumber,
    promise: Promise,
    connection: ConnectionNumber,
    random: Random,
    batches_left: usize,
    values_made: usize,
    identity: Option<(ProducerId, ProducerEpoch)>,
    next_sequence: BTreeMap<i32, i32>,
    unacknowledged: VecDeque<Outgoing>,
    in_flight_max: usize,
    value_bytes_max: u64,
}

/// A request on its way: batches of as many partitions.
struct Outgoing {
    batches: Vec<Batch>,
}

/// A batch, and what the history calls it.
struct Batch {
    number: BatchNumber,
    partition: i32,
    bytes: Vec<u8>,
}

impl Producer {
    /// A producer that will send `batches` batches.
    pub fn new(workload: &Workload, promise: Promise, batches: usize, mut random: Random) -> Producer {
        workload.begin();
        Producer {
            workload: workload.clone(),
            number: workload.new_producer(),
            promise,
            connection: ConnectionNumber::default(),
            in_flight_max: random.between(1..=IN_FLIGHT_MAX) as usize,
            value_bytes_max: USUAL_VALUE_BYTES_MAX[random.index(USUAL_VALUE_BYTES_MAX.len())],
            random,
            batches_left: batches,
            values_made: 0,
            identity: None,
            next_sequence: BTreeMap::new(),
            unacknowledged: VecDeque::new(),
        }
    }

    /// Sends everything, however often connections break, then ends.
    pub async fn run(mut self) {
        while self.batches_left > 0 || !self.unacknowledged.is_empty() {
            let mut client = Client::connect(&self.workload.world, self.workload.address);
            // What broke the connection does not matter: the next one begins where this one ended.
            let _ = match self.promise {
                Promise::Idempotent => self.produce_reliably(&mut client).await,
                Promise::Plain => self.produce_once_each(&mut client).await,
                Promise::Unanswered => self.produce_blindly(&mut client).await,
            };
            drop(client);
            self.connection.0 += 1;
            self.workload.world.sleep(RETRY_AFTER).await;
        }
        self.workload.end();
    }

    async fn produce_reliably(&mut self, client: &mut Client) -> io::Result<()> {
        self.obtain_identity(client).await?;
        let mut sent = 0;
        while self.batches_left > 0 || !self.unacknowledged.is_empty() {
            while client.in_flight() < self.in_flight_max
                && (sent < self.unacknowledged.len() || self.batches_left > 0)
            {
                if sent == self.unacknowledged.len() {
                    let request = self.make_request();
                    self.unacknowledged.push_back(request);
                }
                let request = self.request(&self.unacknowledged[sent], -1);
                client.send(&request, self.workload.versions.produce).await?;
                sent += 1;
            }
            let request = self.unacknowledged.front_mut().expect("an answer is to a request sent");
            let answers = receive_answers(client, request).await?;
            for (batch, answer) in &answers {
                if let Ok(base_offset) = answer {
                    // What was refused beside it is sent again without it.
                    request.batches.retain(|other| other.number != *batch);
                    let answer = Answer::Acknowledged(*base_offset);
                    self.workload.history.borrow_mut().answered(*batch, answer);
                }
            }
            if let Some(code) = answers.into_iter().find_map(|(_, answer)| answer.err()) {
                return Err(refused(code));
            }
            self.unacknowledged.pop_front();
            sent -= 1;
        }
        Ok(())
    }

    async fn obtain_identity(&mut self, client: &mut Client) -> io::Result<()> {
        if self.identity.is_some() {
            return Ok(());
        }
        let version = self.workload.versions.init_producer_id;
        let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
        let answer = client.call(&request, version).await?;
        let response = answer.read(InitProducerIdResponse::decode);
        if response.error_code != NO_ERROR {
            return Err(refused(response.error_code));
        }
        self.identity = Some((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)));
        Ok(())
    }

    /// Each batch is sent once. Some are damaged on purpose and must be refused.
    async fn produce_once_each(&mut self, client: &mut Client) -> io::Result<()> {
        let acks = if self.random.coin() { 1 } else { -1 };
        let mut under_way = VecDeque::new();
        while self.batches_left > 0 || !under_way.is_empty() {
            while under_way.len() < self.in_flight_max && self.batches_left > 0 {
                let mut request = self.make_request();
                if self.random.happens(PerMillion(50_000)) {
                    let bytes = &mut request.batches[0].bytes;
                    *bytes.last_mut().expect("a batch has a header") ^= 1;
                }
                client.send(&self.request(&request, acks), self.workload.versions.produce).await?;
                under_way.push_back(request);
            }
            let request = under_way.pop_front().expect("something is under way");
            let mut failure = None;
            for (batch, answer) in receive_answers(client, &request).await? {
                let answer = match answer {
                    Ok(base_offset) => Answer::Acknowledged(base_offset),
                    Err(CORRUPT_MESSAGE) => Answer::Refused,
                    Err(code) => {
                        failure = Some(code);
                        continue;
                    }
                };
                self.workload.history.borrow_mut().answered(batch, answer);
            }
            if let Some(code) = failure {
                return Err(refused(code));
            }
        }
        Ok(())
    }

    async fn produce_blindly(&mut self, client: &mut Client) -> io::Result<()> {
        while self.batches_left > 0 {
            let request = self.make_request();
            client.send_unanswered(&self.request(&request, 0), self.workload.versions.produce).await?;
            if self.random.coin() {
                self.workload.world.sleep(RETRY_AFTER / 10).await;
            }
        }
        Ok(())
    }

    fn request<'b>(&self, request: &'b Outgoing, acks: i16) -> ProduceRequest<'b> {
        let data =
            |batch: &'b Batch| PartitionProduceData { index: batch.partition, records: Some(&batch.bytes) };
        let partition_data = request.batches.iter().map(data).collect();
        let topic = TopicProduceData { name: self.workload.topic.name, partition_data, ..Default::default() };
        ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
    }

    /// One batch each for some partitions.
    fn make_request(&mut self) -> Outgoing {
        let partitions = self.workload.topic.partitions as u64;
        let count = self.random.between(1..=partitions.min(self.workload.batches_per_request_max));
        let first = self.random.below(partitions);
        let count = count.min(self.batches_left as u64);
        let batches = (first..first + count).map(|index| self.make_batch((index % partitions) as i32));
        Outgoing { batches: batches.collect() }
    }

    fn make_batch(&mut self, partition: i32) -> Batch {
        self.batches_left -= 1;
        let count = self.random.between(1..=RECORDS_MAX) as usize;
        let values: Vec<Vec<u8>> = (0..count).map(|_| self.make_value()).collect();
        let mut builder = BatchBuilder::new();
        if let Some((id, epoch)) = self.identity {
            let next = self.next_sequence.entry(partition).or_default();
            builder = builder.producer(id, epoch, SequenceNumber(*next));
            *next += count as i32;
        }
        for value in &values {
            builder = builder.record(None, value.as_slice());
        }
        let bytes = builder.build();
        let number = self.workload.history.borrow_mut().sent(
            self.number,
            self.promise,
            self.connection,
            self.workload.number_of(partition),
            values,
        );
        Batch { number, partition, bytes }
    }

    fn make_value(&mut self) -> Vec<u8> {
        let mut value = format!("p{}v{} ", self.number.0, self.values_made).into_bytes();
        self.values_made += 1;
        let padding_max = match self.random.below(8) {
            0 => LARGE_VALUE_BYTES_MAX,
            _ => self.value_bytes_max,
        };
        let padding = self.random.below(padding_max) as usize;
        value.resize(value.len() + padding, b'a' + (self.values_made % 26) as u8);
        value
    }
}

/// For each batch of the oldest request under way its base offset, or the error code it met.
///
/// # Panics
/// If the broker does not answer for each of its partitions once.
async fn receive_answers(
    client: &mut Client,
    request: &Outgoing,
) -> io::Result<Vec<(BatchNumber, Result<i64, i16>)>> {
    let answer = client.receive().await?;
    let response = answer.read(ProduceResponse::decode);
    let found: Vec<_> = response.responses.iter().flat_map(|topic| &topic.partition_responses).collect();
    assert_eq!(found.len(), request.batches.len(), "each partition is answered for once");
    let answer_to = |batch: &Batch| {
        let answer = found.iter().find(|answer| answer.index == batch.partition);
        let answer = answer.expect("each partition is answered for");
        let result =
            if answer.error_code == NO_ERROR { Ok(answer.base_offset) } else { Err(answer.error_code) };
        (batch.number, result)
    };
    Ok(request.batches.iter().map(answer_to).collect())
}

fn refused(code: i16) -> io::Error {
    io::Error::other(format!("the broker answered with error {code}"))
}
