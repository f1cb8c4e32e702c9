//! A broker process to test against, and a consumer that reads a topic whole.
//!
//!   BrokerProcess::start ── kill / restart / stop ──► the same directory, the same port
//!
//! Always true: the process ends with its value, whatever the test did; a broker that does not start or end as it
//! should fails the test with its own last words.

#![allow(dead_code, reason = "not every test crate uses all of it")]

pub mod said;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;

/// Polls of a second that may pass without a record before a test gives up.
const SILENT_POLLS_MAX: u32 = 60;

/// A `ringlog start` process with a directory of its own.
pub struct BrokerProcess {
    folder: TempDir,
    port: u16,
    flags: Vec<String>,
    process: Child,
}

/// What is read back: values by partition and offset.
pub type Places = BTreeMap<(i32, i64), Vec<u8>>;

impl BrokerProcess {
    /// Starts a broker and waits until it says where it listens.
    pub fn start(flags: &[&str]) -> BrokerProcess {
        let folder = tempfile::tempdir().expect("a folder for the broker");
        let port = free_port();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let process = launch(folder.path(), port, &flags).expect("the broker starts");
        BrokerProcess { folder, port, flags, process }
    }

    /// Starts a broker on a folder whose data directory is there already; its last words if it does not start.
    pub fn start_on(folder: TempDir, flags: &[&str]) -> Result<BrokerProcess, String> {
        let port = free_port();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let process = launch(folder.path(), port, &flags)?;
        Ok(BrokerProcess { folder, port, flags, process })
    }

    /// Starts a broker whose standard output nobody reads.
    pub fn start_unheard() -> BrokerProcess {
        let folder = tempfile::tempdir().expect("a folder for the broker");
        let port = free_port();
        let mut process = command(folder.path(), port, &[]).spawn().expect("the binary can be run");
        drop(process.stdout.take().expect("it was piped"));
        BrokerProcess { folder, port, flags: Vec::new(), process }
    }

    /// Where clients connect.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        data_in(self.folder.path())
    }

    /// Its log of events.
    pub fn words(&self) -> String {
        fs::read_to_string(self.folder.path().join("broker.log")).expect("it has a log")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill().expect("the broker runs");
        self.process.wait().expect("the broker is our child");
    }

    /// SIGTERM, and how the process ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(sent.expect("kill is a program everywhere").success());
        self.process.wait().expect("the broker is our child")
    }

    /// Starts again on the same directory and port, with other flags if any are given.
    pub fn restart(&mut self, flags: &[&str]) {
        if !flags.is_empty() {
            self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        }
        self.process = launch(self.folder.path(), self.port, &self.flags).expect("the broker starts again");
    }

    /// What a second broker on the same directory says, on another port, as its last words.
    pub fn second_on_same_directory(&self) -> Result<(), String> {
        match launch(self.folder.path(), free_port(), &self.flags) {
            Ok(mut second) => {
                second.kill().expect("it runs");
                second.wait().expect("it is our child");
                Ok(())
            }
            Err(words) => Err(words),
        }
    }

    /// Settings for a client of this broker.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap()).set("reconnect.backoff.max.ms", "200");
        config
    }

    /// Makes a topic and panics unless the broker agrees.
    pub async fn create_topic(&self, name: &str, partition_count: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let topic = NewTopic::new(name, partition_count, TopicReplication::Fixed(1));
        let made = admin.create_topics([&topic], &AdminOptions::new()).await.expect("an answer");
        assert_eq!(made, [Ok(name.to_owned())]);
    }

    /// Every record of the topic.
    pub fn read_all(&self, topic: &str, partition_count: i32) -> Places {
        let consumer: BaseConsumer = self.consumer();
        let mut from_the_beginning = TopicPartitionList::new();
        for partition in 0..partition_count {
            let added = from_the_beginning.add_partition_offset(topic, partition, Offset::Offset(0));
            added.expect("zero is an offset");
        }
        consumer.assign(&from_the_beginning).expect("partitions are assigned by hand");
        let (mut places, mut ended, mut silent_polls) = (Places::new(), 0, 0);
        while ended < partition_count {
            match consumer.poll(Duration::from_secs(1)) {
                Some(Ok(message)) => {
                    let value = message.payload().unwrap_or_default().to_vec();
                    let before = places.insert((message.partition(), message.offset()), value);
                    assert_eq!(before, None, "one place was read twice");
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => panic!("reading {topic}: {error}"),
                None => silent_polls += 1,
            }
            assert!(silent_polls < SILENT_POLLS_MAX, "{topic}: {} records, {ended} ends", places.len());
        }
        places
    }

    /// A consumer for assignment by hand: it commits nothing and belongs to no group.
    pub fn consumer(&self) -> BaseConsumer {
        let mut config = self.client();
        config.set("group.id", "unused").set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").set("check.crcs", "true");
        config.create().expect("a consumer")
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended long ago
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("the broker's last words:\n{}", last_words(self.folder.path()));
        }
    }
}

fn command(folder: &Path, port: u16, flags: &[String]) -> Command {
    // RINGLOG_BINARY: to try these tests on another broker that understands the same flags.
    let binary = std::env::var("RINGLOG_BINARY").unwrap_or(env!("CARGO_BIN_EXE_ringlog").to_owned());
    let words = File::options()
        .create(true)
        .append(true)
        .open(folder.join("broker.log"))
        .expect("a file for its log");
    let mut command = Command::new(binary);
    command
        .args(["start", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(data_in(folder))
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(words);
    command
}

fn launch(folder: &Path, port: u16, flags: &[String]) -> Result<Child, String> {
    let mut child = command(folder, port, flags).spawn().expect("the binary can be run");
    let output = child.stdout.take().expect("it was piped");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    if lines.any(|line| line.contains("listens on")) {
        thread::spawn(move || lines.for_each(drop)); // or the pipe fills and the broker waits for us
        return Ok(child);
    }
    let status = child.wait().expect("it is our child");
    Err(format!("{status}: {}", last_words(folder)))
}

fn data_in(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn last_words(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("broker.log")).unwrap_or_default();
    text.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn free_port() -> u16 {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("it is bound").port()
}
