//! The program against a real broker on real rings, in this process: what is sent is read back, what goes wrong is told.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ringlog::command_line::StartArguments;
use ringlog::start::start;
use ringlog_bench::result::{BenchResult, Verdict};

/// While this is set the broker seems to stand still: no answer of it gets through.
static STALLED: AtomicBool = AtomicBool::new(false);

/// A broker for all tests of this file, behind a proxy that can hold its answers back; its threads go with the process, its
/// data when the next one begins.
fn broker() -> &'static str {
    static BROKER: OnceLock<String> = OnceLock::new();
    BROKER.get_or_init(|| {
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-against-a-broker");
        // What an earlier run left; where there was none, nothing is to be removed.
        let _ = fs::remove_dir_all(&data);
        let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a port").port();
        let (behind, address) =
            (format!("127.0.0.1:{port}"), proxy.local_addr().expect("it is bound").to_string());
        let arguments = StartArguments {
            data_dir: vec![data],
            listen: Some(behind.clone()),
            advertise: Some(address.clone()),
            cores: Some(1),
            ..StartArguments::default()
        };
        thread::spawn(move || start(&arguments));
        assert!((0..200).any(|_| is_there(&behind)), "the broker has not come up");
        thread::spawn(move || proxy.incoming().flatten().for_each(|client| pass_on(client, &behind)));
        address
    })
}

