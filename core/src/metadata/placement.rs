//! What can be said to requests about leaders and replicas: with one broker every partition is where it must be.
//!
//! Always true: nothing here changes anything. What would need another broker is refused with the reason.

use super::controller::check_replicas;
use super::image::{MetadataImage, PartitionImage, TopicImage};
use crate::ids::PartitionIndex;
use crate::refusal::Refusal;

/// What an election may choose (KIP-460).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ElectionKind {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any replica, even if it may miss records, where there is no leader.
    Unclean,
}

impl ElectionKind {
    /// From the number in ElectLeaders.
    ///
    /// # Errors
    /// No election has this number.
    pub fn from_number(number: i8) -> Result<ElectionKind, Refusal> {
        match number {
            0 => Ok(ElectionKind::Preferred),
            1 => Ok(ElectionKind::Unclean),
            other => Err(Refusal::InvalidRequest {
                reason: format!("there is no election of type {other}").into(),
            }),
        }
    }
}

/// Why a partition gets no other leader: with one broker there is none.
pub fn judge_election(partition: &PartitionImage, kind: ElectionKind) -> Refusal {
    match (kind, partition.leader) {
        (ElectionKind::Preferred, Some(leader)) if partition.replicas.first() == Some(&leader) => {
            Refusal::ElectionNotNeeded
        }
        (ElectionKind::Preferred, _) => Refusal::PreferredLeaderNotAvailable,
        (ElectionKind::Unclean, Some(_)) => Refusal::ElectionNotNeeded,
        (ElectionKind::Unclean, None) => Refusal::EligibleLeadersNotAvailable,
    }
}

/// Whether a partition is on the replicas a client wants it on; none cancels a move.
///
/// # Errors
/// It would have to move, and there is nowhere to; or no move is under way.
pub fn judge_reassignment(
    image: &MetadataImage,
    partition: &PartitionImage,
    replicas: Option<&[i32]>,
) -> Result<(), Refusal> {
    let replicas = replicas.ok_or(Refusal::NoReassignmentInProgress)?;
    let invalid = |reason: String| Refusal::InvalidReplicaAssignment { reason };
    check_replicas(image, partition.index.0, replicas).map_err(invalid)?;
    match partition.replicas.iter().map(|broker| broker.0).eq(replicas.iter().copied()) {
        true => Ok(()),
        false => Err(invalid("partitions cannot be moved: this is the only broker".to_owned())),
    }
}

/// A partition by its topic's name.
///
/// # Errors
/// There is no such topic or no such partition of it.
pub fn partition_named<'i>(
    image: &'i MetadataImage,
    topic: &str,
    index: i32,
) -> Result<(&'i TopicImage, &'i PartitionImage), Refusal> {
    let topic = image.topic(topic).ok_or(Refusal::UnknownTopicOrPartition)?;
    let partition = topic.partition(PartitionIndex(index)).ok_or(Refusal::UnknownTopicOrPartition)?;
    Ok((topic, partition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{BrokerId, LeaderEpoch};

    fn partition(leader: Option<i32>) -> PartitionImage {
        PartitionImage {
            index: PartitionIndex(0),
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(0),
            replicas: vec![BrokerId(1), BrokerId(2)],
            in_sync_replicas: Vec::new(),
        }
    }

    #[test]
    fn r8_an_election_says_why_it_chooses_nobody_else() {
        let judge = |leader, kind| judge_election(&partition(leader), kind);
        assert_eq!(judge(Some(1), ElectionKind::Preferred), Refusal::ElectionNotNeeded);
        assert_eq!(judge(Some(2), ElectionKind::Preferred), Refusal::PreferredLeaderNotAvailable);
        assert_eq!(judge(None, ElectionKind::Preferred), Refusal::PreferredLeaderNotAvailable);
        assert_eq!(judge(Some(2), ElectionKind::Unclean), Refusal::ElectionNotNeeded);
        assert_eq!(judge(None, ElectionKind::Unclean), Refusal::EligibleLeadersNotAvailable);
    }

    #[test]
    fn r9_a_partition_stays_where_it_is() {
        let image = MetadataImage::default();
        let judge = |replicas: Option<&[i32]>| judge_reassignment(&image, &partition(Some(1)), replicas);
        assert_eq!(judge(None), Err(Refusal::NoReassignmentInProgress));
        assert!(matches!(judge(Some(&[1])), Err(Refusal::InvalidReplicaAssignment { .. })), "not registered");
    }
}
