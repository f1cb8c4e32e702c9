//! The commands of the real program against a real broker: what they print, for people and for programs, and how
//! they end.

mod support;

use std::process::{Command, Stdio};

use serde_json::Value;
use support::BrokerProcess;
use support::said::{Said, ringlog_with};

/// A broker and the commands that know where it is.
struct Session {
    broker: BrokerProcess,
}

impl Session {
    fn start() -> Session {
        Session { broker: BrokerProcess::start(&["--cores", "1"]) }
    }

    fn run(&self, line: &str) -> Said {
        self.run_with(line, b"")
    }

    fn run_with(&self, line: &str, input: &[u8]) -> Said {
        ringlog_with(&format!("{line} --bootstrap-server {}", self.broker.bootstrap()), input)
    }
}

#[test]
fn topics_are_made_listed_described_and_deleted() {
    let session = Session::start();
    let created = session.run("topic create orders --partitions 3 --config retention.ms=60000").well();
    assert_eq!(created, "created topic orders: 3 partitions, replication factor 1\n");

    let listed = session.run("topic list --json").json();
    assert_eq!(
        (&listed["topics"][0]["name"], &listed["topics"][0]["partitions"]),
        (&"orders".into(), &3.into())
    );
    assert_eq!(session.run("topic list --quiet").well(), "orders\n");
    let table = session.run("topic list").well();
    let words: Vec<&str> = table.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(words[..3], ["orders", "3", "1"]);

    let described = session.run("topic describe orders --json").json();
    let topic = &described["topics"][0];
    assert_eq!(topic["configs"]["retention.ms"], "60000");
    assert_eq!(topic["partitions"].as_array().expect("a list").len(), 3);
    assert_eq!(topic["partitions"][2]["in_sync_replicas"], serde_json::json!([1]));
    assert_eq!(topic["id"], listed["topics"][0]["id"]);
    assert!(session.run("topic describe").well().contains("  retention.ms = 60000\n"));

    let offsets = session.run("topic offsets orders --json").json();
    assert_eq!(
        (&offsets["partitions"][1]["start_offset"], &offsets["partitions"][1]["end_offset"]),
        (&0.into(), &0.into())
    );

    assert_eq!(session.run("topic delete orders").well(), "deleted topic orders\n");
    assert_eq!(session.run("topic list --json").json(), serde_json::json!({ "topics": [] }));
}

#[test]
fn kafkas_own_spelling_of_the_topic_commands_is_understood() {
    let session = Session::start();
    session.run("topic --create --topic kafkas --partitions 2 --replication-factor 1").well();
    assert_eq!(session.run("topics --list --quiet").well(), "kafkas\n");
    assert!(session.run("topic --describe --topic kafkas").well().starts_with("topic kafkas, id "));
    session.run("topic --delete --topic kafkas").well();
}

#[test]
fn a_refusal_names_the_topic_and_what_to_do_next() {
    let session = Session::start();
    session.run("topic create twice").well();
    let refusal = session.run("topic create twice").refused(1);
    assert!(
        refusal.starts_with("ringlog: topic twice: ") && refusal.contains("--if-not-exists"),
        "{refusal}"
    );
    assert_eq!(session.run("topic create twice --if-not-exists").well(), "topic twice exists already\n");
    for line in ["topic describe nowhere", "topic delete nowhere", "topic offsets nowhere"] {
        let refusal = session.run(line).refused(1);
        assert!(
            refusal.contains("topic nowhere") && refusal.contains("ringlog topic list"),
            "{line}: {refusal}"
        );
    }
    assert_eq!(session.run("topic delete nowhere --if-exists").well(), "there is no topic nowhere\n");
    let refusal = session.run("topic create bad/name").refused(1);
    assert!(refusal.contains("INVALID_TOPIC_EXCEPTION"), "{refusal}");
    let refusal = session.run("topic create many --replication-factor 3").refused(1);
    assert!(refusal.contains("ringlog cluster describe"), "{refusal}");
    let dry = session.run("topic create later --partitions 2 --dry-run").well();
    assert!(dry.starts_with("topic later could be created"), "{dry}");
    assert_eq!(session.run("topic list --quiet").well(), "twice\n");
}

