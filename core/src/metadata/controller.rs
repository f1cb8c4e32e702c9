//! The controller's decisions: a command and the image it meets become records and a reply.
//!
//! ```text
//!   command ──► decide(image, rules) ──► Decision { records, reply } ──► log, durable ──► replay ──► reply leaves
//! ```
//!
//! Always true: deciding changes nothing; records fit the image they were decided on; the topics of one request
//! are judged one by one, in order, each as if those before it existed (KIP-464, KIP-525; Kafka's
//! `ReplicationControlManager` gives the same answers).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::alter_configs::{AlterConfigs, alter_configs};
use super::create_partitions::{CreatePartitions, create_partitions};
use super::features::missing_levels;
use super::image::{MetadataImage, TopicImage};
use super::record::{ListenerRecord, MetadataRecord};
use super::topic_name;
use crate::config::BrokerConfig;
use crate::ids::{BrokerId, ProducerId, TopicId};
use crate::limits::StateLimits;
use crate::refusal::Refusal;

/// How many producer ids are given out at once (KIP-730).
pub const PRODUCER_ID_BLOCK: i64 = 1_000;

/// What the controller is asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A broker process joins.
    RegisterBroker(Registration),
    /// Create topics.
    CreateTopics {
        /// Which.
        topics: Vec<CreateTopic>,
        /// Answer as if, and do nothing.
        validate_only: bool,
    },
    /// Delete topics.
    DeleteTopics(Vec<TopicSelector>),
    /// Allot producer ids nobody had before to a broker.
    AllocateProducerIds(BrokerId),
    /// Change configurations.
    AlterConfigs {
        /// Of what, and how.
        resources: Vec<AlterConfigs>,
        /// Answer as if, and do nothing.
        validate_only: bool,
    },
    /// Give topics more partitions.
    CreatePartitions {
        /// Which, and how many.
        topics: Vec<CreatePartitions>,
        /// Answer as if, and do nothing.
        validate_only: bool,
    },
}

/// A broker process that joins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// `node.id`.
    pub broker: BrokerId,
    /// Random, one per process.
    pub incarnation_id: [u8; 16],
    /// Where clients reach it.
    pub listeners: Vec<ListenerRecord>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Whether its last stop may have lost what was not synced.
    pub after: LastStop,
}

/// How a broker stopped before it joined again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastStop {
    /// It closed its logs, or it never ran.
    Clean,
    /// It did not.
    Unclean,
}

/// A topic to create.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CreateTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the default.
    pub partition_count: i32,
    /// How many replicas each; -1 for the default.
    pub replication_factor: i16,
    /// Partition index and its replicas, where the client places them itself.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Configuration overrides; `None` asks for the default.
    pub configs: Vec<(String, Option<String>)>,
}

impl CreateTopic {
    /// A topic of which only the name is known.
    pub fn with_defaults(name: &str) -> CreateTopic {
        CreateTopic {
            name: name.to_owned(),
            partition_count: -1,
            replication_factor: -1,
            ..CreateTopic::default()
        }
    }
}

/// Which topic to delete.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TopicSelector {
    /// The one with this name now.
    Name(String),
    /// The one with this id.
    Id(TopicId),
}

/// Judges the configuration overrides given for a topic, and returns them in normal form.
pub type CheckConfigs<'r> =
    dyn Fn(&[(String, Option<String>)]) -> Result<BTreeMap<String, String>, Refusal> + 'r;

/// What the broker's configuration says about new topics.
pub struct CreationRules<'r> {
    /// `num.partitions`.
    pub partition_count: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
    /// `delete.topic.enable`.
    pub may_delete: bool,
    /// How many topics and partitions there may be.
    pub limits: &'r StateLimits,
    /// What topics inherit, without what was changed while the broker ran.
    pub broker: &'r BrokerConfig,
    /// Judges a topic's configuration overrides.
    pub check_configs: &'r CheckConfigs<'r>,
}

/// Records to write, and what to answer once they are durable and every shard acts by them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// In order.
    pub records: Vec<MetadataRecord>,
    /// The answer.
    pub reply: CommandReply,
}

