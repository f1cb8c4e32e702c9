//! The smallest server that keeps the promises the simulator checks: to test the simulator itself.
//!
//! ```text
//!   /reference/N   [length][checksum chained to the one before][batch] ...     one file per partition
//! ```
//!
//! Always true: a batch is readable and acknowledged only after its write completed as stable; what does not
//! verify at the end of a file was never acknowledged, and is cut off at the start.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::checksum::crc32c_append;
use ringlog_core::ids::{LeaderEpoch, Offset};
use ringlog_core::record_batch::{BatchHeader, RawBatch, validate_stored};
use ringlog_net::protocol::create_topics::{CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse};
use ringlog_net::protocol::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ringlog_net::protocol::init_producer_id::InitProducerIdResponse;
use ringlog_net::protocol::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ringlog_net::protocol::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use ringlog_net::protocol::{
    ApiKey, Decoder, Message, Records, decode_request_header, encode_response_frame,
};
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::{
    Connection, DiskFailure, Environment, File, Listener, OpenMode, TaskClass, WriteSync,
};
use ringlog_runtime::memory::MemoryWorld;
use ringlog_simulator::planted::{Bug, Planted, PlantedConnection};
use ringlog_simulator::run::{ADDRESS, Program, Running};

const DIRECTORY: &str = "/reference";
const FRAME_HEADER_BYTES: usize = 8;
const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const OUT_OF_ORDER_SEQUENCE: i16 = 45;
const STORAGE_ERROR: i16 = 56;

/// Mistakes in the program itself rather than below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    None,
    /// Accepts any bytes with a plausible length after a crash.
    BelievesTornTails,
    /// Appends a retried batch again.
    ForgetsSequences,
    /// Lets fetchers see what is not stable yet.
    ShowsUnstable,
}

pub struct Reference(pub Flaw);

impl Program for Reference {
    fn start(&self, world: &MemoryWorld, shard_count: u16, bug: Bug) -> Running {
        let environment = Planted::new(world.environment(0, shard_count), bug);
        let (running, flaw) = (Running::default(), self.0);
        let task = Server::run(environment.clone(), flaw, running.clone());
        environment.spawn(TaskClass::Network, task);
        running
    }

    fn does_everything(&self) -> bool {
        false
    }
}

struct Server {
    environment: Planted,
    flaw: Flaw,
    partitions: RefCell<BTreeMap<i32, Rc<Partition>>>,
    is_creating: Cell<bool>,
}

struct Partition {
    file: <Planted as Environment>::File,
    batches: RefCell<Vec<Slice>>,
    end: Cell<End>,
    has_writer: Cell<bool>,
    is_fenced: Cell<bool>,
}

#[derive(Clone, Copy, Default)]
struct End {
    offset: i64,
    position: u64,
    checksum: u32,
}

impl Server {
    async fn run(environment: Planted, flaw: Flaw, running: Running) {
        let partitions = RefCell::default();
        let server = Rc::new(Server { environment, flaw, partitions, is_creating: Cell::new(false) });
        if server.clone().serve(&running).await.is_ok() {
            running.note_end();
        }
    }

    async fn serve(self: Rc<Server>, running: &Running) -> Result<(), DiskFailure> {
        let environment = &self.environment;
        environment.create_directory(Path::new(DIRECTORY)).await?;
        environment.sync_directory(Path::new("/")).await?;
        for entry in environment.list_directory(Path::new(DIRECTORY)).await? {
            self.open(entry.name.parse().expect("files are named by partition")).await?;
        }
        let listener = environment.listen(ADDRESS.parse().unwrap()).await.expect("the address is free");
        let accepting = self.clone();
        environment.spawn(TaskClass::Network, async move {
            while let Ok(accepted) = listener.accept().await {
                let connection = accepting.environment.adopt(accepted);
                accepting.environment.spawn(TaskClass::Network, accepting.clone().converse(connection));
            }
        });
        running.stop_asked(environment.clone()).await;
        Ok(())
    }

    async fn open(&self, number: i32) -> Result<(), DiskFailure> {
        let path: PathBuf = [DIRECTORY, &number.to_string()].iter().collect();
        let file = self.environment.open(&path, OpenMode::BufferedWrite).await?;
        self.environment.sync_directory(Path::new(DIRECTORY)).await?;
        let mut buffer = self.environment.arena().allocate(file.length().await? as usize + 1).unwrap();
        buffer = file.read_at(0, buffer).await?;
        let (batches, end) = recover(&buffer.freeze(), self.flaw);
        file.truncate(end.position).await?;
        file.sync().await?;
        let partition = Partition {
            file,
            batches: RefCell::new(batches),
            end: Cell::new(end),
            has_writer: Cell::new(false),
            is_fenced: Cell::new(false),
        };
        self.partitions.borrow_mut().insert(number, Rc::new(partition));
        Ok(())
    }