/// Copies both directions until one end is gone.
fn pass_on(client: TcpStream, behind: &str) {
    let Ok(broker) = TcpStream::connect(behind) else { return };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (Ok(from_client), Ok(to_broker)) = (client.try_clone(), broker.try_clone()) else { return };
    thread::spawn(move || copy(from_client, to_broker, || {}));
    thread::spawn(move || {
        copy(broker, client, || {
            while STALLED.load(Ordering::Relaxed) {
                pause(2)
            }
        })
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, before_each: impl Fn()) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut buffer) {
        before_each();
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other direction ends with it.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[expect(clippy::disallowed_methods, reason = "no shard runs in this thread")]
fn pause(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

fn is_there(address: &str) -> bool {
    let there = TcpStream::connect(address).is_ok();
    if !there {
        pause(50);
    }
    there
}

/// Runs the program.
fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog-bench"));
    command.args(arguments).args(["-b", broker()]).output().expect("the program runs")
}

/// Runs the program, which must find that its run counts, and reads its result.
fn counted(arguments: &[&str], folder: &Path) -> BenchResult {
    let output = bench(&[arguments, &["--output", folder.to_str().expect("a plain path")]].concat());
    let words =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let result = BenchResult::from_json(&fs::read_to_string(folder.join("result.json")).unwrap()).unwrap();
    assert!(result.verified && result.verdict == Verdict::Kept, "{words}");
    result
}

#[test]
fn a_load_of_two_seconds_is_sent_by_plan_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        ["load", "-t", "load", "--create", "-p", "3", "--rate", "400", "-c", "2", "--consumers", "1"];
    let times = ["--warmup-seconds", "1", "--seconds", "2", "--catch-up"];
    let result = counted(&[&options[..], &times].concat(), folder.path());
    let found = result.verification.unwrap();
    assert_eq!((found.sent, found.acknowledged, found.read), (1200, 1200, 1200));
    assert_eq!(result.latencies.publish.as_ref().unwrap().samples, 800, "requests planned in two seconds");
    assert_eq!(result.latencies.end_to_end.unwrap().samples, 800);
    assert!(result.latencies.publish.unwrap().recorder().unwrap().samples() == 800);
    let caught = result.catch_up.unwrap();
    assert!(caught.records > 0 && caught.reached_the_end, "{caught:?}");
    for log in ["publish.hlog", "end_to_end.hlog"] {
        let lines = fs::read_to_string(folder.path().join(log)).unwrap();
        assert!(
            lines.lines().filter(|line| line.starts_with(char::is_numeric)).count() >= 3,
            "{log}: {lines}"
        );
    }
}

#[test]
fn a_stall_of_the_broker_counts_for_every_request_that_was_due_in_it() {
    broker();
    let stall = thread::spawn(|| {
        pause(1500);
        STALLED.store(true, Ordering::Relaxed);
        pause(500);
        STALLED.store(false, Ordering::Relaxed);
    });
    let folder = tempfile::tempdir().unwrap();
    let options =
        ["load", "-t", "stall", "--create", "--rate", "500", "-w", "0", "-s", "4", "--in-flight", "2"];
    let result = counted(&options, folder.path());
    stall.join().unwrap();
    // 250 were due in half a second; those of its first 400 ms waited 100 ms and more. A client that waits for its
    // broker would have seen the two that were in flight.
    let publish = result.latencies.publish.unwrap().recorder().unwrap();
    let slow = publish.histogram().count_between(100_000_000, u64::MAX / 2);
    assert!(slow >= 150, "{slow} of {} requests were slow", publish.samples());
    assert!(result.throughput.backlog_requests_max >= 150, "{:?}", result.throughput);
}

#[test]
fn records_of_somebody_else_in_the_topic_make_a_run_void() {
    let seed = tempfile::tempdir().unwrap();
    counted(&["load", "-t", "shared", "--create", "--rate", "100", "-w", "0", "-s", "1"], seed.path());
    let options = ["load", "-t", "shared", "--rate", "200", "-w", "0", "-s", "3"];
    let other = thread::spawn(move || bench(&options));
    let (folder, output) = (tempfile::tempdir().unwrap(), Vec::from(options));
    let output = bench(&[&output[..], &["--output", folder.path().to_str().unwrap()]].concat());
    other.join().unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{words}");
    let result =
        BenchResult::from_json(&fs::read_to_string(folder.path().join("result.json")).unwrap()).unwrap();
    assert!(!result.verified && result.verdict == Verdict::VerificationFailed, "{words}");
}

#[test]
fn every_form_of_records_is_read_back() {
    for (name, more) in [
        ("zstd", &["--compression", "zstd", "--batch-records", "20"][..]),
        ("gzip-keys", &["--compression", "gzip", "--batch-records", "3", "--keys", "7"]),
        ("idempotent", &["--idempotence", "--batch-records", "10", "--keys", "100"]),
        ("idempotent-lz4", &["--idempotence", "--batch-records", "10", "--compression", "lz4"]),
        ("acks-0", &["--acks", "0"]),
        ("acks-1", &["--acks", "1", "--record-bytes", "32"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let options = [
            "load",
            "-t",
            name,
            "--create",
            "-p",
            "2",
            "--rate",
            "300",
            "-w",
            "0",
            "-s",
            "1",
            "--consumers",
            "1",
        ];
        let result = counted(&[&options[..], more].concat(), folder.path());
        let found = result.verification.unwrap();
        assert_eq!((found.read, found.lost), (found.sent, 0), "{name}: {found:?}");
        assert!(result.latencies.end_to_end.is_some(), "{name}");
    }
}

#[test]
fn capacity_fills_a_topic_and_consume_empties_it() {
    let (folder, again) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options =
        ["capacity", "-t", "capacity", "--create", "-p", "2", "--batch-records", "10", "-w", "0", "-s", "1"];
    let sent = counted(&options, folder.path()).verification.unwrap().sent;
    let read = counted(&["consume", "-t", "capacity", "-c", "2"], again.path());
    assert_eq!(read.verification.unwrap().read, sent);
    assert_eq!(read.throughput.records, sent);
}

#[test]
fn a_rate_nobody_holds_ends_with_a_verdict_and_not_with_numbers_that_count() {
    let options =
        ["load", "-t", "fast", "--create", "--rate", "100000000", "-w", "0", "-s", "1", "--in-flight", "1"];
    let output = bench(&options);
    let words = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("DOES NOT COUNT: could not keep the plan"), "{words}");
}

#[test]
fn requests_other_than_records_are_measured_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let commits = counted(&["commits", "-g", "2", "-p", "3", "-s", "1"], folder.path());
    assert!(commits.throughput.requests > 0 && commits.latencies.request.is_some());
    let metadata = ["metadata", "--topic-partitions", "25", "--partitions-per-topic", "10", "-s", "1"];
    assert!(counted(&metadata, folder.path()).throughput.requests > 0);
    let groups = ["groups", "--members", "4", "-p", "10", "-s", "1", "--heartbeat-ms", "100"];
    let formed = counted(&groups, folder.path()).groups.unwrap();
    assert!(formed.members == 4 && formed.heartbeats >= 8, "{formed:?}");
}

#[test]
fn failures_name_who_is_to_blame() {
    for (arguments, blamed) in [
        (&["consume", "-t", "nowhere"][..], "the broker: topic nowhere"),
        (
            &["load", "--create", "--batch-records", "100000", "--record-bytes", "1000"],
            "the command line: a batch of",
        ),
        (&["load", "--core", "99999"], "the command line: --core 99999"),
        (&["load", "--broker-pid", "4000000"], "the command line: --broker-pid 4000000"),
    ] {
        let output = bench(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && words.contains(blamed), "{arguments:?}: {words}");
    }
}
