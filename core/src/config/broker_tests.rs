//! What a broker's configuration is read as, and what is refused.

use super::*;

fn read(text: &str) -> BrokerConfig {
    BrokerConfig::from_properties(text).unwrap().0
}

fn notes(text: &str) -> Vec<String> {
    BrokerConfig::from_properties(text).unwrap().1.iter().map(ToString::to_string).collect()
}

fn error(text: &str) -> String {
    BrokerConfig::from_properties(text).unwrap_err().to_string()
}

fn listener(name: &str, host: &str, port: u16) -> ListenerConfig {
    ListenerConfig { name: name.to_owned(), host: host.to_owned(), port }
}

#[test]
fn an_empty_file_is_a_broker() {
    let (config, notes) = BrokerConfig::from_properties("").unwrap();
    assert_eq!(config.node_id, BrokerId(1));
    assert_eq!(config.listeners, [listener("PLAINTEXT", "", 9092)]);
    assert_eq!(config.log_dirs, paths(&["./data"]));
    assert_eq!((config.num_partitions, config.auto_create_topics), (1, true));
    assert_eq!((config.cores, config.durability), (None, Durability::Durable));
    assert_eq!(config.limits(), Limits::production());
    assert!(notes.is_empty());
}

/// The keys of the `server.properties` that Kafka 4.3 is shipped with, with its values.
const SHIPPED_WITH_KAFKA: &str = "
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn the_configuration_kafka_is_shipped_with_starts_this_broker() {
    let (config, notes) = BrokerConfig::from_properties(SHIPPED_WITH_KAFKA).unwrap();
    assert_eq!(config.listeners, [listener("PLAINTEXT", "", 9092)], "the controller's is not opened");
    assert_eq!(config.advertised_listeners, [listener("PLAINTEXT", "localhost", 9092)]);
    assert_eq!(config.log_dirs, paths(&["/tmp/kraft-combined-logs"]));
    assert!(notes.iter().all(|note| matches!(note, ConfigNote::WithoutEffect { .. })), "{notes:?}");
}

#[test]
fn clients_are_told_this_machine_and_never_all_interfaces() {
    for host in ["0.0.0.0", "[::]", ""] {
        let text = format!("listeners=PLAINTEXT://{host}:9092");
        let (config, _) = BrokerConfig::from_properties(&text).unwrap();
        assert_eq!(config.advertised_listeners, [listener("PLAINTEXT", "", 9092)], "{host}");
    }
    let refused = BrokerConfig::from_properties("advertised.listeners=PLAINTEXT://0.0.0.0:9092").unwrap_err();
    assert_eq!(refused.problem, "0.0.0.0 is no address a client can connect to");
}

#[test]
fn access_control_that_is_asked_for_and_not_there_ends_the_start() {
    let asked = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let refused = BrokerConfig::from_properties(asked).unwrap_err();
    assert_eq!(refused.key, "authorizer.class.name");
    assert!(BrokerConfig::from_properties("authorizer.class.name=").is_ok(), "as it is by default");
}

#[test]
fn a_flag_wins_over_both_names_of_the_id() {
    let flags = [("node.id", "5".to_owned())];
    let (config, _) = BrokerConfig::from_properties_and_flags("broker.id=3", &flags).unwrap();
    assert_eq!(config.node_id, BrokerId(5));
}

#[test]
fn an_unknown_key_is_warned_of_with_its_line_and_neighbour() {
    assert_eq!(
        notes("\nnum.partition=3"),
        ["line 2: there is no key num.partition; did you mean num.partitions?"]
    );
    assert_eq!(notes("colour=blue"), ["line 1: there is no key colour"]);
}

#[test]
fn a_key_of_kafkas_without_meaning_here_is_noted_and_starts_the_broker() {
    assert_eq!(
        notes("num.io.threads=8"),
        ["line 1: num.io.threads changes nothing: it has no meaning for this broker, or none yet"]
    );
    assert!(notes("log.flush.interval.messages=1")[0].contains("see ringlog.durability"));
}

#[test]
fn of_two_values_the_later_counts_and_a_note_says_so() {
    let text = "num.partitions=2\nnum.partitions=3";
    assert_eq!(read(text).num_partitions, 3);
    assert_eq!(notes(text), ["line 2: num.partitions is given again; this value counts"]);
}

#[test]
fn a_flag_wins_over_the_file() {
    let flags = [("num.partitions", "5".to_owned()), ("log.dirs", "/srv".to_owned())];
    let (config, notes) = BrokerConfig::from_properties_and_flags("num.partitions=2", &flags).unwrap();
    assert_eq!((config.num_partitions, config.log_dirs), (5, paths(&["/srv"])));
    assert!(notes.is_empty());
    let bad = BrokerConfig::from_properties_and_flags("", &[("num.partitions", "0".to_owned())]);
    assert!(bad.unwrap_err().to_string().starts_with("on the command line: num.partitions: "));
}

#[test]
fn a_bad_value_stops_with_line_key_range_and_remedy() {
    assert_eq!(
        error("# comment\nnum.partitions = 0"),
        "line 2: num.partitions: \"0\" is not accepted: it takes 1 or more (int); correct the value, or leave it \
         out for \"1\""
    );
    assert!(error("a=\\u12").starts_with("line 1: \\u must be followed by four hexadecimal digits"));
}

