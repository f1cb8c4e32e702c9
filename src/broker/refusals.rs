//! What the logs' failures mean to a client. The reasons themselves go to the broker's own log where they arise.

use ringlog_core::refusal::Refusal;
use ringlog_runtime::environment::Environment;
use ringlog_storage::{AppendError, PartitionLog, ReadError};

/// A batch that a log did not take.
pub fn append_refusal(error: AppendError) -> Refusal {
    match error {
        AppendError::Failed(_) | AppendError::Damaged(_) => Refusal::Storage,
        AppendError::Closed => Refusal::ShuttingDown,
        AppendError::NoRoom => Refusal::Overloaded,
        AppendError::EpochWentBack { .. } | AppendError::OffsetWentBack { .. } => {
            unreachable!("a leader gives the offsets and its own epoch")
        }
    }
}

/// Records of a log that cannot be read.
pub fn read_refusal<E: Environment>(log: &PartitionLog<E>, error: ReadError) -> Refusal {
    match error {
        ReadError::OffsetOutOfRange { asked, log_start_offset, log_end_offset } => {
            Refusal::OffsetOutOfRange { offset: asked, log_start_offset, log_end_offset }
        }
        ReadError::Damaged(damage) => {
            let (topic, partition) = (&log.identity().topic, log.identity().id.partition);
            tracing::error!(%topic, %partition, %damage, "damaged records were asked for and not served");
            // A log that a start refused as a whole is as good as on a failed disk.
            if log.damage().is_some() { Refusal::Storage } else { Refusal::DamagedRecords }
        }
        ReadError::Disk(failure) => {
            tracing::error!(%failure, "records cannot be read");
            Refusal::Storage
        }
        ReadError::NoRoom => Refusal::Overloaded,
        ReadError::Closed => Refusal::ShuttingDown,
    }
}
