//! Several data directories: where partitions are made and found, and that each directory fails, and fills up, alone (C14, KIP-112).

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use ringlog_net::protocol::ApiKey;
use ringlog_net::protocol::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use ringlog_net::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use ringlog_net::protocol::describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ringlog_runtime::environment::{Environment, File, OpenMode, WriteSync};
use ringlog_runtime::memory::{MemoryWorld, MountFails, Options};

use crate::groups::{GROUP, commit, find_coordinator, offset, until_loaded};
use crate::harness::{Broker, Client, TOPIC, batch, refusal, with_broker_in};

const ONE: &str = "";
const TWO: &str = "log.dirs=/a,/b";
const BYTES: u64 = 1 << 30;

const NONE: i16 = 0;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;
const LEADER_NOT_AVAILABLE: i16 = 5;
const KAFKA_STORAGE_ERROR: i16 = 56;

/// Two disks.
fn world() -> MemoryWorld {
    let world = MemoryWorld::new(7, Options::quiet());
    ["/a", "/b"].iter().for_each(|path| world.disk().mount(path, BYTES));
    world
}

/// One life of the broker, ended by `kill -9`.
fn life<F: Future<Output = ()>>(world: &MemoryWorld, properties: &str, test: impl FnOnce(Broker) -> F) {
    with_broker_in(world, properties, test);
    world.kill();
}

/// Error code and partitions of each directory: `("/a", 0, ["topic-0", ..])`.
async fn described(client: &mut Client) -> Vec<(String, i16, Vec<String>)> {
    let response = client.call(&DescribeLogDirsRequest { topics: None }, 5).await;
    let directories = response.read(DescribeLogDirsResponse::decode).results;
    let names = |directory: &ringlog_net::protocol::describe_log_dirs::DescribeLogDirsResult<'_>| {
        let topics = directory.topics.iter();
        let all = topics.flat_map(|topic| {
            topic.partitions.iter().map(|partition| format!("{}-{}", topic.name, partition.partition_index))
        });
        all.collect()
    };
    let told = directories.iter().map(|told| (told.log_dir.to_owned(), told.error_code, names(told)));
    told.collect()
}

/// For each partition of the topic its error, leader and offline replicas.
async fn metadata(client: &mut Client) -> Vec<(i16, i32, Vec<i32>)> {
    let topics = Some(vec![MetadataRequestTopic { name: Some(TOPIC), ..MetadataRequestTopic::default() }]);
    let response = client.call(&MetadataRequest { topics, ..MetadataRequest::default() }, 12).await;
    let topic = response.read(MetadataResponse::decode).topics.remove(0);
    let told = topic.partitions.into_iter();
    told.map(|partition| (partition.error_code, partition.leader_id, partition.offline_replicas)).collect()
}

async fn produce_to_all(client: &mut Client, value: &str, expected: [i16; 4]) {
    for (partition, expected) in (0..).zip(expected) {
        let produced = client.produce(partition, &batch(&[value])).await.0;
        assert_eq!(produced, expected, "{value} to partition {partition}");
    }
}

async fn fetch_all(client: &mut Client) -> Vec<(i16, i64)> {
    let mut fetched = Vec::new();
    for partition in 0..4 {
        let (error, high_watermark, _) = client.fetch(partition, 0).await;
        fetched.push((error, high_watermark));
    }
    fetched
}