    async fn converse(self: Rc<Server>, connection: PlantedConnection) {
        let mut received = Vec::new();
        while let Ok(piece) = connection.receive().await {
            if piece.is_empty() {
                return;
            }
            received.extend_from_slice(piece.as_slice());
            while let Some(length) = received.first_chunk().map(|length| u32::from_be_bytes(*length) as usize)
                && received.len() >= 4 + length
            {
                let frame: Vec<u8> = received.drain(..4 + length).skip(4).collect();
                if let Some(response) = self.answer(&frame).await
                    && connection.send(response).await.is_err()
                {
                    return;
                }
            }
        }
    }

    async fn answer(&self, frame: &[u8]) -> Option<Vec<Slice>> {
        let (header, body) = decode_request_header(frame).expect("clients speak Kafka");
        let (version, correlation_id) = (header.api_version, header.correlation_id);
        let decoder = &mut Decoder::new(&frame[body..]);
        match ApiKey::from_wire(header.api_key).expect("a known API") {
            ApiKey::CreateTopics => {
                let response = self.create(&CreateTopicsRequest::decode(decoder, version).unwrap()).await?;
                self.encode(version, correlation_id, &response)
            }
            ApiKey::InitProducerId => {
                let producer_id = (self.environment.random() >> 1) as i64;
                let response = InitProducerIdResponse { producer_id, ..Default::default() };
                self.encode(version, correlation_id, &response)
            }
            ApiKey::Produce => {
                let request = ProduceRequest::decode(decoder, version).unwrap();
                let response = self.produce(&request).await;
                if request.acks == 0 { None } else { self.encode(version, correlation_id, &response) }
            }
            ApiKey::Fetch => {
                let response = self.fetch(&FetchRequest::decode(decoder, version).unwrap()).await;
                self.encode(version, correlation_id, &response)
            }
            ApiKey::ListOffsets => {
                let response = self.list_offsets(&ListOffsetsRequest::decode(decoder, version).unwrap());
                self.encode(version, correlation_id, &response)
            }
            other => panic!("{other:?} is not needed"),
        }
    }

    fn encode<M: Message>(&self, version: i16, correlation_id: i32, response: &M) -> Option<Vec<Slice>> {
        let arena = self.environment.arena();
        Some(encode_response_frame(arena, M::API_KEY, version, correlation_id, response).unwrap())
    }