/// The answer to a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandReply {
    /// To [`Command::RegisterBroker`]: the broker's epoch.
    Registered(i64),
    /// To [`Command::CreateTopics`]: a result for each name, duplicates once.
    TopicsCreated(Vec<(String, Result<CreatedTopic, Refusal>)>),
    /// To [`Command::DeleteTopics`]: a result for each topic, duplicates once.
    TopicsDeleted(Vec<(TopicSelector, Result<DeletedTopic, Refusal>)>),
    /// To [`Command::AllocateProducerIds`].
    ProducerIds {
        /// The first id.
        first: ProducerId,
        /// How many from there.
        count: i64,
    },
    /// To [`Command::AlterConfigs`]: a result for each resource, in order.
    ConfigsAltered(Vec<Result<(), Refusal>>),
    /// To [`Command::CreatePartitions`]: a result for each name, duplicates once.
    PartitionsCreated(Vec<(String, Result<(), Refusal>)>),
    /// The command as a whole is refused; nothing was done.
    Refused(Refusal),
}

/// A topic as it was created, or would be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreatedTopic {
    /// Its id; zero if it was only validated.
    pub id: TopicId,
    /// How many partitions.
    pub partition_count: usize,
    /// How many replicas each.
    pub replication_factor: usize,
    /// Its configuration overrides.
    pub configs: BTreeMap<String, String>,
}

/// A topic that is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedTopic {
    /// The name it had.
    pub name: String,
    /// The id it had.
    pub id: TopicId,
}

/// Decides a command. `random` draws ids.
pub fn decide(
    image: &MetadataImage,
    rules: &CreationRules<'_>,
    command: Command,
    random: &mut dyn FnMut() -> u64,
) -> Decision {
    match command {
        Command::RegisterBroker(registration) => register(image, registration, random),
        Command::CreateTopics { topics, validate_only } => {
            create_topics(image, rules, topics, validate_only, random)
        }
        Command::DeleteTopics(selectors) => delete_topics(image, rules, selectors),
        Command::AllocateProducerIds(broker) => allocate_producer_ids(image, broker),
        Command::AlterConfigs { resources, validate_only } => {
            alter_configs(image, rules, &resources, validate_only)
        }
        Command::CreatePartitions { topics, validate_only } => {
            create_partitions(image, rules, topics, validate_only)
        }
    }
}

fn register(image: &MetadataImage, registration: Registration, random: &mut dyn FnMut() -> u64) -> Decision {
    let mut records = Vec::new();
    if image.cluster_id().is_empty() {
        let cluster_id = new_id(random, |_| false).to_string();
        records.push(MetadataRecord::ClusterNamed { cluster_id });
    }
    records.extend(missing_levels(image));
    let epoch = image.brokers().map(|broker| broker.epoch).max().unwrap_or(0) + 1;
    records.push(MetadataRecord::BrokerRegistered {
        broker_id: registration.broker.0,
        broker_epoch: epoch,
        incarnation_id: registration.incarnation_id,
        listeners: registration.listeners,
        rack: registration.rack,
    });
    if registration.after == LastStop::Unclean {
        records.push(MetadataRecord::LeaderEpochsRaised { leader: registration.broker.0 });
    }
    Decision { records, reply: CommandReply::Registered(epoch) }
}

fn allocate_producer_ids(image: &MetadataImage, broker: BrokerId) -> Decision {
    let first = image.next_producer_id();
    let Some(registered) = image.broker(broker) else {
        return refused(Refusal::BrokerNotRegistered { broker });
    };
    let record = MetadataRecord::ProducerIdsAllocated {
        broker_id: broker.0,
        broker_epoch: registered.epoch,
        next_producer_id: first.0 + PRODUCER_ID_BLOCK,
    };
    Decision { records: vec![record], reply: CommandReply::ProducerIds { first, count: PRODUCER_ID_BLOCK } }
}