#[test]
fn a_cluster_tells_its_brokers_and_what_they_serve() {
    let session = Session::start();
    let cluster = session.run("cluster describe --json").json();
    assert_eq!((&cluster["controller_id"], &cluster["brokers"][0]["id"]), (&1.into(), &1.into()));
    let id = session.run("cluster id").well();
    assert_eq!(Some(id.trim()), cluster["cluster_id"].as_str());
    let served = session.run("cluster api-versions --json").json();
    let apis = served["brokers"][0]["apis"].as_array().expect("a list").clone();
    assert!(apis.iter().any(|api| api["name"] == "Fetch" && api["key"] == 1), "{apis:?}");
    assert!(session.run("cluster describe").well().contains("controller"));
}

/// The JSON objects of an output, one a line.
fn objects(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}

#[test]
fn lines_become_records_and_come_back_as_lines() {
    let session = Session::start();
    let sent = session.run_with("produce greetings", b"hello\r\nworld").well();
    assert_eq!(sent, "2 records to greetings: partition 0 offsets 0 to 1\n");
    assert_eq!(session.run("consume greetings --from-beginning --exit").well(), "hello\nworld\n");
    assert_eq!(session.run("consume --topic greetings --from-beginning --max-messages 1").well(), "hello\n");
    assert_eq!(session.run("consume greetings --offset -1 -e").well(), "world\n");
    assert_eq!(session.run("consume greetings --offset 1 -e").well(), "world\n");
    assert_eq!(session.run("consume greetings -e").well(), "");
    assert_eq!(session.run("consume greetings --timeout-ms 1").well(), "");
    assert_eq!(session.run("consume greetings --from-time 2000-01-01 -e").well(), "hello\nworld\n");
}

#[test]
fn keys_headers_and_nulls_come_back_in_every_codec() {
    let session = Session::start();
    session.run("topic create keyed --partitions 3").well();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let line = format!(
            "produce keyed -K : -Z NULL -H codec={codec} --parse-headers --compression {codec} --json"
        );
        let sent =
            session.run_with(&line, b"n:1\tblue:sky\nNULL\tblue:NULL\nx:\xc3\xbc,y:\tNULL:grey\n").json();
        assert_eq!((&sent["records"], &sent["topic"]), (&3.into(), &"keyed".into()));
    }
    let records = objects(&session.run("consume keyed --from-beginning -e --json").well());
    assert_eq!(records.len(), 15);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let header = serde_json::json!({ "name": "codec", "value": codec });
        let of_codec: Vec<&Value> = records.iter().filter(|record| record["headers"][0] == header).collect();
        let valued =
            |value: Value| *of_codec.iter().find(|record| record["value"] == value).expect("it is there");
        let (sky, none, grey) = (valued("sky".into()), valued(Value::Null), valued("grey".into()));
        assert_eq!((&sky["key"], &none["key"], &grey["key"]), (&"blue".into(), &"blue".into(), &Value::Null));
        assert_eq!(sky["partition"], none["partition"], "one key, one partition");
        assert_eq!(sky["headers"][1], serde_json::json!({ "name": "n", "value": "1" }));
        assert_eq!((&grey["headers"][1]["value"], &grey["headers"][2]["value"]), (&"ü".into(), &"".into()));
    }
    let lines =
        session.run("consume keyed --from-beginning -e -k --print-headers --print-offset -K |").well();
    assert!(lines.contains("Offset:0|codec:none,n:1|blue|sky\n"), "{lines}");
    let kafkas = session.run("consume --topic keyed --from-beginning -e --property print.key=true").well();
    assert!(kafkas.contains("null\tgrey\n") && kafkas.contains("blue\tnull\n"), "{kafkas}");
}

#[test]
fn many_records_arrive_in_order_whatever_acknowledges_them() {
    let session = Session::start();
    session.run("topic create many").well();
    let input: String = (0..30_000).map(|number| format!("line {number}\n")).collect();
    for acks in ["0", "1", "all"] {
        let line = format!("produce many --acks {acks} --batch-bytes 4096 --compression lz4");
        let sent = session.run_with(&line, input.as_bytes()).well();
        assert!(sent.starts_with("30000 records to many: partition 0 "), "{sent}");
    }
    assert_eq!(session.run("consume many --from-beginning -n 90000").well(), input.repeat(3));
}

