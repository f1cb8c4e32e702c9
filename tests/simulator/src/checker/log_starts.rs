//! What must hold of where logs begin.

use super::Violation;
use crate::history::{History, PartitionNumber};
use crate::log_starts::Told;

/// A begin that was told stays, and what lies below it is not there any more; a granted deletion did what it was asked.
pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let starts = &history.starts;
    violations.extend(starts.went_back().iter().map(|told| {
        let Told { partition, floor: seen, offset: found } = *told;
        Violation::StartWentBack { partition, seen, found }
    }));
    violations.extend(starts.read_below().iter().map(|told| {
        let Told { partition, floor: start, offset } = *told;
        Violation::ReadBelowStart { partition, offset, start }
    }));
    violations.extend(starts.refused_within().iter().map(|told| {
        let Told { partition, floor: end, offset } = *told;
        Violation::EndWentBack { partition, seen: end, refused: offset }
    }));
    for deletion in starts.deletions() {
        let (partition, Some(start)) = (deletion.partition, deletion.low_watermark) else { continue };
        if start < deletion.at_least {
            violations.push(Violation::DeletedTooLittle { partition, start, asked: deletion.at_least });
        }
    }
}

/// What neither a client nor retention took away is there.
pub(super) fn check_kept(history: &History, partition: PartitionNumber, violations: &mut Vec<Violation>) {
    let Some(start) = history.final_start(partition) else { return };
    let asked = history.starts.deletable_to(partition);
    if start.offset <= asked {
        return;
    }
    match start.kept_bytes_min {
        None => violations.push(Violation::DeletedTooMuch { partition, start: start.offset, asked }),
        Some(kept_bytes_min) if start.bytes < kept_bytes_min => {
            let (start, bytes) = (start.offset, start.bytes);
            violations.push(Violation::KeptTooLittle { partition, start, bytes, kept_bytes_min });
        }
        Some(_) => {}
    }
}
