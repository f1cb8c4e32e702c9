//! Metrics of the real process, asked over a plain socket; the documents and the dashboard name what is there.

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;
use support::BrokerProcess;

const WAIT: Duration = Duration::from_secs(60);

/// Keys and words of the dashboard's queries that are no metrics.
const QUERY_SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

fn free_address() -> String {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("it is bound").to_string()
}

/// Sends bytes and reads until the broker ends the connection.
fn ask(address: &str, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).expect("the broker listens");
    connection.set_read_timeout(Some(WAIT)).expect("a time");
    connection.write_all(bytes).expect("the broker takes a question");
    let mut said = String::new();
    connection.read_to_string(&mut said).expect("the broker answers in text");
    said
}

/// The status line and the body of a page.
fn page(address: &str, path: &str) -> (String, String) {
    let said = ask(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes());
    let (head, body) = said.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    (head.lines().next().expect("a status line").to_owned(), body.to_owned())
}

/// Names of families in an answer, each with at least one sample behind its head.
fn families(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("# TYPE ") else { continue };
        let name = rest.split(' ').next().expect("a name");
        let sample = lines.peek().expect("a sample follows its head");
        assert!(sample.starts_with(name), "{sample} does not belong to {name}");
        assert!(names.insert(name.to_owned()), "{name} comes twice");
    }
    names
}

/// Every word in a text that looks like a metric of ours, without what a histogram's samples add to its name.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|symbol: char| !symbol.is_ascii_alphanumeric() && symbol != '_');
    let ours = words.filter(|word| word.starts_with("ringlog_") || word.starts_with("process_"));
    let family = |word: &str| {
        let histogram = QUERY_SUFFIXES.iter().find_map(|suffix| word.strip_suffix(suffix));
        histogram.filter(|name| name.ends_with("_seconds")).unwrap_or(word).to_owned()
    };
    ours.map(family).collect()
}

fn document(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A broker that has taken records, given them out, and refused something.
async fn busy_broker(address: &str) -> BrokerProcess {
    let broker = BrokerProcess::start(&["--metrics-listen", address]);
    broker.create_topic("watched", 2).await;
    let producer: FutureProducer = broker.client().create().expect("a producer");
    for number in 0..10 {
        let (key, value) = (number.to_string(), format!("value {number}"));
        let record = FutureRecord::to("watched").key(&key).payload(&value);
        producer.send(record, Timeout::After(WAIT)).await.expect("the record is taken");
    }
    assert_eq!(broker.read_all("watched", 2).len(), 10);
    let mut read = TopicPartitionList::new();
    read.add_partition_offset("watched", 0, Offset::Offset(1)).expect("one is an offset");
    broker.consumer().commit(&read, CommitMode::Sync).expect("the offset is taken");
    let unknown = broker.consumer().fetch_watermarks("watched", 7, Duration::from_secs(5));
    assert!(unknown.is_err(), "there is no partition 7");
    broker
}

fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_dashboard_and_a_running_broker_name_the_same_metrics() {
    let address = free_address();
    let _broker = busy_broker(&address).await;
    let (status, text) = page(&address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let answered = families(&text);

    let page = document("docs/metrics.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with("ringlog_") || name.starts_with("process_"))
        // A row of the table of alerts is a condition.
        .filter(|name| !name.contains(' '))
        .map(str::to_owned)
        .collect();
    // Errors are counted when they happen; which ones librdkafka provokes is its own business.
    let optional = "ringlog_request_errors_total".to_owned();
    let with_optional: BTreeSet<String> = answered.iter().cloned().chain([optional]).collect();
    assert_eq!(documented, with_optional, "left: documented; right: answered");

    let used = names_in(&document("docs/grafana/ringlog.json"));
    assert!(used.len() > 20, "the dashboard shows something: {used:?}");
    let missing: Vec<_> = used.difference(&with_optional).collect();
    assert!(missing.is_empty(), "the dashboard asks for what nobody answers: {missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_real_process_did_is_in_its_metrics() {
    let address = free_address();
    let mut broker = busy_broker(&address).await;
    let (_, text) = page(&address, "/metrics");
    let sum = |name: &str| -> f64 {
        let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        lines
            .map(|line| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok()).expect(line))
            .sum()
    };
    assert_eq!(sum("ringlog_produced_records_total"), 10.0);
    assert_eq!(sum("ringlog_fetched_records_total"), 10.0);
    // Ten and the offset committed, which is a record as well.
    assert_eq!(sum("ringlog_partition_log_end_offset"), 11.0);
    let end = value(&text, "ringlog_partition_high_watermark{topic=\"watched\",partition=\"0\"}");
    assert_eq!(sum("ringlog_group_lag"), end - 1.0);
    assert!(sum("ringlog_journal_commits_total") >= 1.0);
    assert!(sum("ringlog_ring_turns_total") > 0.0 && sum("ringlog_ring_completed_total") > 0.0);
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    assert!(value(&text, "process_open_fds") > 3.0 && value(&text, "process_cpu_seconds_total") >= 0.0);
    assert!(sum("ringlog_disk_free_bytes") > 0.0);
    assert_eq!(value(&text, "ringlog_ready"), 1.0);
    assert_eq!(page(&address, "/health"), ("HTTP/1.1 200 OK".to_owned(), "alive\n".to_owned()));
    assert_eq!(page(&address, "/ready"), ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned()));
    assert!(
        ask(&address, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1").starts_with("HTTP/1.1 400 "),
        "TLS is no HTTP"
    );
    assert!(broker.terminate().success(), "it stops in order although it was watched");
    assert!(!broker.words().contains("cannot accept"), "and does not warn of it: {}", broker.words());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_that_want_the_same_address_both_serve_records() {
    let address = free_address();
    let first = BrokerProcess::start(&["--metrics-listen", &address]);
    let second = BrokerProcess::start(&["--metrics-listen", &address]);
    for broker in [&first, &second] {
        broker.create_topic("both", 1).await;
    }
    assert_eq!(page(&address, "/ready").0, "HTTP/1.1 200 OK");
}
