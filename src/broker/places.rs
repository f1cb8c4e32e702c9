//! Which data directory each partition lies in, and which one a new partition gets. Pure.
//!
//! Always true: a partition has at most one place, for as long as it exists. One without a place lies in a directory
//! that is not there: it is offline, and is not made anew elsewhere.

use ringlog_core::ids::TopicPartition;
use ringlog_core::metadata::shared_map::SharedMap;
use ringlog_core::metadata::{MetadataImage, MetadataRecord, TopicImage};

/// One of the broker's data directories, by its place in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DirectoryIndex(pub u16);

impl DirectoryIndex {
    /// The directory that holds the metadata log.
    pub const FIRST: DirectoryIndex = DirectoryIndex(0);
}

/// Places of all partitions. Cheap to copy, as the image they belong to.
#[derive(Clone, Debug)]
pub struct Places {
    by_partition: SharedMap<TopicPartition, DirectoryIndex>,
    /// How many partitions each directory has.
    counts: Vec<usize>,
    /// There is one directory and never was another: all lie in it, and nothing is noted.
    has_one: bool,
    has_lost: bool,
}

impl Places {
    /// Everything lies in the only directory there is.
    pub fn in_one() -> Places {
        Places { by_partition: SharedMap::default(), counts: vec![0], has_one: true, has_lost: false }
    }

    /// Nothing lies anywhere yet.
    pub fn in_several(directory_count: usize) -> Places {
        let counts = vec![0; directory_count];
        Places { by_partition: SharedMap::default(), counts, has_one: false, has_lost: false }
    }

    /// Where a partition lies; `None` if that is not known.
    pub fn of(&self, id: &TopicPartition) -> Option<DirectoryIndex> {
        if self.has_one { Some(DirectoryIndex::FIRST) } else { self.by_partition.get(id).copied() }
    }

    /// Whether there may be partitions without a place.
    pub fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// From now on a partition without a place is not given one.
    pub fn note_lost(&mut self) {
        self.has_lost = true;
    }

    /// A partition lies there.
    pub fn put(&mut self, id: TopicPartition, directory: DirectoryIndex) {
        if !self.has_one {
            self.counts[usize::from(directory.0)] += 1;
            let before = self.by_partition.insert(id, directory);
            assert_eq!(before, None, "a partition stays where it is");
        }
    }

    /// Gives a new partition the directory with the fewest, of those it may have; the first of several, as they are configured.
    /// Nothing changes if it may have none.
    pub fn give(&mut self, id: TopicPartition, may_have: &[bool]) {
        let counts = self.counts.iter().zip(may_have).enumerate();
        let fewest = counts.filter(|(_, (_, may))| **may).min_by_key(|(_, (count, _))| **count);
        if let Some((index, _)) = fewest {
            self.put(id, DirectoryIndex(index.try_into().expect("directories are bounded")));
        }
    }

    /// The places after a change of the metadata.
    pub fn after(
        &self,
        before: &MetadataImage,
        after: &MetadataImage,
        records: &[MetadataRecord],
        may_have: &[bool],
    ) -> Places {
        let mut places = self.clone();
        if places.has_one {
            return places;
        }
        for record in records {
            match record {
                MetadataRecord::TopicCreated { id, .. } | MetadataRecord::PartitionsAdded { id, .. } => {
                    let known_count = match record {
                        MetadataRecord::PartitionsAdded { .. } => {
                            topic(before, id).map_or(0, |topic| topic.partitions.len())
                        }
                        _ => 0,
                    };
                    let all = topic(after, id).into_iter().flat_map(partitions_of).skip(known_count);
                    all.for_each(|id| places.give(id, may_have));
                }
                MetadataRecord::TopicDeleted { id } => {
                    topic(before, id).into_iter().flat_map(partitions_of).for_each(|id| places.forget(&id));
                }
                _ => {}
            }
        }
        places
    }

    fn forget(&mut self, id: &TopicPartition) {
        if let Some(directory) = self.by_partition.remove(id) {
            self.counts[usize::from(directory.0)] -= 1;
        }
    }
}

fn topic<'i>(image: &'i MetadataImage, id: &[u8; 16]) -> Option<&'i TopicImage> {
    image.topic_by_id(ringlog_core::ids::TopicId(*id)).map(|topic| &**topic)
}

/// The partitions of a topic, in order.
pub fn partitions_of(topic: &TopicImage) -> impl Iterator<Item = TopicPartition> {
    topic.partitions.iter().map(|partition| TopicPartition { topic: topic.id, partition: partition.index })
}

#[cfg(test)]
mod tests {
    use ringlog_core::ids::{PartitionIndex, TopicId};

    use super::*;

    fn partition(index: i32) -> TopicPartition {
        TopicPartition { topic: TopicId::from_random(1, 2), partition: PartitionIndex(index) }
    }

    #[test]
    fn a_new_partition_goes_where_the_fewest_are_of_those_that_may_have_it() {
        let mut places = Places::in_several(3);
        places.put(partition(0), DirectoryIndex(1));
        let mut given = |index, may_have: [bool; 3]| {
            places.give(partition(index), &may_have);
            places.of(&partition(index)).map(|directory| directory.0)
        };
        assert_eq!(given(1, [true; 3]), Some(0));
        assert_eq!(given(2, [true; 3]), Some(2));
        assert_eq!(given(3, [true; 3]), Some(0), "the first of several");
        assert_eq!(given(4, [true, false, true]), Some(2));
        assert_eq!(given(5, [false, false, true]), Some(2), "though others have fewer");
        assert_eq!(given(6, [false; 3]), None);
        places.forget(&partition(0));
        places.give(partition(7), &[true; 3]);
        assert_eq!(places.of(&partition(7)), Some(DirectoryIndex(1)), "what is deleted counts no more");
    }

    #[test]
    fn with_one_directory_everything_lies_in_it_and_nothing_is_noted() {
        let mut places = Places::in_one();
        places.give(partition(0), &[true]);
        assert_eq!(places.of(&partition(0)), Some(DirectoryIndex::FIRST));
        assert!(places.by_partition.is_empty() && !places.has_lost());
    }
}
