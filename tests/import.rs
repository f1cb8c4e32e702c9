//! `ringlog import` against directories as Kafka leaves them, made here byte by byte: what is taken over and served, what is cut,
//! what is refused. A real Kafka's directory is imported by tests/clients/with_import.py.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringlog_core::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, SequenceNumber, TopicId};
use ringlog_core::record_batch::BatchBuilder;
use ringlog_runtime::host::{RecordLocking, lock_record};
use support::said::{Said, ringlog};
use support::{BrokerProcess, Places};
use tempfile::TempDir;

const METADATA_LOG: &str = "__cluster_metadata-0/00000000000000000000.log";
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const TOPIC: &str = "orders";
const NODE: i32 = 7;
const EPOCH: i32 = 4;
/// Where the second segment of a partition begins.
const SECOND: i64 = 20;

fn topic_id() -> TopicId {
    TopicId::from_random(1, 2)
}

fn directory_id(number: u64) -> TopicId {
    TopicId::from_random(9, number)
}

/// A Kafka's log directory and a place for ours.
struct Kafka {
    folder: TempDir,
}

impl Kafka {
    /// A broker that stopped in order, with one topic of so many partitions; none of them has a directory yet.
    fn stopped(partition_count: i32) -> Kafka {
        let kafka = Kafka { folder: tempfile::tempdir().unwrap() };
        let path = kafka.path();
        fs::create_dir_all(path.join("__cluster_metadata-0")).unwrap();
        kafka.write("meta.properties", properties(1).as_bytes());
        kafka.write(".lock", b"");
        kafka.write(".kafka_cleanshutdown", b"{}");
        kafka.write_metadata(&metadata(partition_count));
        kafka
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("kafka")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn write_metadata(&self, frames: &[Vec<u8>]) {
        self.write(METADATA_LOG, &metadata_batch(0, frames));
    }

    /// A partition with segments of these names.
    fn with_partition(self, index: i32, segments: &[(i64, Vec<Vec<u8>>)]) -> Kafka {
        let metadata = format!("version: 0\ntopic_id: {}\n", topic_id());
        self.write(&format!("{TOPIC}-{index}/partition.metadata"), metadata.as_bytes());
        for (base_offset, batches) in segments {
            self.write(&segment(index, *base_offset), &batches.concat());
        }
        self
    }

    /// Kafka was killed, and had synced everything of partition 0 below an offset.
    fn killed(self, recovery_point: i64) -> Kafka {
        fs::remove_file(self.path().join(".kafka_cleanshutdown")).unwrap();
        self.synced(recovery_point)
    }

    /// Kafka had synced everything of partition 0 below an offset; when it stops in order that is all of it.
    fn synced(self, recovery_point: i64) -> Kafka {
        let text = format!("0\n1\n{TOPIC} 0 {recovery_point}\n");
        self.write("recovery-point-offset-checkpoint", text.as_bytes());
        self
    }

    fn import(&self, more: &[&str]) -> Said {
        let mut words = vec!["import".to_owned(), "--from".to_owned(), self.path().display().to_string()];
        words.extend(["--data-dir".to_owned(), self.data().display().to_string()]);
        words.extend(more.iter().map(|word| (*word).to_owned()));
        ringlog(&words, b"")
    }

    fn verify(&self) -> Said {
        ringlog(&["verify".to_owned(), self.data().display().to_string()], b"")
    }

    /// What a broker on the new directory serves.
    fn served(self, partition_count: i32) -> Places {
        self.started().unwrap().read_all(TOPIC, partition_count)
    }

    fn started(self) -> Result<BrokerProcess, String> {
        BrokerProcess::start_on(self.folder, &["--node-id", &NODE.to_string(), "--cores", "1"])
    }
}

fn properties(directory: u64) -> String {
    let directory = directory_id(directory);
    format!("version=1\ncluster.id={CLUSTER}\nnode.id={NODE}\ndirectory.id={directory}\n")
}

fn segment(index: i32, base_offset: i64) -> String {
    format!("{TOPIC}-{index}/{base_offset:020}.log")
}

/// The topic and its partitions, in directory 1.
fn metadata(partition_count: i32) -> Vec<Vec<u8>> {
    let mut frames = vec![topic(TOPIC, topic_id())];
    frames.extend((0..partition_count).map(|index| partition(index, &[NODE], &[NODE], directory_id(1))));
    frames
}

fn topic(name: &str, id: TopicId) -> Vec<u8> {
    [&[1, 2, 0, u8::try_from(name.len() + 1).unwrap()], name.as_bytes(), &id.0, &[0]].concat()
}

fn partition(index: i32, replicas: &[i32], in_sync: &[i32], directory: TopicId) -> Vec<u8> {
    partition_of(topic_id(), index, replicas, in_sync, directory)
}

fn partition_of(
    topic: TopicId,
    index: i32,
    replicas: &[i32],
    in_sync: &[i32],
    directory: TopicId,
) -> Vec<u8> {
    let list = |numbers: &[i32]| -> Vec<u8> {
        let count = u8::try_from(numbers.len() + 1).unwrap();
        [count].into_iter().chain(numbers.iter().flat_map(|number| number.to_be_bytes())).collect()
    };
    let mut frame = vec![1, 3, 1];
    frame.extend_from_slice(&index.to_be_bytes());
    frame.extend_from_slice(&topic.0);
    frame.extend([list(replicas), list(in_sync), list(&[]), list(&[])].concat());
    for number in [NODE, EPOCH, 0] {
        frame.extend_from_slice(&number.to_be_bytes());
    }
    frame.push(u8::try_from(replicas.len() + 1).unwrap());
    replicas.iter().for_each(|_| frame.extend_from_slice(&directory.0));
    frame.push(0);
    frame
}

fn metadata_batch(offset: i64, frames: &[Vec<u8>]) -> Vec<u8> {
    let batch = BatchBuilder::new().at(Offset(offset)).leader_epoch(LeaderEpoch(1));
    frames.iter().fold(batch, |batch, frame| batch.record(None, &frame[..])).build()
}

fn value_of(offset: i64) -> Vec<u8> {
    format!("value {offset} {}", "x".repeat(700)).into_bytes()
}

fn batch(offset: i64) -> Vec<u8> {
    let value = value_of(offset);
    BatchBuilder::new().at(Offset(offset)).leader_epoch(LeaderEpoch(EPOCH)).record(None, &value[..]).build()
}

/// Two segments of 20 and 10 batches.
fn two_segments() -> [(i64, Vec<Vec<u8>>); 2] {
    [(0, (0..SECOND).map(batch).collect()), (SECOND, (SECOND..SECOND + 10).map(batch).collect())]
}

fn places(offsets: impl IntoIterator<Item = i64>) -> Places {
    offsets.into_iter().map(|offset| ((0, offset), value_of(offset))).collect::<BTreeMap<_, _>>()
}

fn files_below(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push((entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    files.sort();
    files
}

#[test]
fn segments_are_taken_over_byte_for_byte_and_served_and_nothing_of_kafkas_is_changed() {
    let kafka = Kafka::stopped(2).with_partition(0, &two_segments()).with_partition(1, &[(0, vec![])]);
    let before = files_below(&kafka.path());
    let said = kafka.import(&[]).well();
    assert!(said.contains("imported 1 topics, 2 partitions, 2 segments"), "{said}");
    assert_eq!(files_below(&kafka.path()), before);
    for base_offset in [0, SECOND] {
        let name = segment(0, base_offset);
        assert_eq!(fs::read(kafka.data().join(&name)).unwrap(), fs::read(kafka.path().join(&name)).unwrap());
    }
    let verified = kafka.verify().well();
    assert!(verified.starts_with("whole: 2 logs, 2 segments (2 with checksums"), "{verified}");
    assert_eq!(kafka.served(2), places(0..30));
}

#[test]
fn a_log_may_begin_late_have_gaps_and_epochs_of_its_own() {
    let later = [(0, vec![batch(0), batch(1)]), (5, vec![batch(5), batch(9)]), (12, vec![batch(15)])];
    let kafka = Kafka::stopped(1).with_partition(0, &later);
    kafka.write("log-start-offset-checkpoint", format!("0\n1\n{TOPIC} 0 6\n").as_bytes());
    kafka.write(&format!("{TOPIC}-0/leader-epoch-checkpoint"), b"0\n2\n3 0\n4 2\n");
    kafka.import(&[]).well();
    kafka.verify().well();
    let data = kafka.data();
    assert!(!data.join(segment(0, 0)).exists(), "it lies below the log's start as a whole");
    let epochs = fs::read_to_string(data.join(format!("{TOPIC}-0/leader-epoch-checkpoint"))).unwrap();
    assert_eq!(epochs, "0\n1\n4 6\n");
    let broker = kafka.started().unwrap();
    let mut read = Command::new(env!("CARGO_BIN_EXE_ringlog"));
    read.args(["consume", TOPIC, "--from-beginning", "--exit", "--print-offset", "-b", &broker.bootstrap()]);
    let output = String::from_utf8(read.output().unwrap().stdout).unwrap();
    let offsets: Vec<&str> = output.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(offsets.len(), 2, "{output}");
    assert!(offsets[0].contains('9') && offsets[1].contains("15"), "{output}");
}

#[test]
fn what_was_rolled_back_is_left_out_and_an_open_transaction_is_refused() {
    let part = |offset: i64, sequence: i32| {
        let value = value_of(offset);
        let batch = BatchBuilder::new().at(Offset(offset)).leader_epoch(LeaderEpoch(EPOCH)).transactional();
        batch
            .producer(ProducerId(3), ProducerEpoch(0), SequenceNumber(sequence))
            .record(None, &value[..])
            .build()
    };
    let marker = |offset: i64, kind: u8| {
        let batch = BatchBuilder::new().at(Offset(offset)).leader_epoch(LeaderEpoch(EPOCH)).transactional();
        batch
            .control()
            .producer(ProducerId(3), ProducerEpoch(0), SequenceNumber(-1))
            .record(&[0, 0, 0, kind][..], &[0; 6][..])
            .build()
    };
    let (rolled_back, committed) = (vec![part(0, 0), batch(1)], vec![marker(2, 0), part(3, 1), marker(4, 1)]);
    let kafka = Kafka::stopped(1).with_partition(0, &[(0, rolled_back), (2, committed)]);
    for more in [&[][..], &["--link"]] {
        let _ = fs::remove_dir_all(kafka.data());
        let said = kafka.import(more).well();
        assert!(said.contains("orders-0: 1 batches of 1 transactions that were rolled back"), "{said}");
        kafka.verify().well();
    }
    assert_eq!(kafka.served(1), places([1, 3]));
    let open = Kafka::stopped(1).with_partition(0, &[(0, vec![batch(0), part(1, 0)])]);
    open.import(&[]).complained(1, "has a transaction of producer 3 open since offset 1");
}

#[test]
fn links_are_second_names_of_all_segments_but_the_last() {
    use std::os::unix::fs::MetadataExt;
    let kafka = Kafka::stopped(1).with_partition(0, &two_segments());
    kafka.import(&["--link"]).well();
    let names = |base_offset| {
        let about = |directory: PathBuf| fs::metadata(directory.join(segment(0, base_offset))).unwrap();
        about(kafka.path()).ino() == about(kafka.data()).ino()
    };
    assert_eq!((names(0), names(SECOND)), (true, false));
    let before = fs::read(kafka.path().join(segment(0, 0))).unwrap();
    kafka.verify().well();
    let path = kafka.path().join(segment(0, 0));
    let mut broker = kafka.started().unwrap();
    assert_eq!(broker.read_all(TOPIC, 1), places(0..30));
    assert!(broker.terminate().success());
    assert_eq!(fs::read(path).unwrap(), before, "a linked segment is never written to");
}

#[test]
fn a_torn_end_is_cut_where_kafka_was_killed_and_told() {
    let mut segments = two_segments();
    let last = segments[1].1.last_mut().unwrap();
    last.truncate(last.len() - 5);
    let kafka = Kafka::stopped(1).with_partition(0, &segments).killed(SECOND);
    let said = kafka.import(&[]).well();
    assert!(said.contains("orders-0: it ends at offset 29"), "{said}");
    kafka.verify().well();
    assert_eq!(kafka.served(1), places(0..29));
}

#[test]
fn segments_behind_a_torn_batch_go_with_it() {
    let mut segments = two_segments();
    segments[0].1[15][70] ^= 1;
    let kafka = Kafka::stopped(1).with_partition(0, &segments).killed(10);
    for more in [&[][..], &["--link"]] {
        let _ = fs::remove_dir_all(kafka.data());
        let said = kafka.import(more).well();
        assert!(said.contains("orders-0: it ends at offset 15"), "{said}");
        kafka.verify().well();
    }
    assert_eq!(kafka.served(1), places(0..15));
}

#[test]
fn damage_is_told_no_broker_starts_on_what_is_left_and_the_import_is_repeated_once_it_is_healed() {
    let mut segments = two_segments();
    segments[0].1[15][70] ^= 1;
    for kafka in [
        Kafka::stopped(1).with_partition(0, &segments),
        Kafka::stopped(1).with_partition(0, &segments).killed(SECOND),
    ] {
        let said = kafka.import(&[]).complained(5, "damage in 1 place");
        assert!(said.contains("DAMAGED") && said.contains("offset 15"), "{said}");
        kafka.verify().complained(1, "was not finished");
        let kafka = match kafka.started() {
            Ok(_) => panic!("a broker started on half of an import"),
            Err(words) => {
                assert!(words.contains("was not finished, so records are missing"), "{words}");
                Kafka::stopped(1).with_partition(0, &two_segments())
            }
        };
        // As an import leaves it that was cut short.
        fs::create_dir_all(kafka.data().join("orders-0")).unwrap();
        fs::write(kafka.data().join("orders-0/00000000000000000000.log"), b"half").unwrap();
        kafka.import(&[]).complained(1, "is not empty");
        fs::write(kafka.data().join("import.unfinished"), b"").unwrap();
        fs::write(kafka.data().join("notes.txt"), b"mine").unwrap();
        kafka.import(&[]).complained(1, "was not made by an import");
        fs::remove_file(kafka.data().join("notes.txt")).unwrap();
        kafka.import(&[]).well();
        assert_eq!(kafka.served(1), places(0..30));
    }
}

#[test]
fn a_log_that_ends_below_what_kafka_had_synced_is_damage() {
    let whole = || Kafka::stopped(1).with_partition(0, &two_segments()).synced(SECOND + 10);
    whole().import(&[]).well();
    let cut = whole();
    let last = cut.path().join(segment(0, SECOND));
    fs::write(&last, two_segments()[1].1[..4].concat()).unwrap();
    let without_last = whole();
    fs::remove_file(without_last.path().join(segment(0, SECOND))).unwrap();
    let without_any = whole();
    for base_offset in [0, SECOND] {
        fs::remove_file(without_any.path().join(segment(0, base_offset))).unwrap();
    }
    let killed = Kafka::stopped(1).with_partition(0, &two_segments()[..1]).killed(SECOND + 5);
    for (kafka, end) in [(cut, 24), (without_last, 20), (without_any, 0), (killed, 20)] {
        for more in [&[][..], &["--link"]] {
            let said = kafka.import(more).complained(5, "damage in 1 place");
            assert!(said.contains(&format!("offset {end}: nothing follows, and Kafka had synced")), "{said}");
        }
    }
    let without_directory = Kafka::stopped(1).synced(1);
    without_directory.import(&[]).complained(1, "partition orders-0 has no directory in");
}

#[test]
fn records_of_a_directory_that_does_not_say_whose_they_are_are_not_left_behind() {
    let kafka = Kafka::stopped(1).with_partition(0, &two_segments());
    let metadata = kafka.path().join("orders-0/partition.metadata");
    for damaged in [None, Some(&b""[..]), Some(b"version: 0\ntopic_id: ?\n")] {
        match damaged {
            None => fs::remove_file(&metadata).unwrap(),
            Some(bytes) => fs::write(&metadata, bytes).unwrap(),
        }
        kafka.import(&[]).complained(1, "partition.metadata is missing, or damaged");
        kafka.import(&["--dry-run"]).complained(1, "partition.metadata is missing, or damaged");
    }
    let all_gone = Kafka::stopped(1).with_partition(0, &[]).synced(30);
    fs::remove_file(all_gone.path().join("orders-0/partition.metadata")).unwrap();
    all_gone.import(&[]).complained(1, "partition.metadata is missing, or damaged");
    // Kafka was killed while it made the directory.
    let begun = Kafka::stopped(1).with_partition(0, &[(0, vec![])]).killed(0);
    fs::remove_file(begun.path().join("orders-0/partition.metadata")).unwrap();
    let said = begun.import(&[]).well();
    assert!(said.contains("orders-0: Kafka had not made its directory yet"), "{said}");
    // An earlier topic of this name is none of the new one's business.
    let earlier = Kafka::stopped(1).with_partition(0, &two_segments()).synced(30);
    let text = format!("version: 0\ntopic_id: {}\n", TopicId::from_random(3, 4));
    earlier.write("orders-0/partition.metadata", text.as_bytes());
    let said = earlier.import(&[]).well();
    assert!(said.contains("orders-0: passed over: it belongs to no topic of the cluster"), "{said}");
}

#[test]
fn records_deleted_at_the_end_are_not_missed() {
    let emptied = Kafka::stopped(1).with_partition(0, &[(30, vec![])]).synced(30);
    emptied.import(&[]).well();
    let not_yet = Kafka::stopped(1).with_partition(0, &two_segments()[..1]).synced(30);
    not_yet.write("log-start-offset-checkpoint", format!("0\n1\n{TOPIC} 0 30\n").as_bytes());
    not_yet.import(&[]).well();
}

#[test]
fn a_missing_segment_between_others_is_told_unless_the_topic_is_compacted() {
    let segments = [(0, vec![batch(0), batch(1)]), (5, vec![batch(5)]), (9, vec![batch(9)])];
    let kafka = Kafka::stopped(1).with_partition(0, &segments).synced(10);
    let said = kafka.import(&[]).well();
    assert!(said.contains("between its segments 2 times nothing is, first from offset 2 to 5"), "{said}");
    let policy = [&[1, 4, 0, 2, 7][..], TOPIC.as_bytes(), &[15], b"cleanup.policy", &[8], b"compact", &[0]];
    kafka.write_metadata(&[metadata(1), vec![policy.concat()]].concat());
    fs::remove_dir_all(kafka.data()).unwrap();
    let said = kafka.import(&[]).well();
    assert!(!said.contains("between its segments"), "{said}");
}

#[test]
fn a_torn_end_of_the_metadata_is_told_and_damage_before_its_end_is_refused() {
    let kafka = Kafka::stopped(2).with_partition(0, &two_segments()).killed(0);
    let metadata = metadata(2);
    let mut batches = [metadata_batch(0, &metadata[..2]), metadata_batch(2, &metadata[2..])];
    batches[1][70] ^= 1;
    kafka.write(METADATA_LOG, &batches.concat());
    let said = kafka.import(&["--dry-run"]).well();
    assert!(said.contains("the metadata log is torn behind offset 2"), "{said}");
    assert!(said.contains("would import 1 topics, 1 partitions"), "{said}");
    batches[1][70] ^= 1;
    batches[0][70] ^= 1;
    kafka.write(METADATA_LOG, &batches.concat());
    kafka.import(&[]).complained(1, "the batch at byte 0 is damaged, and whole ones follow it");
}

#[test]
fn a_running_kafka_is_refused() {
    let kafka = Kafka::stopped(1).with_partition(0, &two_segments());
    let lock = lock_record(&kafka.path().join(".lock")).unwrap();
    assert!(matches!(lock, RecordLocking::Held(_)));
    kafka.import(&[]).complained(1, "a Kafka broker runs on");
    assert!(!kafka.data().exists());
    drop(lock);
    kafka.import(&["--dry-run"]).well();
    assert!(!kafka.data().exists(), "a dry run writes nothing");
}

#[test]
fn directories_that_are_not_a_stopped_kafkas_are_refused() {
    let kafka = Kafka::stopped(1).with_partition(0, &two_segments());
    let from = |directory: &Path, more: &[&str]| {
        let mut words = vec!["import".to_owned(), "--from".to_owned(), directory.display().to_string()];
        words.extend(["--data-dir".to_owned(), kafka.folder.path().join("never").display().to_string()]);
        words.extend(more.iter().map(|word| (*word).to_owned()));
        ringlog(&words, b"")
    };
    kafka.import(&[]).well();
    from(&kafka.data(), &[]).complained(1, "is a data directory of Ringlog");
    from(kafka.folder.path(), &[]).complained(1, "no log directory of a Kafka broker");
    from(&kafka.path(), &["--topics", "order,*x"]).complained(2, "--topics order matches no topic");
    let copy = kafka.folder.path().join("other");
    fs::create_dir(&copy).unwrap();
    from(&kafka.path(), &["--metadata-dir", &copy.display().to_string()]).complained(1, "meta.properties");
    fs::write(copy.join("meta.properties"), properties(2).replace(CLUSTER, "BBBBBBBBBBBBBBBBBBBBBB"))
        .unwrap();
    from(&kafka.path(), &["--from", &copy.display().to_string()]).complained(1, "of cluster BBBB");
    fs::write(copy.join("meta.properties"), properties(2)).unwrap();
    from(&copy, &[]).complained(1, "--metadata-dir");
    fs::create_dir(copy.join("orders-0")).unwrap();
    let metadata = kafka.path().join("orders-0/partition.metadata");
    fs::copy(metadata, copy.join("orders-0/partition.metadata")).unwrap();
    from(&kafka.path(), &["--from", &copy.display().to_string()]).complained(1, "partition orders-0 lies in");
    kafka.write("meta.properties", b"version=0\nbroker.id=7\ncluster.id=x\n");
    from(&kafka.path(), &[]).complained(1, "a Kafka with ZooKeeper wrote it");
    assert!(!kafka.folder.path().join("never").exists());
}

#[test]
fn partitions_that_are_elsewhere_or_not_in_sync_are_refused() {
    let kafka = Kafka::stopped(2).with_partition(0, &two_segments());
    let said = kafka.import(&["--dry-run"]).well();
    assert!(said.contains("orders-1: Kafka had not made its directory yet"), "{said}");
    let topic = metadata(0);
    for (frame, words) in [
        (partition(0, &[8], &[8], directory_id(1)), "lies on the nodes [8], and not on node 7"),
        (partition(0, &[7, 8], &[8], directory_id(1)), "node 7 is not in sync for partition orders-0"),
    ] {
        kafka.write_metadata(&[topic[0].clone(), frame]);
        kafka.import(&[]).complained(1, words);
    }
    // In sync nobody is, and this node has everything; then that is not known any more.
    let id = topic_id().0;
    let change = [&[1, 5, 2, 0, 0, 0, 0][..], &id, &[2, 0, 1, 1, 6, 5, 2], &NODE.to_be_bytes()].concat();
    let mut eligible = vec![topic[0].clone(), partition(0, &[7, 8], &[8], directory_id(1)), change];
    kafka.write_metadata(&eligible);
    kafka.import(&["--dry-run"]).well();
    eligible.push([&[1, 28, 0, 7], TOPIC.as_bytes(), &[0]].concat());
    kafka.write_metadata(&eligible);
    kafka.import(&[]).complained(1, "node 7 is not in sync for partition orders-0");
    let elsewhere = partition(1, &[7], &[7], directory_id(3));
    kafka.write_metadata(&[topic[0].clone(), partition(0, &[7], &[7], directory_id(1)), elsewhere]);
    kafka.import(&[]).complained(1, "partition orders-1 lies in the log directory with directory.id=");
    let tiered =
        [&[1, 4, 0, 2, 7][..], TOPIC.as_bytes(), &[22], b"remote.storage.enable", &[5], b"true", &[0]];
    kafka.write_metadata(&[topic[0].clone(), partition(0, &[7], &[7], directory_id(1)), tiered.concat()]);
    kafka.import(&[]).complained(1, "topic orders has records in tiered storage");
    let later = [&[1, 2, 9, 7], TOPIC.as_bytes(), &topic_id().0, &[0]].concat();
    kafka.write_metadata(&[later]);
    kafka.import(&[]).complained(1, "a TopicRecord of version 9, where 0 is the newest that is known");
}

#[test]
fn offsets_of_groups_that_lie_elsewhere_do_not_keep_chosen_topics_back() {
    let kafka = Kafka::stopped(1).with_partition(0, &two_segments());
    let offsets = TopicId::from_random(5, 6);
    let mut frames = metadata(1);
    frames.push(topic("__consumer_offsets", offsets));
    frames.push(partition_of(offsets, 0, &[8], &[8], directory_id(8)));
    frames.push(partition_of(offsets, 1, &[NODE], &[NODE], directory_id(1)));
    kafka.write_metadata(&frames);
    kafka.import(&[]).complained(1, "partition __consumer_offsets-0 lies on the nodes [8]");
    let said = kafka.import(&["--topics", TOPIC]).well();
    let left_behind = "__consumer_offsets-0: it lies on the nodes [8], and not on node 7";
    assert!(said.contains(left_behind) && said.contains("imported 2 topics, 3 partitions"), "{said}");
    kafka.verify().well();
    assert_eq!(kafka.served(1), places(0..30));
}

#[test]
fn several_log_directories_become_one() {
    let kafka = Kafka::stopped(2).with_partition(0, &two_segments());
    let second = kafka.folder.path().join("second");
    fs::create_dir_all(second.join("orders-1")).unwrap();
    fs::create_dir_all(second.join("orders-0.abc-future")).unwrap();
    fs::write(second.join("meta.properties"), properties(2)).unwrap();
    fs::write(second.join(".kafka_cleanshutdown"), b"").unwrap();
    let metadata = kafka.path().join("orders-0/partition.metadata");
    fs::copy(metadata, second.join("orders-1/partition.metadata")).unwrap();
    fs::write(second.join("orders-1/00000000000000000000.log"), batch(0)).unwrap();
    let said = kafka.import(&["--from", &second.display().to_string()]).well();
    assert!(said.contains("orders-0.abc-future: passed over"), "{said}");
    let mut expected = places(0..30);
    expected.insert((1, 0), value_of(0));
    assert_eq!(kafka.served(2), expected);
}
