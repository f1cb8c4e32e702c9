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
use crate::history::{Answer, BatchNumber, ConnectionNumber, PartitionNumber, ProducerNumber, Promise};
use crate::workload::{NO_ERROR, RETRY_AFTER, TOPIC, Workload};

const CORRUPT_MESSAGE: i16 = 2;
/// Requests an idempotent producer may have under way: what the broker remembers of it (KIP-98).
const IN_FLIGHT_MAX: u64 = 5;
const RECORDS_MAX: u64 = 5;
const SMALL_VALUE_BYTES_MAX: u64 = 100;
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
    next_sequence: BTreeMap<PartitionNumber, i32>,
    unacknowledged: VecDeque<Outgoing>,
    in_flight_max: usize,
}

/// A batch on its way.
struct Outgoing {
    number: BatchNumber,
    partition: PartitionNumber,
    bytes: Vec<u8>,
}

impl Producer {
    /// A producer that will send `batches` batches.
    pub fn new(workload: &Workload, promise: Promise, batches: usize, mut random: Random) -> Producer {
        Producer {
            workload: workload.clone(),
            number: workload.new_producer(),
            promise,
            connection: ConnectionNumber::default(),
            in_flight_max: random.between(1..=IN_FLIGHT_MAX) as usize,
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
        self.workload.producers_busy.set(self.workload.producers_busy.get() - 1);
    }

    async fn produce_reliably(&mut self, client: &mut Client) -> io::Result<()> {
        self.obtain_identity(client).await?;
        let mut sent = 0;
        while self.batches_left > 0 || !self.unacknowledged.is_empty() {
            while client.in_flight() < self.in_flight_max
                && (sent < self.unacknowledged.len() || self.batches_left > 0)
            {
                if sent == self.unacknowledged.len() {
                    let batch = self.make_batch();
                    self.unacknowledged.push_back(batch);
                }
                let batch = &self.unacknowledged[sent];
                client.send(&produce_request(batch, -1), self.workload.versions.produce).await?;
                sent += 1;
            }
            let base_offset = self.receive_answer(client).await?.map_err(refused)?;
            let batch = self.unacknowledged.pop_front().expect("an answer is to a batch sent");
            self.workload.history.borrow_mut().answered(batch.number, Answer::Acknowledged(base_offset));
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
                let mut batch = self.make_batch();
                if self.random.happens(PerMillion(50_000)) {
                    *batch.bytes.last_mut().expect("a batch has a header") ^= 1;
                }
                client.send(&produce_request(&batch, acks), self.workload.versions.produce).await?;
                under_way.push_back(batch.number);
            }
            let answer = match self.receive_answer(client).await? {
                Ok(base_offset) => Answer::Acknowledged(base_offset),
                Err(CORRUPT_MESSAGE) => Answer::Refused,
                Err(code) => return Err(refused(code)),
            };
            let batch = under_way.pop_front().expect("an answer is to a batch sent");
            self.workload.history.borrow_mut().answered(batch, answer);
        }
        Ok(())
    }

    async fn produce_blindly(&mut self, client: &mut Client) -> io::Result<()> {
        while self.batches_left > 0 {
            let batch = self.make_batch();
            client.send_unanswered(&produce_request(&batch, 0), self.workload.versions.produce).await?;
            if self.random.coin() {
                self.workload.world.sleep(RETRY_AFTER / 10).await;
            }
        }
        Ok(())
    }

    /// The base offset of the oldest batch under way, or the error code it met.
    async fn receive_answer(&mut self, client: &mut Client) -> io::Result<Result<i64, i16>> {
        let answer = client.receive().await?;
        let response = answer.read(ProduceResponse::decode);
        let partition = &response.responses[0].partition_responses[0];
        Ok(match partition.error_code {
            NO_ERROR => Ok(partition.base_offset),
            code => Err(code),
        })
    }

    fn make_batch(&mut self) -> Outgoing {
        self.batches_left -= 1;
        let partition = self.random.below(self.workload.partitions as u64) as PartitionNumber;
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
            partition,
            values,
        );
        Outgoing { number, partition, bytes }
    }

    fn make_value(&mut self) -> Vec<u8> {
        let mut value = format!("p{}v{} ", self.number.0, self.values_made).into_bytes();
        self.values_made += 1;
        let padding_max = match self.random.below(8) {
            0 => LARGE_VALUE_BYTES_MAX,
            _ => SMALL_VALUE_BYTES_MAX,
        };
        let padding = self.random.below(padding_max) as usize;
        value.resize(value.len() + padding, b'a' + (self.values_made % 26) as u8);
        value
    }
}

fn produce_request(batch: &Outgoing, acks: i16) -> ProduceRequest<'_> {
    let data = PartitionProduceData { index: batch.partition, records: Some(&batch.bytes) };
    let topic = TopicProduceData { name: TOPIC, partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
}

fn refused(code: i16) -> io::Error {
    io::Error::other(format!("the broker answered with error {code}"))
}
