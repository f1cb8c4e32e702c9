//! What the metadata records add up to.
//!
//! ```text
//!   MetadataImage ─┬─ topics by name ──┐
//!                  ├─ topics by id ────┴──► Arc<TopicImage> ──► partitions: leader, epoch, replicas, in sync
//!                  ├─ brokers ────────────► Arc<BrokerImage> ─► listeners
//!                  ├─ changed configuration of brokers, and of every broker
//!                  └─ cluster id, features, next producer id
//! ```
//!
//! Always true: both topic maps hold the same topics; an image is never changed once shared; copying one shares
//! all topics (see [`shared_map`](super::shared_map)), so replaying a record costs the same with ten topics or
//! ten thousand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::record::{ListenerRecord, MetadataRecord};
use super::shared_map::SharedMap;
use super::topic_name;
use crate::config::BrokerConfig;
use crate::ids::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId, TopicName};

/// The cluster after some number of records. One per broker, shared with every shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetadataImage {
    record_count: u64,
    cluster_id: Arc<str>,
    features: Arc<BTreeMap<String, i16>>,
    brokers: Arc<BTreeMap<BrokerId, Arc<BrokerImage>>>,
    broker_configs: Arc<BTreeMap<Option<BrokerId>, BTreeMap<String, String>>>,
    topics_by_name: SharedMap<TopicName, Arc<TopicImage>>,
    topics_by_id: SharedMap<TopicId, Arc<TopicImage>>,
    names_that_may_collide: SharedMap<String, TopicName>,
    partition_count: usize,
    next_producer_id: ProducerId,
}

/// A topic, with what is decided about each of its partitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicImage {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
    /// Its partitions, by index from zero.
    pub partitions: Vec<PartitionImage>,
    /// Its configuration overrides.
    pub configs: BTreeMap<String, String>,
}

/// What is decided about a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionImage {
    /// Its number.
    pub index: PartitionIndex,
    /// Who leads it.
    pub leader: Option<BrokerId>,
    /// Grows with each change of leader, and each restart of one that may have lost data.
    pub leader_epoch: LeaderEpoch,
    /// Who holds it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Who is in sync.
    pub in_sync_replicas: Vec<BrokerId>,
}

/// A registered broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerImage {
    /// `node.id`.
    pub id: BrokerId,
    /// The registration.
    pub epoch: i64,
    /// The process.
    pub incarnation_id: [u8; 16],
    /// Where clients reach it.
    pub listeners: Vec<ListenerRecord>,
    /// `broker.rack`.
    pub rack: Option<String>,
}

/// A record that does not fit what the records before it say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayFault {
    /// How many records were replayed before it.
    pub record_index: u64,
    /// What does not fit.
    pub reason: String,
}

impl fmt::Display for ReplayFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "metadata record {} does not fit those before it: {}",
            self.record_index, self.reason
        )
    }
}

impl std::error::Error for ReplayFault {}

impl Default for MetadataImage {
    fn default() -> MetadataImage {
        MetadataImage {
            record_count: 0,
            cluster_id: "".into(),
            features: Arc::default(),
            brokers: Arc::default(),
            broker_configs: Arc::default(),
            topics_by_name: SharedMap::default(),
            topics_by_id: SharedMap::default(),
            names_that_may_collide: SharedMap::default(),
            partition_count: 0,
            next_producer_id: ProducerId(0),
        }
    }
}