#[test]
fn what_cannot_be_produced_or_consumed_is_told_with_its_place() {
    let session = Session::start();
    session.run("topic create picky").well();
    let refusal = session.run_with("produce picky -K :", b"a:1\nno key\n").refused(2);
    assert!(refusal.contains("line 2: \":\", which ends a key, is not in it"), "{refusal}");
    let refusal = session.run_with("produce picky --partition 4", b"x\n").refused(1);
    assert!(refusal.contains("partition 4 of topic picky: the topic has 1 partitions"), "{refusal}");
    let refusal = session.run("consume picky --offset 99").refused(1);
    assert!(refusal.contains("at offset 99") && refusal.contains("ringlog topic offsets"), "{refusal}");
    let refusal = session.run("consume missing").refused(1);
    assert!(refusal.contains("topic missing") && refusal.contains("ringlog topic create"), "{refusal}");
    let refusal = session.run("consume picky --property print.kye=true").refused(2);
    assert!(refusal.contains("there is no property print.kye"), "{refusal}");
    let refusal = session.run("consume picky --offset 1 --from-beginning").refused(2);
    assert!(refusal.contains("cannot be used with"), "{refusal}");
    session.run("topic create narrow --config max.message.bytes=1000").well();
    let refusal = session.run_with("produce narrow", &[b'x'; 2000]).refused(1);
    assert!(refusal.contains("MESSAGE_TOO_LARGE") && refusal.contains("--batch-bytes"), "{refusal}");
}

/// A stopped broker whose topic `dumped` holds three records.
fn stopped_with_three_records() -> Session {
    let mut session = Session::start();
    session.run_with("produce dumped -K : -H trace=7 --compression zstd", b"a:one\nb:two\n").well();
    session.run_with("produce dumped --acks 1", b"three\n").well();
    assert_eq!(session.broker.terminate().code(), Some(0));
    session
}

#[test]
fn every_file_of_a_stopped_broker_is_shown_and_found_whole() {
    let session = stopped_with_three_records();
    let data = session.broker.data();
    let items = objects(&ringlog_with(&format!("dump-log --records --json {}", data.display()), b"").well());
    let of_type =
        |name: &str| items.iter().filter(|item| item["type"] == name).cloned().collect::<Vec<Value>>();

    let batches = of_type("batch");
    assert_eq!((&batches[0]["codec"], &batches[0]["records"]), (&"zstd".into(), &2.into()));
    assert_eq!((&batches[1]["base_offset"], &batches[1]["position"]), (&2.into(), &batches[0]["size_bytes"]));
    assert!(batches.iter().all(|batch| batch["is_valid"] == true), "{batches:?}");
    let records = of_type("record");
    let pairs: Vec<(&Value, &Value)> =
        records.iter().map(|record| (&record["key"], &record["value"])).collect();
    let (a, b, none) = (Value::from("a"), Value::from("b"), Value::Null);
    assert_eq!(pairs, [(&a, &"one".into()), (&b, &"two".into()), (&none, &"three".into())]);
    assert_eq!(
        (&records[0]["topic"], &records[0]["headers"][0]["name"]),
        (&"dumped".into(), &"trace".into())
    );

    let entries = of_type("commit")
        .iter()
        .map(|commit| commit["entries"].as_array().expect("a list").len())
        .sum::<usize>();
    assert!(entries >= 2, "both batches went through the journal");
    assert!(of_type("checkpoint").iter().any(|checkpoint| checkpoint["is_clean"] == true));
    assert!(
        of_type("partition")
            .iter()
            .any(|partition| partition["topic"] == "dumped" && partition["end_offset"] == 3)
    );
    let frames = of_type("frame");
    let names_the_topic = |frame: &Value| frame["records"].to_string().contains("dumped");
    assert!(frames.iter().any(names_the_topic), "{frames:?}");
    assert_eq!(of_type("time-entry").len(), 1);

    let segment = data.join("dumped-0/00000000000000000000.log");
    let text = ringlog_with(&format!("dump-log --files {} --deep-iteration", segment.display()), b"").well();
    assert!(
        text.contains("at 0: offsets 0 to 1, 2 records") && text.contains("NO_HEADERS\tnull\tthree\n"),
        "{text}"
    );
}

