//! A client that changes the configuration of a topic of its own and of the broker, and looks what came of it.
//!
//! ```text
//!   alter, until it is granted or refused ──► describe ──► produce: does the broker act by it? ──► alter ...
//! ```
//!
//! Always true: nobody else changes what it changes; it tries a change again before it asks for another, and after an
//! answer that did not come only when the request cannot be worked on any more.

use std::io;

use ringlog_core::record_batch::BatchBuilder;
use ringlog_net::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use ringlog_net::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use ringlog_net::protocol::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use ringlog_runtime::memory::Random;

use crate::client::Client;
use crate::config_history::{Change, ConfigNews, Resource, Values, changed};
use crate::fetcher;
use crate::history::{Answer, ConnectionNumber, PartitionNumber, ProducerNumber, Promise};
use crate::workload::{NO_ERROR, RETRY_AFTER, Topic, UNCLEAR_FOR, Workload};

/// The topic whose configuration changes.
pub const CONFIGURED: &str = "configured";
/// What its partitions are called in the history: far from those of the others.
const FIRST_NUMBER: PartitionNumber = 2_000;
const PARTITIONS_MAX: u64 = 2;
const KEYS_MAX: u64 = 3;
const LOOKS_MAX: u64 = 3;
const PROBES_MAX: u64 = 4;

const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;

const SIZE: &str = "max.message.bytes";
const CLOCK: &str = "message.timestamp.type";
const DURABILITY: &str = "ringlog.durability";
const BROKER_SIZE: &str = "message.max.bytes";
const BROKER_CLOCK: &str = "log.message.timestamp.type";
const DEFAULT_SIZE: &str = "1048588";
const CREATE_TIME: &str = "CreateTime";

/// What may be set. A value of the broker concerns every topic that says nothing itself: nobody's batches are too large
/// for it.
const OF_TOPICS: &[(&str, &[&str])] = &[
    (SIZE, &["400", "1000", "5000", DEFAULT_SIZE]),
    (CLOCK, &[CREATE_TIME, "LogAppendTime"]),
    (DURABILITY, &["durable", "relaxed"]),
    ("retention.bytes", &["-1", "1000", "20000"]),
    ("segment.bytes", &["1048576", "2097152"]),
    ("file.delete.delay.ms", &["0", "200", "60000"]),
    ("index.interval.bytes", &["128", "4096"]),
];
const OF_BROKERS: &[(&str, &[&str])] = &[
    (BROKER_SIZE, &["100000", "200000", DEFAULT_SIZE]),
    (BROKER_CLOCK, &[CREATE_TIME, "LogAppendTime"]),
    ("log.retention.bytes", &["1000", "20000"]),
];
/// What no resource takes.
const WRONG: (&str, &str) = ("retention.bytes", "all of them");

/// Changes configurations so many times.
pub fn configure(workload: Workload, changes: u64, mut random: Random) -> impl Future<Output = ()> {
    let partitions = random.between(1..=PARTITIONS_MAX) as i32;
    let topic = Topic { name: CONFIGURED, partitions, first_number: FIRST_NUMBER };
    let configurer = Configurer {
        producer: workload.new_producer(),
        workload: workload.of_topic(topic),
        random,
        given: Given::default(),
        batches_made: 0,
    };
    workload.begin();
    configurer.run(changes)
}

/// What is granted.
#[derive(Default)]
struct Given {
    topic: Values,
    broker: Values,
    every_broker: Values,
}

impl Given {
    fn of(&mut self, resource: Resource) -> &mut Values {
        match resource {
            Resource::Topic => &mut self.topic,
            Resource::Broker => &mut self.broker,
            Resource::EveryBroker => &mut self.every_broker,
        }
    }

    /// The value a topic goes by, and whose it is.
    fn in_force<'g>(&'g self, key: &str, broker_key: &str, default: &'static str) -> (Resource, &'g str) {
        let of_topic = self.topic.get(key).map(|value| (Resource::Topic, value));
        let of_broker = || self.broker.get(broker_key).map(|value| (Resource::Broker, value));
        let of_every = || self.every_broker.get(broker_key).map(|value| (Resource::EveryBroker, value));
        let found = of_topic.or_else(of_broker).or_else(of_every);
        found.map_or((Resource::Topic, default), |(resource, value)| (resource, value.as_str()))
    }
}