fn expected(path: &str, error: i16, names: &[&str]) -> (String, i16, Vec<String>) {
    (path.to_owned(), error, names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn new_partitions_go_where_the_fewest_are_and_a_start_finds_each_where_it_is() {
    let world = world();
    life(&world, TWO, async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.create_topic("second", 2, &[]).await;
        client.create_topic("third", 2, &[]).await;
        assert_eq!(client.produce(0, &batch(&["kept"])).await, (NONE, 0));
    });
    assert!(world.disk().files().iter().any(|(path, _)| path == "/a/topic-0/00000000000000000000.log"));
    let third = "log.dirs=/a,/b,/c";
    life(&world, third, async |broker| {
        let mut client = broker.connect();
        assert_eq!(client.fetch(0, 0).await.1, 1);
        client.create_topic("fourth", 3, &[]).await;
        let told = described(&mut client).await;
        let in_c = ["fourth-0", "fourth-1"];
        assert_eq!(told[0], expected("/a", NONE, &["second-1", "third-1", "topic-0"]));
        assert_eq!(told[1], expected("/b", NONE, &["fourth-2", "second-0", "third-0"]));
        assert_eq!(told[2], expected("/c", NONE, &in_c));
    });
    // The order in which they are configured says only where the metadata log is.
    life(&world, "log.dirs=/c,/b,/a\nmetadata.log.dir=/a", async |broker| {
        let mut client = broker.connect();
        assert_eq!(client.fetch(0, 0).await.1, 1);
        assert_eq!(described(&mut client).await[2].2.len(), 3);
    });
}

#[test]
fn one_directory_has_neither_meta_properties_nor_a_list_of_directories() {
    let world = world();
    life(&world, "log.dirs=/a", async |broker| drop(broker.with_topic(1, &[]).await));
    let has = |name: &str| world.disk().files().iter().any(|(path, _)| path.ends_with(name));
    assert!(has("metadata.log") && !has("meta.properties") && !has("directories.properties"));
    life(&world, TWO, async |broker| {
        let mut client = broker.connect();
        client.create_topic("second", 1, &[]).await;
        assert_eq!(described(&mut client).await[1], expected("/b", NONE, &["second-0"]));
    });
    assert!(has("/a/meta.properties") && has("/b/meta.properties") && has("/a/directories.properties"));
}

#[test]
fn c14_a_failed_directory_takes_its_own_partitions_offline_and_no_other() {
    let world = world();
    life(&world, TWO, async |broker| {
        let mut client = broker.with_topic(4, &[]).await;
        produce_to_all(&mut client, "kept", [NONE; 4]).await;
        world.disk().set_mount_fails("/b", MountFails::Changes);
        client.produce(1, &batch(&["lost"])).await;
        broker.world().sleep(Duration::from_secs(1)).await;
        let refused = [NONE, KAFKA_STORAGE_ERROR, NONE, KAFKA_STORAGE_ERROR];
        produce_to_all(&mut client, "more", refused).await;
        let (served, offline) = ((NONE, 1, vec![]), (LEADER_NOT_AVAILABLE, -1, vec![1]));
        let told = metadata(&mut client).await;
        assert_eq!(told, [served.clone(), offline.clone(), served.clone(), offline.clone()]);
        assert_eq!(fetch_all(&mut client).await, [(NONE, 2), (NONE, 1), (NONE, 2), (NONE, 1)], "read on");
        let told = described(&mut client).await;
        assert_eq!(told[0], expected("/a", NONE, &["topic-0", "topic-2"]));
        assert_eq!(told[1], expected("/b", KAFKA_STORAGE_ERROR, &[]));
        let ready = broker.page("/ready").await;
        assert_eq!(ready, (200, "ready; /b is offline with its partitions\n".to_owned()));
        assert_eq!(broker.metric("ringlog_disk_failed{shard=\"0\",directory=\"/a\"}").await, Some(0.0));
        assert_eq!(broker.metric("ringlog_disk_failed{shard=\"1\",directory=\"/b\"}").await, Some(1.0));
        client.create_topic("another", 2, &[]).await;
        assert_eq!(described(&mut client).await[0].2.len(), 4, "new partitions go where they can be written");
        // With the last one nothing is left to write to, and everything is read on.
        world.disk().set_mount_fails("/a", MountFails::Changes);
        client.produce(0, &batch(&["lost"])).await;
        broker.world().sleep(Duration::from_secs(1)).await;
        produce_to_all(&mut client, "late", [KAFKA_STORAGE_ERROR; 4]).await;
        let read_on = (NONE, 1, vec![1]);
        assert_eq!(metadata(&mut client).await, vec![read_on; 4]);
        assert_eq!(fetch_all(&mut client).await, [(NONE, 2), (NONE, 1), (NONE, 2), (NONE, 1)]);
        assert_eq!(broker.page("/ready").await.0, 503);
    });
    ["/a", "/b"].iter().for_each(|path| world.disk().set_mount_fails(path, MountFails::Nothing));
    life(&world, TWO, async |broker| {
        let mut client = broker.connect();
        let fetched = fetch_all(&mut client).await;
        assert!(fetched.iter().zip([2, 1, 2, 1]).all(|((_, found), kept)| *found >= kept), "{fetched:?}");
        produce_to_all(&mut client, "again", [NONE; 4]).await;
    });
}

#[test]
fn c14_groups_of_a_failed_directory_have_no_coordinator_and_others_have() {
    // Java's hash of the group's name says which partition holds it.
    let hash = GROUP.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    let holding = format!("__consumer_offsets-{}", (hash & i32::MAX) % 2);
    for fails_its_own in [true, false] {
        let world = world();
        life(&world, "log.dirs=/a,/b\noffsets.topic.num.partitions=2", async |broker| {
            let mut client = broker.with_topic(2, &[]).await;
            assert_eq!(find_coordinator(&mut client).await.0, NONE);
            until_loaded(&mut client).await;
            let is_in_a = described(&mut client).await[0].2.contains(&holding);
            let (failing, partition) = if is_in_a == fails_its_own { ("/a", 0) } else { ("/b", 1) };
            world.disk().set_mount_fails(failing, MountFails::Changes);
            client.produce(partition, &batch(&["lost"])).await;
            broker.world().sleep(Duration::from_secs(1)).await;
            let expected = if fails_its_own { COORDINATOR_NOT_AVAILABLE } else { NONE };
            assert_eq!(find_coordinator(&mut client).await.0, expected);
            let committed = commit(&mut client, vec![offset(0, 1, None)]).await;
            assert_eq!(committed, [if fails_its_own { NOT_COORDINATOR } else { NONE }]);
        });
    }
}

#[test]
fn a_directory_that_is_missing_when_the_broker_starts_is_left_out_and_nothing_of_it_is_made_anew() {
    let world = world();
    life(&world, TWO, async |broker| {
        let mut client = broker.with_topic(4, &[]).await;
        produce_to_all(&mut client, "kept", [NONE; 4]).await;
    });
    let live_without = |what: &str| {
        life(&world, TWO, async |broker| {
            let mut client = broker.connect();
            let error = KAFKA_STORAGE_ERROR;
            assert_eq!(client.produce(1, &batch(&["lost"])).await.0, error, "{what}");
            assert_eq!(client.produce(0, &batch(&["more"])).await.0, NONE, "{what}");
            assert_eq!(client.fetch(1, 0).await.0, error, "{what}: not empty, not there");
            let told = metadata(&mut client).await;
            assert_eq!((&told[0], &told[1]), (&(NONE, 1, vec![]), &(LEADER_NOT_AVAILABLE, -1, vec![1])));
            assert_eq!(described(&mut client).await[1], expected("/b", error, &[]));
        });
    };
    world.disk().set_mount_fails("/b", MountFails::Everything);
    live_without("a disk that cannot be read");
    world.disk().set_mount_fails("/b", MountFails::Nothing);
    world.run_until(rename(&world, "/b", "/elsewhere"));
    live_without("no directory");
    world.run_until(async { world.environment(0, 1).create_directory(Path::new("/b")).await.unwrap() });
    live_without("an empty mount point");
    world.run_until(rename(&world, "/b", "/mount-point"));
    world.run_until(rename(&world, "/elsewhere", "/b"));
    life(&world, TWO, async |broker| {
        let mut client = broker.connect();
        assert_eq!(fetch_all(&mut client).await, [(NONE, 4), (NONE, 1), (NONE, 1), (NONE, 1)]);
    });
}

#[test]
fn a_directory_that_is_taken_out_of_the_configuration_is_missed() {
    let world = world();
    life(&world, TWO, async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        client.produce(1, &batch(&["kept"])).await;
    });
    for properties in ["log.dirs=/a", "log.dirs=/a,/new"] {
        life(&world, properties, async |broker| {
            let mut client = broker.connect();
            assert_eq!(client.fetch(1, 0).await.0, KAFKA_STORAGE_ERROR, "{properties}");
            assert_eq!(client.fetch(0, 0).await.0, NONE, "{properties}");
        });
    }
    // Whoever gives it up says so.
    let known = String::from_utf8(world.disk().read("/a/directories.properties").unwrap()).unwrap();
    assert_eq!(known.lines().filter(|line| line.ends_with("=/b")).count(), 1, "{known}");
    world.run_until(async {
        let env = world.environment(0, 1);
        env.remove_file(Path::new("/a/directories.properties")).await.unwrap();
        env.sync_directory(Path::new("/a")).await.unwrap();
    });
    life(&world, "log.dirs=/a,/new", async |broker| {
        let mut client = broker.connect();
        assert_eq!(client.fetch(1, 0).await, (NONE, 0, Vec::new()));
        assert_eq!(client.produce(1, &batch(&["anew"])).await, (NONE, 0));
    });
}