    async fn create(&self, request: &CreateTopicsRequest<'_>) -> Option<CreateTopicsResponse<'static>> {
        if self.is_creating.replace(true) {
            return None;
        }
        for number in 0..request.topics[0].num_partitions {
            if !self.partitions.borrow().contains_key(&number) {
                self.open(number).await.ok()?;
            }
        }
        self.is_creating.set(false);
        let topic = CreatableTopicResult { name: "simulated", ..Default::default() };
        Some(CreateTopicsResponse { topics: vec![topic], ..Default::default() })
    }

    fn partition(&self, number: i32) -> Option<Rc<Partition>> {
        self.partitions.borrow().get(&number).cloned()
    }

    async fn produce(&self, request: &ProduceRequest<'_>) -> ProduceResponse<'static> {
        let data = &request.topic_data[0].partition_data[0];
        let (base_offset, error_code) = match self.append(data.index, data.records.unwrap_or_default()).await
        {
            Ok(offset) => (offset, 0),
            Err(code) => (-1, code),
        };
        let answer =
            PartitionProduceResponse { index: data.index, error_code, base_offset, ..Default::default() };
        let topic = TopicProduceResponse {
            name: "simulated",
            partition_responses: vec![answer],
            ..Default::default()
        };
        ProduceResponse { responses: vec![topic], ..Default::default() }
    }

    async fn append(&self, number: i32, bytes: &[u8]) -> Result<i64, i16> {
        let partition = self.partition(number).ok_or(UNKNOWN_TOPIC_OR_PARTITION)?;
        let valid = validate_stored(bytes).map_err(|_| CORRUPT_MESSAGE)?;
        while partition.has_writer.get() {
            let soon = self.environment.now() + Duration::from_micros(100);
            self.environment.sleep_until(soon).await;
        }
        if partition.is_fenced.get() {
            return Err(STORAGE_ERROR);
        }
        if let Some(offset) = partition.admit(valid.header(), self.flaw)? {
            return Ok(offset);
        }
        let end = partition.end.get();
        let batch = valid.assign(Offset(end.offset), LeaderEpoch(0)).to_bytes();
        partition.has_writer.set(true);
        let written = self.write(&partition, end, &batch).await;
        partition.has_writer.set(false);
        partition.is_fenced.set(written.is_err());
        written.map(|()| end.offset).map_err(|_| STORAGE_ERROR)
    }

    async fn write(&self, partition: &Partition, end: End, batch: &[u8]) -> Result<(), DiskFailure> {
        let checksum = crc32c_append(end.checksum, batch);
        let mut buffer = self.environment.arena().allocate(FRAME_HEADER_BYTES + batch.len()).unwrap();
        buffer.extend_from_slice(&(batch.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&checksum.to_le_bytes());
        buffer.extend_from_slice(batch);
        let frame = buffer.freeze();
        let stored = frame.slice(FRAME_HEADER_BYTES..frame.len());
        let position = end.position + frame.len() as u64;
        if self.flaw == Flaw::ShowsUnstable {
            partition.batches.borrow_mut().push(stored.clone());
        }
        partition.file.write_at(end.position, vec![frame], WriteSync::BeforeCompletion).await?;
        if self.flaw != Flaw::ShowsUnstable {
            partition.batches.borrow_mut().push(stored);
        }
        let header = BatchHeader::parse(batch).expect("a valid batch");
        partition.end.set(End { offset: header.next_offset().0, position, checksum });
        Ok(())
    }

    async fn fetch(&self, request: &FetchRequest<'_>) -> FetchResponse<'static> {
        let wanted = &request.topics[0].partitions[0];
        let deadline =
            self.environment.now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap());
        let (mut records, mut high_watermark, mut error_code) = (Vec::new(), -1, UNKNOWN_TOPIC_OR_PARTITION);
        while let Some(partition) = self.partition(wanted.partition) {
            error_code = 0;
            high_watermark = partition.end.get().offset;
            records = partition.read(wanted.fetch_offset, wanted.partition_max_bytes as usize);
            if !records.is_empty() || self.environment.now() >= deadline {
                break;
            }
            self.environment.sleep_until(self.environment.now() + Duration::from_millis(20)).await;
        }
        let data = PartitionData {
            partition_index: wanted.partition,
            error_code,
            high_watermark,
            records: Some(Records::Slices(records)),
            ..Default::default()
        };
        let topic =
            FetchableTopicResponse { topic: "simulated", partitions: vec![data], ..Default::default() };
        FetchResponse { responses: vec![topic], ..Default::default() }
    }

    fn list_offsets(&self, request: &ListOffsetsRequest<'_>) -> ListOffsetsResponse<'static> {
        let partition_index = request.topics[0].partitions[0].partition_index;
        let partition = self.partition(partition_index);
        let answer = ListOffsetsPartitionResponse {
            partition_index,
            error_code: if partition.is_some() { 0 } else { UNKNOWN_TOPIC_OR_PARTITION },
            offset: partition.map_or(-1, |partition| partition.end.get().offset),
            ..Default::default()
        };
        let topic = ListOffsetsTopicResponse { name: "simulated", partitions: vec![answer] };
        ListOffsetsResponse { topics: vec![topic], ..Default::default() }
    }
}

impl Partition {
    /// The offset of a batch that is a retry; `None` for the producer's next one.
    fn admit(&self, header: &BatchHeader, flaw: Flaw) -> Result<Option<i64>, i16> {
        if !header.has_producer_id() || flaw == Flaw::ForgetsSequences {
            return Ok(None);
        }
        let mut expected = 0;
        for batch in self.batches.borrow().iter() {
            let earlier = BatchHeader::parse(batch).expect("a valid batch");
            if earlier.producer_id() == header.producer_id() {
                if earlier.base_sequence() == header.base_sequence() {
                    return Ok(Some(earlier.base_offset().0));
                }
                expected = earlier.last_sequence().0 + 1;
            }
        }
        if header.base_sequence().0 == expected { Ok(None) } else { Err(OUT_OF_ORDER_SEQUENCE) }
    }

    fn read(&self, from: i64, bytes_max: usize) -> Vec<Slice> {
        let mut bytes = 0;
        let batches = self.batches.borrow();
        let is_wanted = |batch: &&Slice| BatchHeader::parse(batch).expect("valid").last_offset().0 >= from;
        let fits = |batch: &&Slice| {
            bytes += batch.len();
            bytes <= bytes_max || bytes == batch.len()
        };
        batches.iter().filter(is_wanted).take_while(fits).cloned().collect()
    }
}

/// The batches of a file and where they end.
fn recover(file: &Slice, flaw: Flaw) -> (Vec<Slice>, End) {
    let (mut batches, mut end) = (Vec::new(), End::default());
    while let Some(header) = file.get(end.position as usize..end.position as usize + FRAME_HEADER_BYTES) {
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let stored = u32::from_le_bytes(header[4..].try_into().unwrap());
        let start = end.position as usize + FRAME_HEADER_BYTES;
        let Some(batch) = file.get(start..start + length) else { break };
        let checksum = crc32c_append(end.checksum, batch);
        let is_sound = checksum == stored || flaw == Flaw::BelievesTornTails;
        if !is_sound || RawBatch::split_first(batch).is_err() {
            break;
        }
        let next = BatchHeader::parse(batch).expect("a valid batch").next_offset().0;
        batches.push(file.slice(start..start + length));
        end = End { offset: next, position: (start + length) as u64, checksum };
    }
    (batches, end)
}