#[test]
fn a_directory_of_another_broker_is_refused_and_stays_as_it_was() {
    let session = stopped_with_three_records();
    let data = session.broker.data();
    let started =
        ringlog_with(&format!("start --data-dir {} --listen 127.0.0.1:0 --node-id 2", data.display()), b"");
    let refusal = started.refused(1);
    assert!(refusal.contains("broker 1") && refusal.contains("node.id"), "{refusal}");
    let mut session = session;
    session.broker.restart(&["--cores", "1"]);
    assert_eq!(session.run("consume dumped --from-beginning --exit").well(), "one\ntwo\nthree\n");
}

#[test]
fn a_stopped_brokers_directory_is_verified_and_a_running_ones_is_refused() {
    let mut session = Session::start();
    session.run_with("produce dumped", b"one\ntwo\n").well();
    let data = session.broker.data().to_owned();
    let verify = || ringlog_with(&format!("verify --json {}", data.display()), b"");
    let refused = verify();
    assert_eq!(refused.code, 1);
    assert!(refused.problem.contains("in use"), "{}", refused.problem);
    assert_eq!(session.broker.terminate().code(), Some(0));

    let items = objects(&verify().well());
    assert!(items.iter().all(|item| item["type"] == "summary"), "{items:?}");
    assert_eq!((&items[0]["logs"], &items[0]["damage"]), (&1.into(), &0.into()));

    // The leader epoch of the first batch: no checksum of Kafka's covers it.
    let segment = data.join("dumped-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&segment).expect("the segment is there");
    bytes[15] ^= 1;
    std::fs::write(&segment, &bytes).expect("the segment is ours");
    let damaged = verify();
    assert_eq!(damaged.code, 5, "{}", damaged.problem);
    let items = objects(&damaged.output);
    let damage = items.iter().find(|item| item["type"] == "damage").expect("it is told");
    assert_eq!((&damage["first_byte"], &damage["first_offset"]), (&0.into(), &0.into()));
    assert!(
        damage["file"].as_str().expect("a path").ends_with("dumped-0/00000000000000000000.log"),
        "{damage}"
    );
    let text = ringlog_with(&format!("verify {}", data.display()), b"");
    assert!(text.output.contains("DAMAGED") && text.output.contains("what to do:"), "{}", text.output);
}

#[test]
fn damage_is_told_with_its_place_and_the_rest_is_still_shown() {
    let session = stopped_with_three_records();
    let segment = session.broker.data().join("dumped-0/00000000000000000000.log");
    let whole = std::fs::read(&segment).expect("the segment is there");
    let dump = || ringlog_with(&format!("dump-log --json {}", segment.display()), b"");
    let damage_of = |said: &Said| {
        let items = objects(&said.output);
        let batches = items.iter().filter(|item| item["type"] == "batch").count();
        let damage = items.into_iter().find(|item| item["type"] == "damage").expect("damage is told");
        (said.code, batches, damage)
    };

    let mut bytes = whole.clone();
    bytes[70] ^= 1;
    std::fs::write(&segment, &bytes).expect("the segment is ours");
    let (code, batches, damage) = damage_of(&dump());
    assert_eq!((code, batches, &damage["position"]), (5, 2, &0.into()));
    assert!(damage["reason"].as_str().expect("words").contains("checksum"), "{damage}");

    let cut = whole.len() - 5;
    std::fs::write(&segment, &whole[..cut]).expect("the segment is ours");
    let (code, batches, damage) = damage_of(&dump());
    assert_eq!((code, batches), (5, 1));
    assert_eq!(damage["position"], objects(&dump().output)[1]["size_bytes"]);

    let said = dump();
    assert!(said.problem.contains("damage in 1 place"), "{}", said.problem);
    let missing = ringlog_with("dump-log /nowhere/00000000000000000000.log", b"").refused(1);
    assert!(missing.contains("/nowhere/00000000000000000000.log cannot be read: No such file"), "{missing}");
}

#[test]
fn configurations_are_told_and_changed() {
    let session = Session::start();
    session.run("topic create tuned --config retention.ms=60000").well();
    let value = |key: &str| {
        let told = session.run(&format!("config describe --topic tuned {key} --json")).json();
        (told["configs"][0]["value"].clone(), told["configs"][0]["source"].clone())
    };
    assert_eq!(value("retention.ms"), ("60000".into(), "topic".into()));
    let own = session.run("config describe -t tuned --json").json();
    assert_eq!(own["configs"].as_array().map(Vec::len), Some(1), "what nobody set is left out: {own}");
    assert!(session.run("config describe -t tuned --all").well().contains("cleanup.policy"));

    let dry = session.run("config alter -t tuned --set retention.ms=1 --dry-run").well();
    assert_eq!(dry, "topic tuned could have 1 change\n");
    assert_eq!(value("retention.ms").0, "60000");
    let changed =
        session.run("config alter -t tuned --set max.message.bytes=2000 --unset retention.ms").well();
    assert_eq!(changed, "changed 2 values of topic tuned\n");
    assert_eq!(value("max.message.bytes"), ("2000".into(), "topic".into()));
    assert_eq!(value("retention.ms").1, "default");

    let kafkas = "config --alter --entity-type topics --entity-name tuned --add-config cleanup.policy=[compact,delete]";
    session.run(kafkas).well();
    assert_eq!(value("cleanup.policy").0, "compact,delete");
    let told = session.run("config --describe --entity-type brokers --entity-name 1 --json").json();
    assert!(told["configs"].to_string().contains("log.dirs"), "{told}");

    let refusal = session.run("config alter -t tuned --set nonsense=1").refused(1);
    assert!(refusal.contains("nonsense") && refusal.contains("ringlog config describe"), "{refusal}");
    let refusal = session.run("config describe").refused(2);
    assert!(refusal.contains("--topic TOPIC, --broker ID or --broker-defaults"), "{refusal}");
    let refusal = session.run("config describe -t nowhere").refused(1);
    assert!(refusal.contains("topic nowhere"), "{refusal}");
}

#[test]
fn a_doctor_needs_no_broker_and_leaves_nothing_behind() {
    // On the file system the tests were built on: others may lack direct I/O.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let line = |more: &str| format!("doctor --data-dir {} --writes 20 {more}", folder.path().display());
    let diagnosis = ringlog_with(line("--json").trim(), b"").json();
    let findings = diagnosis["findings"].as_array().expect("a list").clone();
    let level = |subject: &str| {
        let finding = findings.iter().find(|finding| finding["subject"] == subject);
        finding.unwrap_or_else(|| panic!("{subject} was not looked at"))["level"].clone()
    };
    assert_eq!((level("kernel"), level("direct I/O")), ("good".into(), "good".into()));
    assert_ne!(level("synced write"), "unknown");
    for subject in [
        "io_uring",
        "locked memory",
        "open files",
        "file system",
        "huge pages",
        "clock source",
        "CPU governor",
    ] {
        assert!(
            ["good", "advice", "unknown"].contains(&level(subject).as_str().expect("a word")),
            "{subject}"
        );
    }
    let text = ringlog_with(line("").trim(), b"").well();
    assert!(text.contains("(20 writes of 4 KiB)"), "{text}");
    assert_eq!(folder.path().read_dir().expect("the folder is there").count(), 0);

    let two = format!("doctor --data-dir {0} --data-dir {0}/second --writes 0", folder.path().display());
    let told = ringlog_with(&two, b"").output;
    assert_eq!(told.matches("direct I/O").count(), 2, "{told}");
    assert_eq!(told.matches("io_uring").count(), 1, "the host is the same: {told}");
    let unfit = ringlog_with("doctor --data-dir /proc --writes 0", b"");
    assert_eq!(unfit.code, 5, "{}", unfit.problem);
    assert!(
        unfit.output.contains("PROBLEM") && unfit.output.contains("/proc cannot be written"),
        "{}",
        unfit.output
    );
    assert!(unfit.problem.contains("1 problem keeps a broker from running here"), "{}", unfit.problem);
}

#[test]
fn a_group_goes_on_where_it_stopped_and_where_it_is_told_to() {
    let session = Session::start();
    session.run("topic create read --partitions 2").well();
    let lines = |range: std::ops::Range<u32>| range.map(|n| format!("{n}\n")).collect::<String>();
    session.run_with("produce read --partition 0", lines(0..100).as_bytes()).well();
    assert_eq!(session.run("consume read --from-beginning --group g -n 40").well(), lines(0..40));
    assert_eq!(session.run("consume read --group g --exit").well(), lines(40..100));
    assert_eq!(session.run("group list --quiet").well(), "g\n");

    let offset = || {
        let told = session.run("group describe g --json").json();
        let offsets = told["groups"][0]["offsets"].as_array().expect("a list").clone();
        let of_first = offsets.into_iter().find(|offset| offset["partition"] == 0).expect("it was committed");
        (of_first["committed_offset"].clone(), of_first["lag"].clone())
    };
    assert_eq!(offset(), (100.into(), 0.into()));
    let shown = session.run("group reset-offsets g --topic read:0 --to-offset 90").well();
    assert!(shown.contains("nothing was changed: --execute does it"), "{shown}");
    assert_eq!(offset(), (100.into(), 0.into()));
    session.run("group --reset-offsets --group g --topic read:0 --shift-by -30 --execute").well();
    assert_eq!(offset(), (70.into(), 30.into()));
    session.run("group reset-offsets g --topic read:0 --to-offset 500 --execute").well();
    assert_eq!(offset(), (100.into(), 0.into()), "a partition ends where it ends");

    let exported = session.run("group reset-offsets g --topic read --to-earliest --export").well();
    assert_eq!(exported, "read,0,0\nread,1,0\n");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("offsets.csv");
    std::fs::write(&file, "read,0,95\nread,1,0\n").expect("the folder is ours");
    session.run(&format!("group reset-offsets g --from-file {} --execute", file.display())).well();
    assert_eq!(session.run("consume read --group g --exit").well(), lines(95..100));

    session.run("group delete-offsets g --topic read:0").well();
    let told = session.run("group describe g --json").json();
    assert_eq!(told["groups"][0]["offsets"].as_array().map(Vec::len), Some(1));
    assert_eq!(session.run("group delete g").well(), "deleted group g\n");
    let refusal = session.run("group describe g").refused(1);
    assert!(
        refusal.contains("group g: No such group.") && refusal.contains("ringlog group list"),
        "{refusal}"
    );
}

#[test]
fn wrong_lines_about_groups_are_refused_before_a_broker_is_asked() {
    for (wrong, words) in [
        ("group reset-offsets g --topic t", "--to-earliest"),
        ("group reset-offsets g --to-latest", "--topic"),
        ("group reset-offsets g --topic t --to-latest --to-earliest", "cannot be used with"),
        ("group reset-offsets g --topic t --by-duration soon", "PT1H30M"),
        ("group reset-offsets g --topic t: --to-latest", "write TOPIC or TOPIC:0,3"),
        ("group delete-offsets g", "--topic"),
    ] {
        let complaint = ringlog_with(&format!("{wrong} --bootstrap-server 127.0.0.1:1"), b"").refused(2);
        assert!(complaint.contains(words), "{wrong}: {complaint}");
    }
}

#[test]
fn exit_codes_tell_a_wrong_line_from_a_missing_broker() {
    for wrong in [
        "topic",
        "topic create",
        "topic create x --partitions 0",
        "topic list --bootstrap-server :1",
        "nonsense",
    ] {
        let complaint = ringlog_with(wrong, b"").refused(2);
        assert!(complaint.contains("--help") || complaint.contains("Usage"), "{wrong}: {complaint}");
    }
    // Port 1 of this host is nobody's.
    let unreachable = ringlog_with("topic list --bootstrap-server 127.0.0.1:1,localhost:1", b"").refused(3);
    assert!(unreachable.contains("127.0.0.1:1: ") && unreachable.contains("localhost:1: "), "{unreachable}");
    assert!(unreachable.contains("ringlog start"), "{unreachable}");
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let session = Session::start();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["cluster", "apis", "--bootstrap-server", &session.broker.bootstrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    drop(child.stdout.take());
    let done = child.wait_with_output().expect("it is our child");
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn shells_get_their_completions_without_a_broker() {
    let script = ringlog_with("completions bash", b"").well();
    assert!(script.contains("complete -F _ringlog"), "{}", &script[..200]);
}
