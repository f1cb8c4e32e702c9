//! Partitions as arguments: `orders`, `orders:0,3`, or lines of a file.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::client::ClientFailure;
use crate::client::cluster::{Cluster, MissingTopics};
use crate::client::offsets::PartitionName;

/// A topic, and which of its partitions; none named means all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicSelection {
    /// The topic.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

impl FromStr for TopicSelection {
    type Err = String;

    fn from_str(text: &str) -> Result<TopicSelection, String> {
        let (topic, numbers) = match text.split_once(':') {
            Some((topic, numbers)) => (topic, Some(numbers)),
            None => (text, None),
        };
        let parse = |number: &str| number.parse::<i32>().ok().filter(|number| *number >= 0);
        let partitions = numbers.map_or(Some(Vec::new()), |numbers| numbers.split(',').map(parse).collect());
        match partitions {
            Some(partitions) if !topic.is_empty() => {
                Ok(TopicSelection { topic: topic.to_owned(), partitions })
            }
            _ => Err(format!("{text:?}: write TOPIC or TOPIC:0,3")),
        }
    }
}

/// The partitions that are meant.
///
/// # Errors
/// [`ClientFailure`]: all of them must exist.
pub fn selected(
    cluster: &mut Cluster,
    selections: &[TopicSelection],
) -> Result<Vec<PartitionName>, ClientFailure> {
    let topics: Vec<&str> = selections.iter().map(|selection| selection.topic.as_str()).collect();
    let metadata = cluster.metadata(Some(&topics), MissingTopics::Leave)?;
    let mut names = Vec::new();
    for selection in selections {
        let topic = metadata.topic(&selection.topic)?;
        let all = || topic.partitions.iter().map(|partition| partition.index).collect();
        let wanted = if selection.partitions.is_empty() { all() } else { selection.partitions.clone() };
        for partition in wanted {
            topic.partition(partition)?;
            names.push(PartitionName { topic: selection.topic.clone(), partition });
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Offsets from lines `topic,partition,offset`, as an export writes them; a group in front is Kafka's export of several.
///
/// # Errors
/// Which line is none.
pub fn offsets_in(text: &str, group: &str) -> Result<BTreeMap<PartitionName, i64>, String> {
    let mut offsets = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = || format!("line {}: {line:?}: write TOPIC,PARTITION,OFFSET", index + 1);
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let fields = match fields.as_slice() {
            [of_group, rest @ ..] if rest.len() == 3 => {
                if *of_group != group {
                    continue;
                }
                rest
            }
            fields => fields,
        };
        let [topic, partition, offset] = fields else { return Err(wrong()) };
        let partition = partition.parse().map_err(|_| wrong())?;
        let name = PartitionName { topic: (*topic).to_owned(), partition };
        offsets.insert(name, offset.parse().map_err(|_| wrong())?);
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_names_a_topic_and_perhaps_partitions() {
        let selection = |topic: &str, partitions: &[i32]| {
            Ok(TopicSelection { topic: topic.to_owned(), partitions: partitions.to_vec() })
        };
        assert_eq!("orders".parse(), selection("orders", &[]));
        assert_eq!("orders:3,0".parse(), selection("orders", &[3, 0]));
        for wrong in ["", ":1", "orders:", "orders:x", "orders:-1"] {
            assert!(wrong.parse::<TopicSelection>().unwrap_err().contains("write TOPIC"), "{wrong}");
        }
    }

    #[test]
    fn an_export_of_one_group_or_of_several_is_read() {
        let text = "orders,0,17\n\n\"orders\",1,18\n";
        let offsets = offsets_in(text, "g").unwrap();
        assert_eq!(offsets.values().copied().collect::<Vec<i64>>(), [17, 18]);
        let offsets = offsets_in("g,orders,0,5\nother,orders,0,6\n", "g").unwrap();
        assert_eq!(offsets.into_values().collect::<Vec<i64>>(), [5]);
        for wrong in ["orders,0", "orders,x,1", "orders,0,x", "orders"] {
            assert!(offsets_in(wrong, "g").unwrap_err().starts_with("line 1:"), "{wrong}");
        }
    }
}