fn create_topics(
    image: &MetadataImage,
    rules: &CreationRules<'_>,
    topics: Vec<CreateTopic>,
    validate_only: bool,
    random: &mut dyn FnMut() -> u64,
) -> Decision {
    let twice = repeated(topics.iter().map(|topic| topic.name.clone()));
    let partitions_asked: usize = topics.iter().map(|topic| partitions_wanted(topic, rules)).sum();
    if partitions_asked > rules.limits.partitions_per_request_max {
        let most = rules.limits.partitions_per_request_max;
        let reason = format!("{partitions_asked} partitions in one request, where {most} are allowed");
        return refused(Refusal::LimitReached { reason });
    }
    let mut next = image.clone();
    let mut decision = Decision { records: Vec::new(), reply: CommandReply::TopicsCreated(Vec::new()) };
    let mut results = Vec::with_capacity(topics.len());
    let mut answered = BTreeSet::new();
    for topic in topics {
        if twice.contains(&topic.name) {
            if answered.insert(topic.name.clone()) {
                results.push((topic.name, Err(Refusal::invalid_request("the topic is named twice"))));
            }
            continue;
        }
        let result = create_topic(&next, rules, &topic, random).map(|(record, mut created)| {
            next = next.replay(&record);
            decision.records.push(record);
            if validate_only {
                created.id = TopicId::ZERO;
            }
            created
        });
        results.push((topic.name, result));
    }
    if validate_only {
        decision.records.clear();
    }
    decision.reply = CommandReply::TopicsCreated(results);
    decision
}

fn create_topic(
    image: &MetadataImage,
    rules: &CreationRules<'_>,
    topic: &CreateTopic,
    random: &mut dyn FnMut() -> u64,
) -> Result<(MetadataRecord, CreatedTopic), Refusal> {
    check_name(image, &topic.name)?;
    let partitions = match topic.assignments.is_empty() {
        true => spread(image, rules, topic)?,
        false => check_assignments(image, topic)?,
    };
    check_room(image, rules.limits, partitions.len())?;
    let configs = (rules.check_configs)(&topic.configs)?;
    let id = new_id(random, |id| image.topic_by_id(id).is_some());
    let created = CreatedTopic {
        id,
        partition_count: partitions.len(),
        replication_factor: partitions[0].len(),
        configs: configs.clone(),
    };
    let record = MetadataRecord::TopicCreated {
        name: topic.name.clone(),
        id: id.0,
        partitions,
        configs: configs.into_iter().collect(),
    };
    Ok((record, created))
}

fn check_name(image: &MetadataImage, name: &str) -> Result<(), Refusal> {
    if image.topic(name).is_some() {
        return Err(Refusal::TopicAlreadyExists { name: name.to_owned() });
    }
    topic_name::check(name).map_err(|reason| Refusal::InvalidTopicName { reason })?;
    if name == topic_name::CLUSTER_METADATA_TOPIC {
        return Err(Refusal::invalid_request("the metadata log is no topic to create"));
    }
    match image.colliding_topic(name) {
        Some(other) => Err(Refusal::InvalidTopicName {
            reason: format!("topic '{name}' collides with existing topic '{other}'"),
        }),
        None => Ok(()),
    }
}

/// Lays partitions out over the brokers, each partition's leader one further than the last one's.
fn spread(
    image: &MetadataImage,
    rules: &CreationRules<'_>,
    topic: &CreateTopic,
) -> Result<Vec<Vec<i32>>, Refusal> {
    let partition_count = match topic.partition_count {
        -1 => rules.partition_count,
        count if count > 0 => count,
        count => {
            let reason =
                format!("the number of partitions must be larger than 0, or -1 for the default, not {count}");
            return Err(Refusal::InvalidPartitions { reason });
        }
    };
    let replica_count = match topic.replication_factor {
        -1 => rules.replication_factor,
        count if count > 0 => count,
        count => {
            let reason =
                format!("the replication factor must be larger than 0, or -1 for the default, not {count}");
            return Err(Refusal::InvalidReplicationFactor { reason });
        }
    };
    let brokers: Vec<i32> = image.brokers().map(|broker| broker.id.0).collect();
    let (partition_count, replica_count) = (partition_count as usize, replica_count as usize);
    if replica_count > brokers.len() {
        let reason = format!(
            "a replication factor of {replica_count} cannot be reached: {} broker(s) are registered",
            brokers.len()
        );
        return Err(Refusal::InvalidReplicationFactor { reason });
    }
    // Bounded before anything is allocated for it.
    check_room(image, rules.limits, partition_count)?;
    Ok(laid_out(&brokers, 0..partition_count, replica_count))
}