struct Configurer {
    workload: Workload,
    producer: ProducerNumber,
    random: Random,
    given: Given,
    batches_made: usize,
}

impl Configurer {
    async fn run(mut self, changes: u64) {
        self.workload.create_topic().await;
        let values = ["retention.ms", "retention.bytes"].map(|key| (key.to_owned(), "-1".to_owned()));
        self.given.topic = values.into_iter().collect();
        self.note(ConfigNews::Begins(Resource::Topic, self.given.topic.clone()));
        for _ in 0..changes {
            let resource = match self.random.below(6) {
                0 => Resource::Broker,
                1 => Resource::EveryBroker,
                _ => Resource::Topic,
            };
            self.alter(resource).await;
            self.look(resource).await;
            for _ in 0..self.random.below(PROBES_MAX) {
                // Not to be answered is no answer; the batch may be there.
                let _ = self.probe().await;
            }
        }
        // Whatever its retention was, it may have taken everything.
        self.workload.retention_bytes = Some(0);
        fetcher::read_everything(&self.workload).await;
        self.workload.end();
    }

    fn note(&self, news: ConfigNews) {
        self.workload.history.borrow_mut().configs.note(news);
    }

    /// Changes some values; sometimes with one among them that must keep all of them away.
    async fn alter(&mut self, resource: Resource) {
        let mut change = self.draw_change(resource);
        let is_wrong = self.random.below(8) == 0;
        if is_wrong {
            change.retain(|(key, _)| *key != WRONG.0);
            change.push((WRONG.0, Some(WRONG.1.to_owned())));
        }
        self.note(ConfigNews::Asked(resource, change.clone()));
        loop {
            match self.try_alter(resource, &change).await {
                Ok(NO_ERROR) => {
                    *self.given.of(resource) = changed(self.given.of(resource), &change);
                    return self.note(ConfigNews::Granted(resource));
                }
                Ok(INVALID_CONFIG | INVALID_REQUEST) if is_wrong => {
                    return self.note(ConfigNews::Refused(resource));
                }
                Ok(_) => self.workload.world.sleep(RETRY_AFTER).await,
                Err(_) => self.workload.world.sleep(UNCLEAR_FOR).await,
            }
        }
    }

    fn draw_change(&mut self, resource: Resource) -> Change {
        let keys = if resource == Resource::Topic { OF_TOPICS } else { OF_BROKERS };
        let (first, count) = (self.random.index(keys.len()), self.random.between(1..=KEYS_MAX) as usize);
        let chosen = (first..first + count).map(|index| keys[index % keys.len()]);
        chosen
            .map(|(key, values)| {
                let is_taken_back = self.random.below(4) == 0;
                let value = values[self.random.index(values.len())].to_owned();
                (key, (!is_taken_back).then_some(value))
            })
            .collect()
    }

    async fn try_alter(&self, resource: Resource, change: &Change) -> io::Result<i16> {
        let (resource_type, resource_name) = name_of(resource);
        let configs = change.iter().map(|(name, value)| AlterableConfig {
            name,
            config_operation: i8::from(value.is_none()),
            value: value.as_deref(),
        });
        let resource = AlterConfigsResource { resource_type, resource_name, configs: configs.collect() };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let version = self.workload.versions.alter_configs;
        let answer = self.connect().call(&request, version).await?;
        Ok(answer.read(IncrementalAlterConfigsResponse::decode).responses[0].error_code)
    }

    /// Asks a few times what is configured, so that crashes fall between.
    async fn look(&mut self, resource: Resource) {
        for _ in 0..self.random.between(1..=LOOKS_MAX) {
            self.workload.world.sleep(RETRY_AFTER * self.random.below(5) as u32).await;
            if let Ok(Some(values)) = self.describe(resource).await {
                self.note(ConfigNews::Described(resource, values));
            }
        }
    }