#[test]
fn a_full_directory_refuses_records_of_its_own_partitions_only() {
    let world = world();
    life(&world, TWO, async |broker| {
        let mut client = broker.with_topic(4, &[]).await;
        produce_to_all(&mut client, "kept", [NONE; 4]).await;
        world.disk().mount("/b", world.disk().used_bytes("/b"));
        while client.produce(1, &batch(&["filler"])).await.0 == NONE {
            broker.world().sleep(Duration::from_millis(20)).await;
        }
        broker.world().sleep(Duration::from_millis(200)).await;
        produce_to_all(&mut client, "more", [NONE, KAFKA_STORAGE_ERROR, NONE, KAFKA_STORAGE_ERROR]).await;
        assert_eq!(metadata(&mut client).await, vec![(NONE, 1, vec![]); 4], "no replica is offline");
        let ready = broker.page("/ready").await;
        let words = "ready; the disk of /b is full and records for its partitions are refused\n";
        assert_eq!(ready, (200, words.to_owned()));
        client.create_topic("another", 2, &[]).await;
        assert_eq!(described(&mut client).await[0].2.len(), 4, "new partitions go where there is room");
        world.disk().mount("/b", BYTES);
        broker.world().sleep(Duration::from_secs(5)).await;
        produce_to_all(&mut client, "again", [NONE; 4]).await;
    });
}