/// Replicas for partitions of these indexes, each one's leader one broker further than the last one's.
pub(super) fn laid_out(brokers: &[i32], partitions: Range<usize>, replica_count: usize) -> Vec<Vec<i32>> {
    let place = |partition: usize, replica: usize| brokers[(partition + replica) % brokers.len()];
    partitions
        .map(|partition| (0..replica_count).map(|replica| place(partition, replica)).collect())
        .collect()
}

fn check_assignments(image: &MetadataImage, topic: &CreateTopic) -> Result<Vec<Vec<i32>>, Refusal> {
    if topic.replication_factor != -1 {
        return Err(Refusal::invalid_request("replicas are assigned: the replication factor must be -1"));
    }
    if topic.partition_count != -1 {
        return Err(Refusal::invalid_request("replicas are assigned: the number of partitions must be -1"));
    }
    let invalid = |reason: String| Refusal::InvalidReplicaAssignment { reason };
    let mut by_index = BTreeMap::new();
    for (index, replicas) in &topic.assignments {
        if by_index.insert(*index, replicas).is_some() {
            return Err(invalid(format!("partition {index} is assigned twice")));
        }
        check_replicas(image, *index, replicas).map_err(invalid)?;
    }
    if by_index.keys().copied().ne(0..by_index.len() as i32) {
        return Err(invalid("partitions must be numbered from 0 without gaps".to_owned()));
    }
    let sizes: BTreeSet<usize> = by_index.values().map(|replicas| replicas.len()).collect();
    if sizes.len() > 1 {
        return Err(invalid("all partitions need the same number of replicas".to_owned()));
    }
    Ok(by_index.into_values().cloned().collect())
}

pub(super) fn check_replicas(image: &MetadataImage, index: i32, replicas: &[i32]) -> Result<(), String> {
    if replicas.is_empty() {
        return Err(format!("partition {index} has no replicas"));
    }
    if !repeated(replicas.iter()).is_empty() {
        return Err(format!("partition {index} names a broker twice"));
    }
    match replicas.iter().find(|replica| image.broker(BrokerId(**replica)).is_none()) {
        Some(unknown) => Err(format!("partition {index} names broker {unknown}, which is not registered")),
        None => Ok(()),
    }
}

fn check_room(image: &MetadataImage, limits: &StateLimits, partition_count: usize) -> Result<(), Refusal> {
    if image.topic_count() >= limits.topics_max {
        return Err(Refusal::LimitReached {
            reason: format!("there are {} topics, the most allowed", limits.topics_max),
        });
    }
    check_partition_room(image, limits, partition_count, partition_count)
}

/// Whether so many partitions may be added to a topic that then has so many.
pub(super) fn check_partition_room(
    image: &MetadataImage,
    limits: &StateLimits,
    added: usize,
    partition_count: usize,
) -> Result<(), Refusal> {
    if partition_count > limits.partitions_per_topic_max {
        let reason = format!(
            "{partition_count} partitions, where a topic may have {}",
            limits.partitions_per_topic_max
        );
        return Err(Refusal::InvalidPartitions { reason });
    }
    if image.partition_count() + added > limits.partitions_max {
        let reason = format!(
            "{added} more partitions besides {}, where {} are allowed",
            image.partition_count(),
            limits.partitions_max
        );
        return Err(Refusal::LimitReached { reason });
    }
    Ok(())
}