impl MetadataImage {
    /// The image of a whole log.
    ///
    /// # Errors
    /// [`ReplayFault`] for a log that no controller wrote in this order.
    pub fn from_records<'a>(
        records: impl IntoIterator<Item = &'a MetadataRecord>,
    ) -> Result<MetadataImage, ReplayFault> {
        let mut image = MetadataImage::default();
        for record in records {
            image.apply(record)?;
        }
        Ok(image)
    }

    /// The image one record later.
    ///
    /// # Panics
    /// If the record does not fit: a controller decided it on another image than this one.
    pub fn replay(&self, record: &MetadataRecord) -> MetadataImage {
        self.replay_all(std::slice::from_ref(record))
    }

    /// The image some records later.
    ///
    /// # Panics
    /// As [`MetadataImage::replay`].
    pub fn replay_all(&self, records: &[MetadataRecord]) -> MetadataImage {
        let mut next = self.clone();
        for record in records {
            if let Err(fault) = next.apply(record) {
                panic!("{fault}");
            }
        }
        next
    }

    /// How many records it stands for.
    pub fn record_count(&self) -> u64 {
        self.record_count
    }

    /// The cluster's id; empty before the first record.
    pub fn cluster_id(&self) -> &Arc<str> {
        &self.cluster_id
    }

    /// Feature levels by name.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// A broker.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&id)
    }

    /// All brokers by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Arc<BrokerImage>> {
        self.brokers.values()
    }

    /// What was changed of a broker's configuration while it ran; of every broker's, for none.
    pub fn broker_configs(&self, broker: Option<BrokerId>) -> &BTreeMap<String, String> {
        const NOTHING: &BTreeMap<String, String> = &BTreeMap::new();
        self.broker_configs.get(&broker).unwrap_or(NOTHING)
    }

    /// A broker's configuration with what was changed of it while it ran.
    pub fn with_changes(&self, broker: &BrokerConfig) -> BrokerConfig {
        broker.with_dynamic(self.broker_configs(None), self.broker_configs(Some(broker.node_id)))
    }

    /// For which brokers configuration was changed; none stands for every broker.
    pub fn brokers_with_configs(&self) -> impl Iterator<Item = Option<BrokerId>> {
        self.broker_configs.keys().copied()
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics_by_name.get(name)
    }

    /// A topic by id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics_by_id.get(&id)
    }

    /// All topics by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics_by_name.values()
    }

    /// Topics from a name on, by name.
    pub fn topics_from<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<TopicImage>> {
        self.topics_by_name.iter_from(name).map(|(_, topic)| topic)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics_by_name.len()
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The living topic whose name metrics could not tell from this one; the topic itself, if it exists and its
    /// name has a dot or underscore.
    pub fn colliding_topic(&self, name: &str) -> Option<&TopicName> {
        self.names_that_may_collide.get(&topic_name::collision_key(name)?)
    }

    /// The first producer id not given to any broker yet.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    fn apply(&mut self, record: &MetadataRecord) -> Result<(), ReplayFault> {
        let outcome = match record {
            MetadataRecord::ClusterNamed { cluster_id } => self.name_cluster(cluster_id),
            MetadataRecord::FeatureLevel { name, level } => {
                self.set_feature(name, *level);
                Ok(())
            }
            MetadataRecord::BrokerRegistered { broker_id, broker_epoch, incarnation_id, listeners, rack } => {
                self.register_broker(BrokerImage {
                    id: BrokerId(*broker_id),
                    epoch: *broker_epoch,
                    incarnation_id: *incarnation_id,
                    listeners: listeners.clone(),
                    rack: rack.clone(),
                })
            }
            MetadataRecord::LeaderEpochsRaised { leader } => {
                self.raise_leader_epochs(BrokerId(*leader));
                Ok(())
            }
            MetadataRecord::TopicCreated { name, id, partitions, configs } => {
                TopicImage::created(name, TopicId(*id), partitions, configs)
                    .and_then(|topic| self.create_topic(topic))
            }
            MetadataRecord::TopicDeleted { id } => self.delete_topic(TopicId(*id)),
            MetadataRecord::ProducerIdsAllocated { next_producer_id, .. } => {
                self.allocate_producer_ids(ProducerId(*next_producer_id))
            }
            MetadataRecord::TopicConfigsChanged { id, changes } => self.change_topic(TopicId(*id), |topic| {
                change_configs(&mut topic.configs, changes);
                Ok(())
            }),
            MetadataRecord::BrokerConfigsChanged { broker_id, changes } => {
                self.change_broker_configs(broker_id.map(BrokerId), changes);
                Ok(())
            }
            MetadataRecord::PartitionsAdded { id, partitions } => {
                self.partition_count += partitions.len();
                self.change_topic(TopicId(*id), |topic| topic.add_partitions(partitions))
            }
            MetadataRecord::LeaderEpochsTakenOver { id, epochs } => {
                self.change_topic(TopicId(*id), |topic| topic.take_over_epochs(epochs))
            }
        };
        outcome.map_err(|reason| ReplayFault { record_index: self.record_count, reason })?;
        self.record_count += 1;
        Ok(())
    }

    fn name_cluster(&mut self, cluster_id: &str) -> Result<(), String> {
        if !self.cluster_id.is_empty() {
            return Err(format!("the cluster is already {}", self.cluster_id));
        }
        self.cluster_id = cluster_id.into();
        Ok(())
    }

    fn set_feature(&mut self, name: &str, level: i16) {
        let features = Arc::make_mut(&mut self.features);
        if level == 0 {
            features.remove(name);
        } else {
            features.insert(name.to_owned(), level);
        }
    }

    fn register_broker(&mut self, broker: BrokerImage) -> Result<(), String> {
        if let Some(newest) = self.brokers.values().map(|broker| broker.epoch).max()
            && broker.epoch <= newest
        {
            return Err(format!("broker epoch {} is not above {newest}", broker.epoch));
        }
        Arc::make_mut(&mut self.brokers).insert(broker.id, Arc::new(broker));
        Ok(())
    }

    fn raise_leader_epochs(&mut self, leader: BrokerId) {
        let led: Vec<Arc<TopicImage>> =
            self.topics_by_id.values().filter(|topic| topic.has_leader(leader)).cloned().collect();
        for topic in led {
            let mut topic = TopicImage::clone(&topic);
            for partition in topic.partitions.iter_mut().filter(|partition| partition.leader == Some(leader))
            {
                partition.leader_epoch = LeaderEpoch(partition.leader_epoch.0 + 1);
            }
            self.replace_topic(topic);
        }
    }

    fn change_topic(
        &mut self,
        id: TopicId,
        change: impl FnOnce(&mut TopicImage) -> Result<(), String>,
    ) -> Result<(), String> {
        let topic = self.topics_by_id.get(&id).ok_or_else(|| format!("there is no topic {id}"))?;
        let mut topic = TopicImage::clone(topic);
        change(&mut topic)?;
        self.replace_topic(topic);
        Ok(())
    }

    fn replace_topic(&mut self, topic: TopicImage) {
        let topic = Arc::new(topic);
        self.topics_by_name.insert(topic.name.clone(), topic.clone());
        self.topics_by_id.insert(topic.id, topic);
    }

    fn change_broker_configs(&mut self, broker: Option<BrokerId>, changes: &[(String, Option<String>)]) {
        let all = Arc::make_mut(&mut self.broker_configs);
        let configs = all.entry(broker).or_default();
        change_configs(configs, changes);
        if configs.is_empty() {
            all.remove(&broker);
        }
    }

    fn create_topic(&mut self, topic: TopicImage) -> Result<(), String> {
        if self.topics_by_name.get(&*topic.name).is_some() || self.topics_by_id.get(&topic.id).is_some() {
            return Err(format!("topic {} with id {} exists", topic.name, topic.id));
        }
        if let Some(key) = topic_name::collision_key(&topic.name)
            && let Some(other) = self.names_that_may_collide.insert(key, topic.name.clone())
        {
            return Err(format!("topic {} collides with {other}", topic.name));
        }
        self.partition_count += topic.partitions.len();
        let topic = Arc::new(topic);
        self.topics_by_name.insert(topic.name.clone(), topic.clone());
        self.topics_by_id.insert(topic.id, topic);
        Ok(())
    }

    fn delete_topic(&mut self, id: TopicId) -> Result<(), String> {
        let Some(topic) = self.topics_by_id.remove(&id) else {
            return Err(format!("there is no topic {id}"));
        };
        self.topics_by_name.remove(&*topic.name);
        if let Some(key) = topic_name::collision_key(&topic.name) {
            self.names_that_may_collide.remove(&key);
        }
        self.partition_count -= topic.partitions.len();
        Ok(())
    }

    fn allocate_producer_ids(&mut self, next: ProducerId) -> Result<(), String> {
        if next <= self.next_producer_id {
            return Err(format!("producer ids up to {} are given away already", self.next_producer_id));
        }
        self.next_producer_id = next;
        Ok(())
    }
}