#[test]
fn directories_that_do_not_belong_together_are_refused_by_name() {
    let world = world();
    life(&world, TWO, async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        assert_eq!(client.produce(1, &batch(&["kept"])).await, (NONE, 0));
        // Until a checkpoint says so.
        broker.world().sleep(Duration::from_secs(1)).await;
    });
    let told = refusal(&world, "node.id=2\nlog.dirs=/other,/b");
    assert!(told.contains("/b belongs to broker 1, and this is broker 2"), "{told}");
    let told = refusal(&world, "log.dirs=/other,/b");
    assert!(told.contains("/b belongs to the cluster") && told.contains("and /other"), "{told}");
    let told = refusal(&world, "log.dirs=/b,/a");
    assert!(told.contains("/a holds a metadata log, and /b comes first"), "{told}");
    world.run_until(rename(&world, "/b/topic-1", "/a/topic-1"));
    let told = refusal(&world, TWO);
    assert!(told.contains("/a/topic-1 and in /b/topic-1"), "{told}");
    world.run_until(rename(&world, "/a/topic-1", "/b/topic-1"));
    life(&world, TWO, async |broker| assert_eq!(broker.connect().fetch(1, 0).await.1, 1));
}

async fn rename(world: &MemoryWorld, from: &str, to: &str) {
    let env = world.environment(0, 1);
    env.rename(Path::new(from), Path::new(to)).await.unwrap();
    env.sync_directory(Path::new("/")).await.unwrap();
}

/// Files of a partition as they stood before.
type Files = Vec<(String, Vec<u8>)>;

fn files_below(world: &MemoryWorld, directory: &str) -> Files {
    let below = format!("{directory}/");
    let all = world.disk().files().into_iter().map(|(path, _)| path).filter(|path| path.starts_with(&below));
    all.map(|path| (path.clone(), world.disk().read(&path).expect("listed"))).collect()
}

/// Puts files back, as if what took them away had not been done yet.
fn put_back(world: &MemoryWorld, directory: &str, files: &Files) {
    let env = world.environment(0, 1);
    world.run_until(async {
        env.create_directory(Path::new(directory)).await.expect("made");
        for (path, bytes) in files {
            let name = path.rsplit('/').next().expect("a name");
            let path = format!("{directory}/{name}");
            let file = env.open(Path::new(&path), OpenMode::BufferedWrite).await.expect("made");
            for (index, piece) in bytes.chunks(16 << 10).enumerate() {
                let mut buffer = env.arena().allocate(piece.len()).expect("memory");
                buffer.extend_from_slice(piece);
                let position = (index * (16 << 10)) as u64;
                file.write_at(position, vec![buffer.freeze()], WriteSync::Later).await.expect("written");
            }
        }
    });
    world.kill();
}