fn delete_topics(
    image: &MetadataImage,
    rules: &CreationRules<'_>,
    selectors: Vec<TopicSelector>,
) -> Decision {
    let twice = repeated(selectors.iter().cloned());
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(selectors.len());
    let mut deleted = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for selector in selectors {
        let result = if !rules.may_delete {
            Err(Refusal::TopicDeletionDisabled)
        } else if twice.contains(&selector) {
            if !answered.insert(selector.clone()) {
                continue;
            }
            Err(Refusal::invalid_request("the topic is named twice"))
        } else {
            selected(image, &selector).and_then(|topic| match deleted.insert(topic.id) {
                true => Ok(DeletedTopic { name: topic.name.to_string(), id: topic.id }),
                false => Err(Refusal::invalid_request("the topic is given by name and by id")),
            })
        };
        if let Ok(topic) = &result {
            records.push(MetadataRecord::TopicDeleted { id: topic.id.0 });
        }
        results.push((selector, result));
    }
    Decision { records, reply: CommandReply::TopicsDeleted(results) }
}

fn selected<'i>(image: &'i MetadataImage, selector: &TopicSelector) -> Result<&'i TopicImage, Refusal> {
    match selector {
        TopicSelector::Name(name) => {
            image.topic(name).map(|topic| &**topic).ok_or(Refusal::UnknownTopicOrPartition)
        }
        TopicSelector::Id(id) => image.topic_by_id(*id).map(|topic| &**topic).ok_or(Refusal::UnknownTopicId),
    }
}

pub(super) fn refused(refusal: Refusal) -> Decision {
    Decision { records: Vec::new(), reply: CommandReply::Refused(refusal) }
}

/// As many partitions as a topic asks for, for the bound on a request; what is impossible counts as none.
fn partitions_wanted(topic: &CreateTopic, rules: &CreationRules<'_>) -> usize {
    if !topic.assignments.is_empty() {
        return topic.assignments.len();
    }
    let count = if topic.partition_count == -1 { rules.partition_count } else { topic.partition_count };
    usize::try_from(count).unwrap_or(0)
}

/// What occurs more than once.
pub(super) fn repeated<T: Ord + Clone>(items: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| !seen.insert(item.clone())).collect()
}