#[test]
fn listeners_are_read_with_and_without_host_and_in_ipv6() {
    let config = read(
        "listeners=plaintext://127.0.0.1:0, PLAIN2://[::1]:9093\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,PLAIN2:PLAINTEXT",
    );
    assert_eq!(config.listeners, [listener("PLAINTEXT", "127.0.0.1", 0), listener("PLAIN2", "::1", 9093)]);
    assert_eq!(config.advertised_listeners, config.listeners);
}

#[test]
fn listeners_that_cannot_be_served_are_refused_with_a_remedy() {
    for (text, part) in [
        ("listeners=9092", "\"9092\" is no listener; write NAME://HOST:PORT"),
        ("listeners=PLAINTEXT://a b:1", "is no listener"),
        ("listeners=PLAINTEXT://:99999", "is no listener"),
        ("listeners=SSL://:9092", "SSL asks for SSL; only PLAINTEXT is served; map SSL:PLAINTEXT"),
        ("listeners=INSIDE://:9092", "INSIDE has no entry in listener.security.protocol.map"),
        ("listeners=PLAINTEXT://:1,PLAINTEXT://:2", "the name PLAINTEXT is used twice"),
        ("controller.listener.names=PLAINTEXT", "no listener for clients"),
        ("advertised.listeners=INSIDE://a:1", "INSIDE is not among the listeners"),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:9092", "0.0.0.0 is no address a client can connect to"),
    ] {
        assert!(error(text).contains(part), "{text}: {}", error(text));
    }
}

#[test]
fn the_older_name_of_the_node_id_is_read_and_must_not_contradict() {
    assert_eq!(read("broker.id=7").node_id, BrokerId(7));
    assert_eq!(read("node.id=7\nbroker.id=7").node_id, BrokerId(7));
    assert_eq!(read("node.id=7\nbroker.id=-1").node_id, BrokerId(7));
    assert!(error("node.id=7\nbroker.id=8").starts_with("line 2: broker.id: 8 is not the value of node.id"));
}

#[test]
fn data_directories_are_a_list_and_log_dirs_is_before_log_dir() {
    assert_eq!(read("log.dir=/a\nlog.dirs=/b").log_dirs, paths(&["/b"]));
    assert_eq!(read("log.dir=/a, /c\nlog.dirs=").log_dirs, paths(&["/a", "/c"]));
    assert_eq!(read("log.dirs=/a,/b").log_dirs, paths(&["/a", "/b"]));
    assert!(error("log.dirs=/a,/b,/a").contains("/a is given twice"));
    let many: Vec<String> = (0..65).map(|number| format!("/disk{number}")).collect();
    assert!(error(&format!("log.dirs={}", many.join(","))).contains("65 data directories"));
}

#[test]
fn the_metadata_log_is_in_the_first_directory_or_in_the_one_that_is_named() {
    let named = read("log.dirs=/a,/b,/c,/d\nmetadata.log.dir=/c");
    assert_eq!(named.log_dirs, paths(&["/c", "/a", "/b", "/d"]));
    assert!(error("log.dirs=/a,/b\nmetadata.log.dir=/c").contains("/c is none of log.dirs"));
}

fn paths(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

#[test]
fn what_needs_more_than_one_node_is_refused() {
    assert!(error("process.roles=controller").contains("give process.roles=broker,controller"));
    let voters = "controller.quorum.voters=1@a:1,2@b:1";
    assert!(error(voters).contains("2 controllers, and this broker runs as a single node"));
    read("controller.quorum.voters=1@localhost:9093");
}

#[test]
fn keys_change_the_bounds_and_bounds_that_do_not_fit_are_refused() {
    let limits = read("socket.request.max.bytes=1000000\nmax.connections=5").limits();
    assert_eq!(limits.network.frame_bytes_max, 1_000_000);
    assert_eq!((limits.network.connections_max, limits.network.connections_per_ip_max), (5, 5));
    assert_eq!(limits.check(), Ok(()));
    let too_small = error("ringlog.memory.bytes=67108864");
    assert!(
        too_small.starts_with("line 1: ringlog.memory.bytes: ") && too_small.contains("give ringlog.memory")
    );
    read("ringlog.memory.bytes=67108864\nsocket.request.max.bytes=8388608\nfetch.max.bytes=8388608");
}

#[test]
fn a_negative_idle_time_is_for_ever() {
    assert_eq!(read("connections.max.idle.ms=-1").limits().network.idle_max, Duration::MAX);
}

#[test]
fn metrics_are_served_where_the_configuration_says_and_nowhere_else() {
    assert_eq!(read("").metrics_listener, None);
    let config = read("ringlog.metrics.listen=[::1]:9644\nringlog.metrics.partitions.max=0");
    assert_eq!(config.metrics_listener, Some(listener("METRICS", "::1", 9644)));
    assert_eq!(config.metrics_partitions_max, 0);
    for wrong in ["9644", ":9644", "localhost", "localhost:70000", "http://localhost:9644"] {
        let message = error(&format!("ringlog.metrics.listen={wrong}"));
        assert!(message.contains("write HOST:PORT, for example 127.0.0.1:9644"), "{message}");
    }
}

#[test]
fn requests_are_slow_after_half_a_second_and_never_where_that_is_turned_off() {
    assert_eq!(read("").slow_request, Some(Duration::from_millis(500)));
    assert_eq!(read("ringlog.slow.request.ms=20").slow_request, Some(Duration::from_millis(20)));
    assert_eq!(read("ringlog.slow.request.ms=0").slow_request, None);
}
