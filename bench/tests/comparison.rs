//! A whole comparison and its report: two brokers as processes, two pairs, a void measurement, one page.
//!
//! This binary is also the broker: `run` starts it as `comparison start --config FILE`. So it has a main of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use clap::Parser;
use ringlog::command_line::{Command as Broker, CommandLine};
use ringlog::start::start;
use ringlog_bench::compare::record::{Comparison, Which};

const ROW: &str = r#"
    title = "More partitions"
    question = "Do they make a producer wait longer?"
    measure = "load --create --rate 200 --connections 2"
    beside = "metadata --topic-partitions 1"
    [ours]
    broker = "ringlog"
    durability = "unsynced"
    options = "--partitions 4"
    name = "four"
    [theirs]
    broker = "ringlog"
    durability = "synced"
    name = "one"
    alone = true
    [[reach]]
    figure = "publish p99"
    at_most = 1000000.0
    [[reach]]
    figure = "resident"
    told_only = true
"#;

/// One connection with one request under way cannot carry ten million a second: a measurement that does not count.
const VOID: &str = r#"
    title = "Too fast"
    question = "What does a rate come to that nobody holds?"
    measure = "load --create --in-flight 1"
    series = { option = "--rate", values = [100, 10000000] }
    [ours]
    broker = "ringlog"
    [theirs]
    broker = "ringlog"
    [[reach]]
    figure = "publish p50"
    told_only = true
"#;

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match given.first().map(String::as_str) {
        Some("start") => return be_the_broker(),
        Some("--version") => println!("ringlog of a test"),
        // What cargo nextest and cargo test -- --list ask.
        Some("--list") => println!("comparison: test"),
        _ => {
            a_comparison_is_made_kept_and_reported();
            println!("test a_comparison_is_made_kept_and_reported ... ok");
        }
    }
    ExitCode::SUCCESS
}

fn be_the_broker() -> ExitCode {
    let line = CommandLine::parse();
    let Some(Broker::Start(arguments)) = line.command else { unreachable!("start was given") };
    start(&arguments)
}

fn bench(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog-bench")).args(arguments).output();
    let output = output.expect("the program runs");
    let words =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, words)
}

fn a_comparison_is_made_kept_and_reported() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(at("scenarios")).expect("a directory");
    fs::write(at("scenarios/1-row.toml"), ROW).expect("a file");
    fs::write(at("scenarios/2-void.toml"), VOID).expect("a file");
    let own = std::env::current_exe().expect("this binary").display().to_string();
    let (results, data, scenarios) = (at("results"), at("data"), at("scenarios"));
    let run =
        ["run", "--profile", "smoke", "--pairs", "2", "--seconds", "1", "--skip-disk", "--ringlog", &own];
    let places = ["--output", &results, "--data-dir", &data, &scenarios];
    let (output, words) = bench(&[&run[..], &places].concat());
    assert_eq!(output.status.code(), Some(1), "one measurement is void: {words}");
    assert!(words.contains("pair 2 of 2, four: publish p99"), "{words}");

    let text = fs::read_to_string(folder.path().join("results/run.json")).expect("run.json");
    let comparison = Comparison::from_json(&text).expect("it reads as it was written");
    assert_eq!(comparison.brokers[0].version, "ringlog of a test");
    let row = &comparison.scenarios[0].measurements;
    let order: Vec<(u32, Which)> = row.iter().map(|one| (one.pair, one.side)).collect();
    assert_eq!(order, [(1, Which::Ours), (1, Which::Theirs), (2, Which::Ours), (2, Which::Theirs)]);
    for one in row {
        assert!(one.void.is_none() && one.usage.seconds > 0.5 && one.usage.resident_bytes > 0, "{one:?}");
        let relaxed = one.command.contains("--config ringlog.durability=relaxed");
        assert_eq!(relaxed, one.side == Which::Ours, "{}", one.command);
        for file in ["result.json", "publish.hlog", "usage.csv", "broker.properties", "broker.log"] {
            assert!(
                folder.path().join("results").join(&one.folder).join(file).exists(),
                "{file} of {}",
                one.folder
            );
        }
    }
    assert!(folder.path().join("results").join(&row[0].folder).join("beside.txt").exists());
    assert!(!folder.path().join("results").join(&row[1].folder).join("beside.txt").exists());
    let of_series = &comparison.scenarios[1].measurements;
    let void: Vec<bool> = of_series.iter().map(|one| one.void.is_some()).collect();
    assert_eq!(void, [false, false, true, true, false, false, true, true]);
    the_report_says_so(&results);
}

fn the_report_says_so(results: &str) {
    let (output, words) = bench(&["report", results]);
    assert!(output.status.success(), "{words}");
    assert!(words.contains("| More partitions | publish p99 |"), "{words}");
    let text = fs::read_to_string(Path::new(results).join("report.md")).expect("report.md");
    for words in [
        "Too fast, rate 10000000 | publish p50 | void: could not keep the plan",
        "## Where theirs is better",
        "four: `load ",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let page = fs::read_to_string(Path::new(results).join("report.html")).expect("report.html");
    assert!(
        page.matches("<svg").count() >= 3 && !page.contains("<img"),
        "{} plots",
        page.matches("<svg").count()
    );
    let (output, words) = bench(&["report", "/nowhere"]);
    assert!(output.status.code() == Some(2) && words.contains("/nowhere/run.json"), "{words}");
}
