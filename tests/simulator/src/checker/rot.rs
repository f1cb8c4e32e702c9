//! What must hold of a medium that ages: its damage is found and told, refused, and nothing else is.

use super::Violation;
use crate::history::{History, Reported};
use crate::rot::{RottenBlock, is_unreadable};

/// Reports name what is damaged and no more; what is damaged is found; nothing of it is served, and all else is.
pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    for (when, report) in history.reports_of_damage() {
        let is_true = match when {
            Reported::AtLast => |block: &RottenBlock, report: &str| block.is_told_by(report),
            Reported::AmongFaults => {
                |block: &RottenBlock, report: &str| block.is_told_by(report) || block.is_half_told_by(report)
            }
        };
        let is_fault = *when == Reported::AmongFaults && is_unreadable(report);
        let mut rotten = history.rotten().iter();
        if !is_fault && !rotten.any(|block| is_true(block, report) || block.is_met_by(report)) {
            violations.push(Violation::ReportedDamage { report: report.clone() });
        }
    }
    violations.extend(history.unfound().iter().map(|block| Violation::DamageNotFound {
        partition: block.partition,
        path: block.path.display().to_string(),
        bytes: block.bytes.clone(),
        offsets: block.offsets.clone(),
    }));
    for block in history.rotten().iter().filter(|block| block.is_on_disk_alone) {
        let log = history.final_log(block.partition);
        if let Some((offset, _)) = log.iter().find(|(offset, _)| block.offsets.contains(offset)) {
            violations.push(Violation::DamageServed {
                partition: block.partition,
                offset: *offset,
                path: block.path.display().to_string(),
                bytes: block.bytes.clone(),
            });
        }
    }
    let refused = history.refused_sound().iter();
    violations.extend(
        refused.map(|(partition, offset)| Violation::RefusedSound { partition: *partition, offset: *offset }),
    );
}
