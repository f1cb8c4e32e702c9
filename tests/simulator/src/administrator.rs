//! A client that makes a topic, has it filled, deletes it, and makes it again under the same name.
//!
//! ```text
//!   create ──► look ──► produce ──► read all ──► look ──► delete ──► look ──► create ...
//!                └ there                           └ there             └ not there
//! ```
//!
//! Always true: nobody else makes or deletes that topic; each of its lives has numbers of its own in the history,
//! so a record that outlives its topic is one that was never sent to the next.

use std::io;

use ringlog_net::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ringlog_runtime::memory::Random;

use crate::client::Client;
use crate::fetcher;
use crate::history::{PartitionNumber, Promise, TopicNews};
use crate::producer::Producer;
use crate::workload::{
    NO_ERROR, RETRY_AFTER, TOPIC_ALREADY_EXISTS, Topic, UNCLEAR_FOR, UNKNOWN_TOPIC_OR_PARTITION, Workload,
};

/// The topic that is made and deleted.
const FLEETING: &str = "fleeting";

/// What its partitions are called in the history: far from those of the other topic.
const FIRST_NUMBER: PartitionNumber = 1_000;
const PARTITIONS_MAX: u64 = 3;
const BATCHES_MAX: u64 = 20;

/// Whether an answer is to the first request of its kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Again,
}

/// Whether a file belongs to the topic, which is deleted once this client is done.
pub fn is_of_fleeting_topic(path: &str) -> bool {
    path.contains(&format!("/{FLEETING}-"))
}

/// Makes, fills, reads and deletes the topic so many times.
pub fn make_and_delete(workload: Workload, times: u64, random: Random) -> impl Future<Output = ()> {
    workload.begin();
    live(workload, times, random)
}

async fn live(workload: Workload, times: u64, mut random: Random) {
    let mut first_number = FIRST_NUMBER;
    for _ in 0..times {
        let partitions = random.between(1..=PARTITIONS_MAX) as i32;
        let topic = Topic { name: FLEETING, partitions, first_number };
        first_number += partitions;
        let workload = workload.of_topic(topic);
        create(&workload).await;
        look_now_and_then(&workload, &mut random).await;
        let promise = if random.coin() { Promise::Idempotent } else { Promise::Plain };
        let batches = random.between(1..=BATCHES_MAX) as usize;
        Producer::new(&workload, promise, batches, random.fork(6)).run().await;
        fetcher::read_everything(&workload).await;
        look_now_and_then(&workload, &mut random).await;
        delete(&workload).await;
        look_now_and_then(&workload, &mut random).await;
    }
    workload.end();
}

async fn create(workload: &Workload) {
    let mut attempt = Attempt::First;
    loop {
        match (workload.try_create_topic().await, attempt) {
            (Ok(TOPIC_ALREADY_EXISTS), Attempt::First) => workload.note(TopicNews::Seen),
            (Ok(NO_ERROR | TOPIC_ALREADY_EXISTS), _) => return workload.note(TopicNews::Created),
            (Ok(_), _) => {}
            (Err(_), _) => workload.world.sleep(UNCLEAR_FOR).await,
        }
        attempt = Attempt::Again;
        workload.world.sleep(RETRY_AFTER).await;
    }
}

async fn delete(workload: &Workload) {
    let mut attempt = Attempt::First;
    loop {
        match (try_delete(workload).await, attempt) {
            (Ok(UNKNOWN_TOPIC_OR_PARTITION), Attempt::First) => workload.note(TopicNews::Missed),
            (Ok(NO_ERROR | UNKNOWN_TOPIC_OR_PARTITION), _) => return workload.note(TopicNews::Deleted),
            (Ok(_), _) => {}
            (Err(_), _) => workload.world.sleep(UNCLEAR_FOR).await,
        }
        attempt = Attempt::Again;
        workload.world.sleep(RETRY_AFTER).await;
    }
}

async fn try_delete(workload: &Workload) -> io::Result<i16> {
    let version = workload.versions.delete_topics;
    let name = workload.topic.name;
    let topic = DeleteTopicState { name: Some(name), ..DeleteTopicState::default() };
    let request = DeleteTopicsRequest { topics: vec![topic], topic_names: vec![name], timeout_ms: 10_000 };
    let answer = Client::connect(&workload.world, workload.address).call(&request, version).await?;
    Ok(answer.read(DeleteTopicsResponse::decode).responses[0].error_code)
}

/// Asks a few times whether the topic is there, so that crashes fall between.
async fn look_now_and_then(workload: &Workload, random: &mut Random) {
    for _ in 0..random.between(1..=3) {
        workload.world.sleep(RETRY_AFTER * random.below(5) as u32).await;
        match look(workload).await {
            Ok(NO_ERROR) => workload.note(TopicNews::Seen),
            Ok(UNKNOWN_TOPIC_OR_PARTITION) => workload.note(TopicNews::Missed),
            // Not now: a broker that is starting or failing knows nothing for certain.
            Ok(_) | Err(_) => {}
        }
    }
}

async fn look(workload: &Workload) -> io::Result<i16> {
    let topic = MetadataRequestTopic { name: Some(workload.topic.name), ..MetadataRequestTopic::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let version = workload.versions.metadata;
    let answer = Client::connect(&workload.world, workload.address).call(&request, version).await?;
    Ok(answer.read(MetadataResponse::decode).topics[0].error_code)
}
