//! Producing batches to their leaders, and what became of each.

use std::collections::BTreeMap;

use ringlog_core::error_code::ErrorCode;
use ringlog_net::protocol::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};

use crate::client::cluster::{Cluster, Target};
use crate::client::failure::ClientFailure;
use crate::client::offsets::{PartitionName, leaders_of};

/// Later versions name topics by id.
const PRODUCE_BY_NAME_VERSION_MAX: i16 = 12;

/// Whose acknowledgement is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// Nobody's: what is lost is lost unseen.
    None,
    /// The leader's.
    Leader,
    /// That of all replicas in sync.
    All,
}

impl Acks {
    fn to_wire(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// Sends one batch to each partition; the base offset that each got, unless nobody was to acknowledge.
///
/// # Errors
/// [`ClientFailure`] of the first that failed: others may be in their logs.
pub fn produce(
    cluster: &mut Cluster,
    batches: &BTreeMap<PartitionName, Vec<u8>>,
    acks: Acks,
) -> Result<BTreeMap<PartitionName, i64>, ClientFailure> {
    let mut left: Vec<PartitionName> = batches.keys().cloned().collect();
    let mut done = BTreeMap::new();
    cluster.patiently_while(may_be_sent_again, |cluster| {
        for (leader, led) in leaders_of(cluster, &left)? {
            let outcome = send(cluster, leader, &led, batches, acks, &mut done);
            left.retain(|name| !done.contains_key(name));
            outcome?;
        }
        Ok(())
    })?;
    Ok(done)
}

fn send(
    cluster: &mut Cluster,
    leader: i32,
    led: &[PartitionName],
    batches: &BTreeMap<PartitionName, Vec<u8>>,
    acks: Acks,
    done: &mut BTreeMap<PartitionName, i64>,
) -> Result<(), ClientFailure> {
    let mut topics: BTreeMap<&str, Vec<PartitionProduceData<'_>>> = BTreeMap::new();
    for name in led {
        let data = PartitionProduceData { index: name.partition, records: Some(&batches[name]) };
        topics.entry(&name.topic).or_default().push(data);
    }
    let topics = topics.into_iter().map(|(name, partition_data)| TopicProduceData {
        name,
        partition_data,
        ..TopicProduceData::default()
    });
    let request = ProduceRequest {
        transactional_id: None,
        acks: acks.to_wire(),
        timeout_ms: cluster.timeout_ms(),
        topic_data: topics.collect(),
    };
    let target = Target::Broker(leader);
    if acks == Acks::None {
        cluster.connection(target)?.tell_up_to(PRODUCE_BY_NAME_VERSION_MAX, &request)?;
        done.extend(led.iter().map(|name| (name.clone(), -1)));
        return Ok(());
    }
    let answer = cluster.ask_up_to(target, PRODUCE_BY_NAME_VERSION_MAX, &request)?;
    let mut failure = None;
    for topic in answer.read(ProduceResponse::decode)?.responses {
        for partition in topic.partition_responses {
            let name = PartitionName { topic: topic.name.to_owned(), partition: partition.index };
            let subject = || format!("partition {} of topic {}", name.partition, name.topic);
            match ClientFailure::check(partition.error_code, subject, partition.error_message) {
                Ok(()) => drop(done.insert(name, partition.base_offset)),
                Err(refused) => failure = Some(worse(failure, refused)),
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

/// What must not be tried again stands before what may.
fn worse(one: Option<ClientFailure>, other: ClientFailure) -> ClientFailure {
    match one {
        Some(one) if !may_be_sent_again(&one) => one,
        _ => other,
    }
}

/// Whether nothing of the batch was written, so that a second attempt cannot write it twice.
fn may_be_sent_again(failure: &ClientFailure) -> bool {
    let code = match failure {
        ClientFailure::NoLeader { .. } => return true,
        other => other.code(),
    };
    matches!(
        code,
        Some(
            ErrorCode::NotLeaderOrFollower
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::NotEnoughReplicas
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ErrorCode) -> ClientFailure {
        ClientFailure::Refused { subject: String::new(), code: code.number(), words: None }
    }

    #[test]
    fn only_what_certainly_was_not_written_is_sent_again() {
        assert!(may_be_sent_again(&refused(ErrorCode::NotLeaderOrFollower)));
        for doubtful in [ErrorCode::NotEnoughReplicasAfterAppend, ErrorCode::RequestTimedOut, ErrorCode::None]
        {
            assert!(!may_be_sent_again(&refused(doubtful)), "{doubtful}");
        }
    }

    #[test]
    fn a_final_refusal_among_passing_ones_ends_it() {
        let (passing, last) = (ErrorCode::NotLeaderOrFollower, ErrorCode::MessageTooLarge);
        for [first, second] in [[passing, last], [last, passing]] {
            let told = worse(Some(refused(first)), refused(second));
            assert_eq!(told.code(), Some(last));
        }
    }
}