/// A world with a topic of one record, and the files of its partition.
fn filled() -> (MemoryWorld, Files) {
    let world = MemoryWorld::new(7, Options::quiet());
    life(&world, ONE, async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        assert_eq!(client.produce(0, &batch(&["kept"])).await, (NONE, 0));
    });
    // What only the journal had is in the segment.
    life(&world, ONE, async |broker| assert_eq!(broker.connect().fetch(0, 0).await.1, 1));
    let files = files_below(&world, "/data/topic-0");
    assert!(!log_of(&files).is_empty());
    (world, files)
}

fn log_of(files: &Files) -> &[u8] {
    files.iter().find(|(path, _)| path.ends_with(".log")).map(|(_, bytes)| bytes.as_slice()).expect("a log")
}

async fn delete_topic(client: &mut Client, name: &str) {
    let topic = DeleteTopicState { name: Some(name), ..DeleteTopicState::default() };
    let request = DeleteTopicsRequest { topics: vec![topic], topic_names: vec![name], timeout_ms: 10_000 };
    let response = client.call(&request, 6).await;
    assert_eq!(response.read(DeleteTopicsResponse::decode).responses[0].error_code, NONE);
}

fn names_in_data(world: &MemoryWorld) -> Vec<String> {
    let below = |path: &str| path.strip_prefix("/data/")?.split_once('/').map(|(name, _)| name.to_owned());
    let mut names: Vec<String> = world.disk().files().iter().filter_map(|(path, _)| below(path)).collect();
    names.dedup();
    names
}

#[test]
fn a_name_that_is_given_again_at_once_has_a_directory_of_its_own_whichever_shards_had_it_before() {
    let world = MemoryWorld::new(7, Options::quiet());
    let deletion = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some(TOPIC), ..DeleteTopicState::default() }],
        topic_names: vec![TOPIC],
        timeout_ms: 10_000,
    };
    let topic =
        CreatableTopic { name: TOPIC, num_partitions: 4, replication_factor: 1, ..CreatableTopic::default() };
    let creation = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    life(&world, ONE, async |broker| {
        let (mut client, mut creator) = (broker.with_topic(4, &[]).await, broker.connect());
        for _ in 0..30 {
            produce_to_all(&mut client, "of this life", [NONE; 4]).await;
            assert_eq!(fetch_all(&mut client).await, [(NONE, 1); 4], "nothing of the one before");
            // The creation waits right behind the deletion, if it does not come before it.
            client.send(&deletion, 6).await;
            loop {
                let created = creator.call(&creation, 7).await;
                if created.read(CreateTopicsResponse::decode).topics[0].error_code == NONE {
                    break;
                }
            }
            let deleted = client.receive(ApiKey::DeleteTopics, 6).await.expect("an answer");
            assert_eq!(deleted.read(DeleteTopicsResponse::decode).responses[0].error_code, NONE);
        }
        produce_to_all(&mut client, "of the last life", [NONE; 4]).await;
    });
    life(&world, ONE, async |broker| {
        assert_eq!(fetch_all(&mut broker.connect()).await, [(NONE, 1); 4]);
    });
    let mut names = names_in_data(&world);
    names.retain(|name| name.starts_with(TOPIC));
    assert_eq!(names, ["topic-0", "topic-1", "topic-2", "topic-3"], "none was moved aside");
}

#[test]
fn a_deletion_that_was_granted_and_cut_short_is_done_by_the_next_start() {
    let (world, files) = filled();
    life(&world, ONE, async |broker| {
        let mut client = broker.connect();
        client.create_topic("other", 1, &[]).await;
        delete_topic(&mut client, TOPIC).await;
    });
    // The power went before the directory was renamed.
    put_back(&world, "/data/topic-0", &files);
    for _ in 0..2 {
        life(&world, ONE, async |broker| drop(broker.connect()));
        let names = names_in_data(&world);
        assert!(!names.iter().any(|name| name.starts_with("topic-0")), "{names:?}");
        assert!(names.contains(&"other-0".to_owned()), "what has a topic stays: {names:?}");
    }
}