    /// The values that are given for a resource and nowhere else; none if the broker does not know now.
    async fn describe(&self, resource: Resource) -> io::Result<Option<Values>> {
        let (resource_type, resource_name) = name_of(resource);
        let wanted = DescribeConfigsResource { resource_type, resource_name, configuration_keys: None };
        let request = DescribeConfigsRequest { resources: vec![wanted], ..DescribeConfigsRequest::default() };
        let version = self.workload.versions.describe_configs;
        let answer = self.connect().call(&request, version).await?;
        let response = answer.read(DescribeConfigsResponse::decode);
        let result = &response.results[0];
        let given = result.configs.iter().filter(|config| config.config_source == source_of(resource));
        let values =
            given.map(|config| (config.name.to_owned(), config.value.unwrap_or_default().to_owned()));
        Ok((result.error_code == NO_ERROR).then(|| values.collect()))
    }

    /// Produces a batch, and looks whether it is treated as configured.
    async fn probe(&mut self) -> io::Result<()> {
        let (whose_size, size) = self.given.in_force(SIZE, BROKER_SIZE, DEFAULT_SIZE);
        let (size, size_max) = (size.to_owned(), size.parse::<usize>().expect("a number"));
        let (whose_clock, clock) = self.given.in_force(CLOCK, BROKER_CLOCK, CREATE_TIME);
        let (clock, is_durable) =
            (clock.to_owned(), self.given.topic.get(DURABILITY).is_none_or(|level| level == "durable"));
        let is_too_large = size_max < 10_000 && self.random.coin();
        let value_bytes = if is_too_large { size_max } else { self.random.between(20..=200) as usize };
        let partition = self.random.below(self.workload.topic.partitions as u64) as i32;
        let value = self.make_value(value_bytes);
        let bytes = BatchBuilder::new().record(None, value.as_slice()).build();
        let number = self.workload.history.borrow_mut().sent(
            self.producer,
            Promise::Plain,
            ConnectionNumber(self.batches_made),
            self.workload.number_of(partition),
            vec![value],
        );
        let (error_code, base_offset, appended_at) = self.produce(partition, &bytes).await?;
        let ignored = |resource, key, value: &str, seen: String| {
            self.note(ConfigNews::Ignored { resource, key, value: value.to_owned(), seen });
        };
        if (error_code == MESSAGE_TOO_LARGE) != is_too_large
            && matches!(error_code, NO_ERROR | MESSAGE_TOO_LARGE)
        {
            ignored(whose_size, SIZE, &size, format!("{} bytes are answered with {error_code}", bytes.len()));
        }
        if error_code == NO_ERROR && (appended_at < 0) != (clock == CREATE_TIME) {
            ignored(whose_clock, CLOCK, &clock, format!("appended at {appended_at}"));
        }
        let answer = match error_code {
            NO_ERROR if is_durable => Answer::Acknowledged(base_offset),
            MESSAGE_TOO_LARGE => Answer::Refused,
            // Relaxed, it may be lost.
            _ => return Ok(()),
        };
        self.workload.history.borrow_mut().answered(number, answer);
        Ok(())
    }

    fn make_value(&mut self, length: usize) -> Vec<u8> {
        let mut value = format!("c{}v{} ", self.producer.0, self.batches_made).into_bytes();
        self.batches_made += 1;
        value.resize(length.max(value.len()), b'z');
        value
    }

    /// Error code, base offset, and when the broker says it was appended.
    async fn produce(&self, partition: i32, bytes: &[u8]) -> io::Result<(i16, i64, i64)> {
        let data = PartitionProduceData { index: partition, records: Some(bytes) };
        let topic = TopicProduceData {
            name: self.workload.topic.name,
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request =
            ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() };
        let answer = self.connect().call(&request, self.workload.versions.produce).await?;
        let response = answer.read(ProduceResponse::decode);
        let answer = &response.responses[0].partition_responses[0];
        Ok((answer.error_code, answer.base_offset, answer.log_append_time_ms))
    }

    fn connect(&self) -> Client {
        Client::connect(&self.workload.world, self.workload.address)
    }
}

/// The type and name of a resource in requests.
fn name_of(resource: Resource) -> (i8, &'static str) {
    match resource {
        Resource::Topic => (2, CONFIGURED),
        Resource::Broker => (4, "1"),
        Resource::EveryBroker => (4, ""),
    }
}

/// What DescribeConfigs calls values that are given for a resource.
fn source_of(resource: Resource) -> i8 {
    match resource {
        Resource::Topic => 1,
        Resource::Broker => 2,
        Resource::EveryBroker => 3,
    }
}