fn new_id(random: &mut dyn FnMut() -> u64, taken: impl Fn(TopicId) -> bool) -> TopicId {
    loop {
        let id = TopicId::from_random(random(), random());
        if !id.is_reserved() && !taken(id) {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::limits::Limits;

    const LIMITS: StateLimits = Limits::production().state;
    static BROKER: LazyLock<BrokerConfig> = LazyLock::new(|| BrokerConfig::from_properties("").unwrap().0);

    fn rules() -> CreationRules<'static> {
        CreationRules {
            partition_count: 3,
            replication_factor: 1,
            may_delete: true,
            limits: &LIMITS,
            broker: &BROKER,
            check_configs: &|configs| match configs.iter().find(|(key, _)| key == "unknown") {
                Some(_) => Err(Refusal::InvalidConfig { reason: "unknown".to_owned() }),
                None => {
                    Ok(configs.iter().map(|(key, value)| (key.clone(), value.clone().unwrap())).collect())
                }
            },
        }
    }

    fn drawer() -> impl FnMut() -> u64 {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        move || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            state
        }
    }

    fn run(image: &MetadataImage, command: Command) -> (MetadataImage, CommandReply) {
        let decision = decide(image, &rules(), command, &mut drawer());
        (image.replay_all(&decision.records), decision.reply)
    }

    fn registration() -> Registration {
        Registration {
            broker: BrokerId(1),
            incarnation_id: [7; 16],
            listeners: Vec::new(),
            rack: None,
            after: LastStop::Clean,
        }
    }

    fn one_broker() -> MetadataImage {
        run(&MetadataImage::default(), Command::RegisterBroker(registration())).0
    }

    fn create(
        image: &MetadataImage,
        topics: Vec<CreateTopic>,
    ) -> (MetadataImage, Vec<Result<CreatedTopic, Refusal>>) {
        let (image, reply) = run(image, Command::CreateTopics { topics, validate_only: false });
        let CommandReply::TopicsCreated(results) = reply else { panic!("{reply:?}") };
        (image, results.into_iter().map(|(_, result)| result).collect())
    }

    #[test]
    fn the_first_registration_names_the_cluster_and_later_ones_do_not() {
        let image = one_broker();
        assert_eq!(image.cluster_id().len(), 22);
        let again = Registration {
            broker: BrokerId(1),
            incarnation_id: [8; 16],
            listeners: Vec::new(),
            rack: None,
            after: LastStop::Unclean,
        };
        let (later, reply) = run(&image, Command::RegisterBroker(again));
        assert_eq!((later.cluster_id(), reply), (image.cluster_id(), CommandReply::Registered(2)));
    }

    #[test]
    fn an_unclean_stop_raises_the_leader_epochs() {
        let (image, _) = create(&one_broker(), vec![CreateTopic::with_defaults("orders")]);
        let before = image.topic("orders").unwrap().partitions[0].leader_epoch;
        let again = Registration {
            broker: BrokerId(1),
            incarnation_id: [8; 16],
            listeners: Vec::new(),
            rack: None,
            after: LastStop::Unclean,
        };
        let (image, _) = run(&image, Command::RegisterBroker(again));
        assert_eq!(image.topic("orders").unwrap().partitions[0].leader_epoch.0, before.0 + 1);
    }

    #[test]
    fn a3_minus_one_means_the_brokers_defaults() {
        let (image, results) = create(&one_broker(), vec![CreateTopic::with_defaults("orders")]);
        let created = results[0].as_ref().unwrap();
        assert_eq!((created.partition_count, created.replication_factor), (3, 1));
        assert_eq!(image.topic("orders").unwrap().id, created.id);
    }

    #[test]
    fn a3_a_name_given_twice_is_refused_once_and_the_others_are_created() {
        let topics = ["a", "b", "a"].map(CreateTopic::with_defaults).to_vec();
        let (image, results) = create(&one_broker(), topics);
        assert!(matches!(results[..], [Err(Refusal::InvalidRequest { .. }), Ok(_)]), "{results:?}");
        assert!(image.topic("a").is_none() && image.topic("b").is_some());
    }

    #[test]
    fn a3_validate_only_has_no_effect() {
        let image = one_broker();
        let topics = vec![CreateTopic::with_defaults("orders")];
        let decision =
            decide(&image, &rules(), Command::CreateTopics { topics, validate_only: true }, &mut drawer());
        assert_eq!(decision.records, []);
        let CommandReply::TopicsCreated(results) = decision.reply else { panic!() };
        assert_eq!(results[0].1.as_ref().unwrap().id, TopicId::ZERO);
    }

    #[test]
    fn a2_names_that_collide_or_exist_or_break_the_rules_are_refused() {
        let (image, _) = create(&one_broker(), vec![CreateTopic::with_defaults("a.b")]);
        let names = ["a.b", "a_b", "bad name", "__cluster_metadata"];
        let (_, results) = create(&image, names.map(CreateTopic::with_defaults).to_vec());
        assert!(matches!(
            results[..],
            [
                Err(Refusal::TopicAlreadyExists { .. }),
                Err(Refusal::InvalidTopicName { .. }),
                Err(Refusal::InvalidTopicName { .. }),
                Err(Refusal::InvalidRequest { .. }),
            ]
        ));
    }

    #[test]
    fn impossible_counts_are_refused_with_the_reason() {
        let image = one_broker();
        let with = |partition_count, replication_factor| {
            let topic =
                CreateTopic { partition_count, replication_factor, ..CreateTopic::with_defaults("t") };
            create(&image, vec![topic]).1.remove(0)
        };
        assert!(matches!(with(0, 1), Err(Refusal::InvalidPartitions { .. })));
        assert!(matches!(with(1, 0), Err(Refusal::InvalidReplicationFactor { .. })));
        assert!(matches!(with(1, 2), Err(Refusal::InvalidReplicationFactor { .. })));
        assert!(with(5, 1).is_ok());
        let reply = run(
            &image,
            Command::CreateTopics {
                topics: vec![CreateTopic { partition_count: i32::MAX, ..CreateTopic::with_defaults("t") }],
                validate_only: false,
            },
        )
        .1;
        assert!(matches!(reply, CommandReply::Refused(Refusal::LimitReached { .. })));
    }

    #[test]
    fn r12_manual_assignments_are_checked() {
        let image = one_broker();
        let with = |assignments: Vec<(i32, Vec<i32>)>| {
            create(&image, vec![CreateTopic { assignments, ..CreateTopic::with_defaults("t") }]).1.remove(0)
        };
        assert_eq!(with(vec![(1, vec![1]), (0, vec![1])]).unwrap().partition_count, 2);
        for wrong in [
            vec![(0, vec![1, 1])],
            vec![(0, vec![9])],
            vec![(0, vec![])],
            vec![(1, vec![1])],
            vec![(0, vec![1]), (0, vec![1])],
        ] {
            assert!(matches!(with(wrong), Err(Refusal::InvalidReplicaAssignment { .. })));
        }
    }

    #[test]
    fn a_topic_with_an_unknown_config_is_refused_and_a_known_one_is_kept() {
        let with = |key: &str| {
            let configs = vec![(key.to_owned(), Some("1".to_owned()))];
            create(&one_broker(), vec![CreateTopic { configs, ..CreateTopic::with_defaults("t") }])
        };
        assert!(matches!(with("unknown").1[0], Err(Refusal::InvalidConfig { .. })));
        assert_eq!(with("segment.bytes").0.topic("t").unwrap().configs["segment.bytes"], "1");
    }

    #[test]
    fn a_deleted_topic_is_gone_and_its_name_gets_another_id() {
        let (image, first) = create(&one_broker(), vec![CreateTopic::with_defaults("orders")]);
        let (image, reply) =
            run(&image, Command::DeleteTopics(vec![TopicSelector::Name("orders".to_owned())]));
        assert!(matches!(&reply, CommandReply::TopicsDeleted(results) if results[0].1.is_ok()));
        assert!(image.topic("orders").is_none());
        let mut other = drawer();
        other();
        let topics = vec![CreateTopic::with_defaults("orders")];
        let decision =
            decide(&image, &rules(), Command::CreateTopics { topics, validate_only: false }, &mut other);
        let CommandReply::TopicsCreated(second) = decision.reply else { panic!() };
        assert_ne!(first[0].as_ref().unwrap().id, second[0].1.as_ref().unwrap().id);
    }

    #[test]
    fn unknown_topics_are_not_deleted() {
        let selectors = vec![TopicSelector::Name("no".to_owned()), TopicSelector::Id(TopicId([9; 16]))];
        let (_, reply) = run(&one_broker(), Command::DeleteTopics(selectors));
        let CommandReply::TopicsDeleted(results) = reply else { panic!() };
        assert_eq!(results[0].1, Err(Refusal::UnknownTopicOrPartition));
        assert_eq!(results[1].1, Err(Refusal::UnknownTopicId));
    }

    #[test]
    fn the_first_broker_finalises_the_features_and_a_level_that_there_is_stays() {
        let levels = |image: &MetadataImage| image.features().clone();
        let first = one_broker();
        assert_eq!(levels(&first), BTreeMap::from([("metadata.version".to_owned(), 30)]));
        let lower = MetadataRecord::FeatureLevel { name: "metadata.version".into(), level: 25 };
        let joined = run(&first.replay(&lower), Command::RegisterBroker(registration())).0;
        assert_eq!(levels(&joined)["metadata.version"], 25);
    }

    #[test]
    fn producer_ids_are_never_given_twice() {
        let (image, first) = run(&one_broker(), Command::AllocateProducerIds(BrokerId(1)));
        let (_, second) = run(&image, Command::AllocateProducerIds(BrokerId(1)));
        assert_eq!(first, CommandReply::ProducerIds { first: ProducerId(0), count: 1_000 });
        assert_eq!(second, CommandReply::ProducerIds { first: ProducerId(1_000), count: 1_000 });
    }
}