#[test]
fn a_directory_that_no_topic_ever_had_is_moved_aside_and_never_removed() {
    let (world, mut files) = filled();
    for (path, bytes) in &mut files {
        if path.ends_with("partition.metadata") {
            *bytes = b"version: 0\ntopic_id: AAAAAAAAQAWAAAAAAAAABg".to_vec();
        }
    }
    put_back(&world, "/data/other-0", &files);
    let mut strays = Vec::new();
    for start in 0..3 {
        life(&world, ONE, async |broker| {
            let mut client = broker.connect();
            assert_eq!(client.fetch(0, 0).await.1, 1);
            if start == 0 {
                client.create_topic("other", 1, &[]).await;
            }
        });
        let names = names_in_data(&world);
        let is_stray = |name: &String| name.starts_with("other-0.") && name.ends_with("-stray");
        let found: Vec<String> = names.into_iter().filter(is_stray).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(strays.is_empty() || strays == found, "it keeps its name");
        let names_and_bytes = |files: &Files| -> Vec<(String, Vec<u8>)> {
            let name = |path: &str| path.rsplit('/').next().expect("a name").to_owned();
            files.iter().map(|(path, bytes)| (name(path), bytes.clone())).collect()
        };
        let kept = files_below(&world, &format!("/data/{}", found[0]));
        assert_eq!(names_and_bytes(&kept), names_and_bytes(&files), "as it was found");
        strays = found;
    }
}

#[test]
fn a_topic_that_was_made_anew_keeps_its_directory_where_a_checkpoint_knows_the_former_one() {
    let (world, _) = filled();
    let mut checkpoints = Files::new();
    life(&world, ONE, async |broker| {
        let mut client = broker.connect();
        assert_eq!(client.fetch(0, 0).await.1, 1);
        // As this start found the directory: with the former topic.
        checkpoints = files_below(&world, "/data/checkpoint");
        delete_topic(&mut client, TOPIC).await;
        client.create_topic(TOPIC, 1, &[]).await;
        assert_eq!(client.produce(0, &batch(&["anew"])).await, (NONE, 0));
        assert_eq!(client.produce(0, &batch(&["and more"])).await, (NONE, 1));
    });
    // Those that say that the former one was deleted are rotten, or nobody had come to write them.
    world.run_until(async {
        let env = world.environment(0, 1);
        for (path, _) in files_below(&world, "/data/checkpoint") {
            env.remove_file(Path::new(&path)).await.expect("there");
        }
    });
    put_back(&world, "/data/checkpoint", &checkpoints);
    for _ in 0..2 {
        life(&world, ONE, async |broker| {
            let mut client = broker.connect();
            assert_eq!(client.fetch(0, 0).await.1, 2, "the new one's");
        });
        let names = names_in_data(&world);
        let of_topic: Vec<_> = names.iter().filter(|name| name.starts_with("topic-0")).collect();
        assert_eq!(of_topic, ["topic-0"], "{names:?}");
    }
}

/// Takes the metadata log away.
fn lose_metadata_log(world: &MemoryWorld) -> Files {
    let log =
        vec![("/data/metadata.log".to_owned(), world.disk().read("/data/metadata.log").expect("there"))];
    world.run_until(async {
        let env = world.environment(0, 1);
        env.remove_file(Path::new("/data/metadata.log")).await.expect("there");
        env.sync_directory(Path::new("/data")).await.expect("synced");
    });
    world.kill();
    log
}

#[test]
fn every_start_is_refused_where_partitions_lie_and_the_metadata_log_is_lost() {
    let (world, _) = filled();
    let log = lose_metadata_log(&world);
    let before = files_below(&world, "/data/topic-0");
    for _ in 0..3 {
        let told = refusal(&world, ONE);
        assert!(
            told.contains("/data/metadata.log is missing or empty, and /data holds partitions (1)"),
            "{told}"
        );
        assert_eq!(files_below(&world, "/data/topic-0"), before);
    }
    put_back(&world, "/data", &log);
    life(&world, ONE, async |broker| assert_eq!(broker.connect().fetch(0, 0).await.1, 1));
}

#[test]
fn without_its_partitions_a_directory_whose_metadata_log_is_lost_begins_anew() {
    let (world, _) = filled();
    lose_metadata_log(&world);
    refusal(&world, ONE);
    world.run_until(rename(&world, "/data/topic-0", "/elsewhere"));
    for expected in [0, 1] {
        life(&world, ONE, async |broker| {
            let mut client = broker.connect();
            if expected == 0 {
                client.create_topic(TOPIC, 1, &[]).await;
            }
            assert_eq!(client.fetch(0, 0).await.1, expected);
            assert_eq!(client.produce(0, &batch(&["anew"])).await, (NONE, expected));
        });
    }
    assert!(world.disk().files().iter().any(|(path, _)| path.starts_with("/elsewhere/")));
}
