//! Kafka's small text files: `meta.properties`, and checkpoints of one number for each partition.

use std::collections::BTreeMap;

use ringlog_core::config::properties;
use ringlog_core::ids::TopicId;

/// The version that Kafka without ZooKeeper writes.
const VERSION: &str = "1";

/// Whose a directory of Kafka is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KafkaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    /// Kafka before 3.7 wrote none.
    pub directory_id: Option<TopicId>,
}

impl KafkaProperties {
    /// Reads a `meta.properties`.
    pub fn parse(text: &str) -> Result<KafkaProperties, String> {
        let entries =
            properties::parse(text).map_err(|error| format!("line {}: {}", error.line, error.reason))?;
        let value = |key: &str| {
            let entry = entries.iter().rfind(|entry| entry.key == key);
            entry.map(|entry| entry.value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let version = value("version").unwrap_or_default();
        if version == "0" {
            return Err("its version is 0: a Kafka with ZooKeeper wrote it. Migrate that cluster to KRaft first, with \
                        Kafka 3.9"
                .to_owned());
        }
        if version != VERSION {
            return Err(format!("its version is {version:?}, where {VERSION} is read"));
        }
        let node_id = value("node.id").and_then(|id| id.parse().ok()).filter(|id: &i32| *id >= 0);
        Ok(KafkaProperties {
            cluster_id: value("cluster.id").ok_or("cluster.id is missing")?,
            node_id: node_id.ok_or("node.id is missing, or no broker's")?,
            directory_id: value("directory.id").as_deref().and_then(TopicId::parse),
        })
    }
}

/// Reads a checkpoint: `0`, how many lines, then `TOPIC PARTITION OFFSET` a line.
pub(super) fn parse_offsets(text: &str) -> Result<BTreeMap<(String, i32), i64>, String> {
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some("0") {
        return Err("its version is not 0".to_owned());
    }
    let count = lines.next().and_then(|line| line.trim().parse::<usize>().ok());
    let mut offsets = BTreeMap::new();
    for (number, line) in (3..).zip(lines) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let entry = match words[..] {
            [topic, partition, offset] => partition
                .parse()
                .ok()
                .zip(offset.parse().ok().filter(|offset| *offset >= 0))
                .map(|(partition, offset)| ((topic.to_owned(), partition), offset)),
            _ => None,
        };
        let (partition, offset) =
            entry.ok_or_else(|| format!("line {number} is no topic, partition and offset"))?;
        offsets.insert(partition, offset);
    }
    if count != Some(offsets.len()) {
        return Err(format!("it has {} entries, and says otherwise", offsets.len()));
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_properties_of_kraft_are_read_and_those_of_zookeeper_refused() {
        let text = "#\nnode.id=3\ndirectory.id=jImlg57ps9iSoaNfLJ2zgg\nversion=1\ncluster.id=abc\n";
        let read = KafkaProperties::parse(text).unwrap();
        assert_eq!((read.node_id, &*read.cluster_id, read.directory_id.is_some()), (3, "abc", true));
        let old = text.replace("directory.id=jImlg57ps9iSoaNfLJ2zgg\n", "");
        assert_eq!(KafkaProperties::parse(&old).unwrap().directory_id, None);
        let zookeeper = KafkaProperties::parse("version=0\nbroker.id=1\ncluster.id=abc\n").unwrap_err();
        assert!(zookeeper.contains("ZooKeeper"), "{zookeeper}");
        for without in ["node.id=3\n", "cluster.id=abc\n", "version=1\n"] {
            KafkaProperties::parse(&text.replace(without, "")).unwrap_err();
        }
    }

    #[test]
    fn a_checkpoint_is_read_whole_or_refused() {
        let offsets = parse_offsets("0\n2\norders 0 12\nmy.topic 7 0\n").unwrap();
        assert_eq!(offsets[&("orders".to_owned(), 0)], 12);
        assert_eq!(parse_offsets("0\n0\n"), Ok(BTreeMap::new()));
        for wrong in ["", "1\n0\n", "0\n2\norders 0 12\n", "0\n1\norders 0\n", "0\n1\norders 0 -1\n"] {
            parse_offsets(wrong).unwrap_err();
        }
    }
}