fn change_configs(configs: &mut BTreeMap<String, String>, changes: &[(String, Option<String>)]) {
    for (name, value) in changes {
        match value {
            Some(value) => configs.insert(name.clone(), value.clone()),
            None => configs.remove(name),
        };
    }
}

impl TopicImage {
    /// Whether it holds the broker's own state.
    pub fn is_internal(&self) -> bool {
        topic_name::is_internal(&self.name)
    }

    /// One of its partitions.
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index.0).ok()?)
    }

    /// How many replicas its partitions have.
    pub fn replication_factor(&self) -> usize {
        self.partitions.first().map_or(0, |partition| partition.replicas.len())
    }

    fn created(
        name: &str,
        id: TopicId,
        partitions: &[Vec<i32>],
        configs: &[(String, String)],
    ) -> Result<TopicImage, String> {
        let mut topic = TopicImage {
            name: name.into(),
            id,
            partitions: Vec::new(),
            configs: configs.iter().cloned().collect(),
        };
        topic.add_partitions(partitions)?;
        Ok(topic)
    }

    fn add_partitions(&mut self, partitions: &[Vec<i32>]) -> Result<(), String> {
        if partitions.is_empty() || partitions.iter().any(Vec::is_empty) {
            return Err(format!("topic {} gets no partitions, or one without replicas", self.name));
        }
        let first = i32::try_from(self.partitions.len()).expect("partitions are bounded");
        let indexes = (first..).map(PartitionIndex);
        self.partitions
            .extend(indexes.zip(partitions).map(|(index, replicas)| PartitionImage::new(index, replicas)));
        Ok(())
    }

    fn take_over_epochs(&mut self, epochs: &[i32]) -> Result<(), String> {
        if epochs.len() != self.partitions.len() {
            let (found, expected) = (epochs.len(), self.partitions.len());
            return Err(format!("topic {} gets {found} leader epochs for {expected} partitions", self.name));
        }
        for (partition, epoch) in self.partitions.iter_mut().zip(epochs) {
            if *epoch < partition.leader_epoch.0 {
                let (index, known) = (partition.index, partition.leader_epoch);
                return Err(format!("partition {index} of topic {} is in epoch {known} already", self.name));
            }
            partition.leader_epoch = LeaderEpoch(*epoch);
        }
        Ok(())
    }

    fn has_leader(&self, leader: BrokerId) -> bool {
        self.partitions.iter().any(|partition| partition.leader == Some(leader))
    }
}

impl PartitionImage {
    fn new(index: PartitionIndex, replicas: &[i32]) -> PartitionImage {
        let replicas: Vec<BrokerId> = replicas.iter().copied().map(BrokerId).collect();
        PartitionImage {
            index,
            leader: replicas.first().copied(),
            leader_epoch: LeaderEpoch(0),
            in_sync_replicas: replicas.clone(),
            replicas,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, seed: u64, partitions: usize) -> MetadataRecord {
        MetadataRecord::TopicCreated {
            name: name.to_owned(),
            id: TopicId::from_random(seed, seed).0,
            partitions: vec![vec![1]; partitions],
            configs: vec![("retention.ms".to_owned(), "1000".to_owned())],
        }
    }

    fn broker(id: i32, epoch: i64) -> MetadataRecord {
        MetadataRecord::BrokerRegistered {
            broker_id: id,
            broker_epoch: epoch,
            incarnation_id: [7; 16],
            listeners: vec![],
            rack: None,
        }
    }

    #[test]
    fn a_created_topic_is_found_by_name_and_by_id_until_it_is_deleted() {
        let before = MetadataImage::default();
        let created = before.replay(&topic("orders", 1, 3));
        let found = created.topic("orders").unwrap();
        assert_eq!(created.topic_by_id(found.id).unwrap(), found);
        assert_eq!(found.partition(PartitionIndex(2)).unwrap().leader, Some(BrokerId(1)));
        assert_eq!(found.partition(PartitionIndex(3)), None);
        assert_eq!(found.partition(PartitionIndex(-1)), None);
        assert_eq!(created.partition_count(), 3);
        let deleted = created.replay(&MetadataRecord::TopicDeleted { id: found.id.0 });
        assert_eq!((deleted.topic("orders"), deleted.topic_by_id(found.id)), (None, None));
        assert_eq!((deleted.topic_count(), deleted.partition_count()), (0, 0));
        assert!(before.topic("orders").is_none() && created.topic("orders").is_some(), "images never change");
    }

    #[test]
    fn a_topic_of_another_cluster_goes_on_in_the_epochs_it_came_with() {
        let id = TopicId::from_random(1, 1).0;
        let created = MetadataImage::default().replay(&topic("orders", 1, 2));
        let mut taken = created.replay(&MetadataRecord::LeaderEpochsTakenOver { id, epochs: vec![7, 3] });
        let epochs = |image: &MetadataImage| -> Vec<i32> {
            let partitions = &image.topic("orders").unwrap().partitions;
            partitions.iter().map(|partition| partition.leader_epoch.0).collect()
        };
        assert_eq!(epochs(&taken), [7, 3]);
        assert_eq!(epochs(&taken.replay(&MetadataRecord::LeaderEpochsRaised { leader: 1 })), [8, 4]);
        for wrong in [vec![9], vec![9, 2]] {
            taken.apply(&MetadataRecord::LeaderEpochsTakenOver { id, epochs: wrong }).unwrap_err();
        }
    }

    #[test]
    fn a_name_deleted_and_created_again_is_another_topic() {
        let first = topic("orders", 1, 1);
        let second = topic("orders", 2, 1);
        let id = TopicId::from_random(1, 1);
        let image =
            MetadataImage::from_records([&first, &MetadataRecord::TopicDeleted { id: id.0 }, &second]);
        let image = image.unwrap();
        assert_eq!(image.topic("orders").unwrap().id, TopicId::from_random(2, 2));
        assert_eq!(image.topic_by_id(id), None);
    }

    #[test]
    fn a_restart_that_may_have_lost_data_raises_the_epoch_of_what_the_broker_leads() {
        let mut other = topic("other", 2, 2);
        if let MetadataRecord::TopicCreated { partitions, .. } = &mut other {
            *partitions = vec![vec![2], vec![1, 2]];
        }
        let records = [topic("orders", 1, 2), other, MetadataRecord::LeaderEpochsRaised { leader: 1 }];
        let image = MetadataImage::from_records(&records).unwrap();
        let epochs = |name| -> Vec<i32> {
            image.topic(name).unwrap().partitions.iter().map(|partition| partition.leader_epoch.0).collect()
        };
        assert_eq!((epochs("orders"), epochs("other")), (vec![1, 1], vec![0, 1]));
        let by_id = image.topic_by_id(TopicId::from_random(1, 1)).unwrap();
        assert_eq!(by_id, image.topic("orders").unwrap());
    }

    #[test]
    fn records_that_do_not_fit_are_refused_and_the_place_is_named() {
        let create = topic("a.b", 1, 1);
        for (bad, reason) in [
            (topic("a.b", 2, 1), "exists"),
            (topic("other", 1, 1), "exists"),
            (topic("a_b", 2, 1), "collides with a.b"),
            (topic("none", 3, 0), "no partitions"),
            (MetadataRecord::TopicDeleted { id: [9; 16] }, "there is no topic"),
            (broker(2, 5), "not above 5"),
            (MetadataRecord::ClusterNamed { cluster_id: "y".into() }, "already x"),
            (
                MetadataRecord::ProducerIdsAllocated { broker_id: 1, broker_epoch: 5, next_producer_id: 0 },
                "given away",
            ),
        ] {
            let named = MetadataRecord::ClusterNamed { cluster_id: "x".into() };
            let fault = MetadataImage::from_records([&named, &broker(1, 5), &create, &bad]).unwrap_err();
            assert_eq!(fault.record_index, 3);
            assert!(fault.reason.contains(reason), "{fault}");
        }
    }

    #[test]
    fn a_broker_that_registers_again_replaces_its_former_process() {
        let image = MetadataImage::from_records([&broker(1, 1), &broker(2, 2), &broker(1, 3)]).unwrap();
        assert_eq!(image.broker(BrokerId(1)).unwrap().epoch, 3);
        assert_eq!(image.brokers().len(), 2);
    }

    #[test]
    fn added_partitions_come_behind_those_there_were() {
        let id = TopicId::from_random(1, 1).0;
        let add = MetadataRecord::PartitionsAdded { id, partitions: vec![vec![2], vec![1]] };
        let image = MetadataImage::default().replay_all(&[topic("orders", 1, 2), add]);
        let orders = image.topic("orders").unwrap();
        let leaders: Vec<_> = orders
            .partitions
            .iter()
            .map(|partition| (partition.index.0, partition.leader.unwrap().0))
            .collect();
        assert_eq!(leaders, [(0, 1), (1, 1), (2, 2), (3, 1)]);
        assert_eq!(image.partition_count(), 4);
        let image = image.replay(&MetadataRecord::TopicDeleted { id });
        assert_eq!(image.partition_count(), 0);
    }

    #[test]
    fn changed_configs_are_set_and_removed_and_the_others_stay() {
        let id = TopicId::from_random(1, 1);
        let change = |changes: &[(&str, Option<&str>)]| MetadataRecord::TopicConfigsChanged {
            id: id.0,
            changes: changes.iter().map(|(name, value)| ((*name).into(), value.map(Into::into))).collect(),
        };
        let image = MetadataImage::default().replay(&topic("orders", 1, 1));
        let image = image.replay(&change(&[("segment.bytes", Some("5")), ("retention.ms", None)]));
        let topic = image.topic("orders").unwrap();
        assert_eq!(topic.configs, BTreeMap::from([("segment.bytes".to_owned(), "5".to_owned())]));
        assert_eq!(image.topic_by_id(id), Some(topic));
    }

    #[test]
    fn configs_of_one_broker_and_of_all_are_kept_apart_and_forgotten_when_empty() {
        let change = |broker_id, value: Option<&str>| MetadataRecord::BrokerConfigsChanged {
            broker_id,
            changes: vec![("log.retention.ms".into(), value.map(Into::into))],
        };
        let image = MetadataImage::default();
        let image = image.replay_all(&[change(Some(1), Some("7")), change(None, Some("8"))]);
        assert_eq!(image.broker_configs(Some(BrokerId(1)))["log.retention.ms"], "7");
        assert_eq!(image.broker_configs(None)["log.retention.ms"], "8");
        assert!(image.broker_configs(Some(BrokerId(2))).is_empty());
        let image = image.replay(&change(None, None));
        assert_eq!(image.brokers_with_configs().collect::<Vec<_>>(), [Some(BrokerId(1))]);
    }

    #[test]
    fn a_feature_at_level_zero_is_gone() {
        let level = |level| MetadataRecord::FeatureLevel { name: "group.version".into(), level };
        let image = MetadataImage::default().replay(&level(1));
        assert_eq!(image.features().get("group.version"), Some(&1));
        assert!(image.replay(&level(0)).features().is_empty());
    }

    #[test]
    fn replaying_a_record_shares_all_other_topics_with_the_image_before() {
        let mut image = MetadataImage::default();
        for seed in 0..10_000 {
            image = image.replay(&topic(&format!("topic-{seed}"), seed, 1));
        }
        let next = image.replay(&topic("one-more", 10_000, 1));
        assert_eq!(next.topic_count(), 10_001);
        for (before, after) in image.topics().zip(next.topics().filter(|topic| &*topic.name != "one-more")) {
            assert!(Arc::ptr_eq(before, after));
        }
    }
}
