//! What was sent and what was acknowledged: by producer and partition, in records.
//!
//! Always true: it is written when a request leaves and when its answer comes; what is neither acknowledged nor refused
//! when the run ends counts as not acknowledged.

use std::collections::BTreeMap;
use std::ops::Range;

/// All accounts of a run.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<(u32, i32), Account>,
}

/// What one producer sent to one partition.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Records sent: their numbers are below this.
    pub sent: u64,
    unacknowledged: Vec<Range<u64>>,
}

impl Ledger {
    /// So many more records were sent; the number of the first of them.
    pub fn sent(&mut self, producer: u32, partition: i32, records: u64) -> u64 {
        let account = self.accounts.entry((producer, partition)).or_default();
        account.sent += records;
        account.sent - records
    }

    /// These were refused, or nobody will ever say what became of them.
    pub fn unacknowledged(&mut self, producer: u32, partition: i32, sequences: Range<u64>) {
        let account = self.accounts.entry((producer, partition)).or_default();
        match account.unacknowledged.last_mut() {
            Some(last) if last.end == sequences.start => last.end = sequences.end,
            _ => account.unacknowledged.push(sequences),
        }
    }

    /// Everything, as producer, partition and account.
    pub fn accounts(&self) -> impl Iterator<Item = (u32, i32, &Account)> {
        self.accounts.iter().map(|((producer, partition), account)| (*producer, *partition, account))
    }

    /// Records sent to a partition.
    pub fn sent_to(&self, partition: i32) -> u64 {
        self.accounts().filter(|(_, to, _)| *to == partition).map(|(_, _, account)| account.sent).sum()
    }
}

impl Account {
    /// Whether the record's acknowledgement came.
    pub fn was_acknowledged(&self, sequence: u64) -> bool {
        !self.unacknowledged.iter().any(|range| range.contains(&sequence))
    }

    /// How many acknowledgements came, in records.
    pub fn acknowledged(&self) -> u64 {
        self.sent - self.unacknowledged.iter().map(|range| range.end - range.start).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_and_doubtful_ones_are_remembered() {
        let mut ledger = Ledger::default();
        assert_eq!((ledger.sent(1, 0, 10), ledger.sent(1, 0, 10), ledger.sent(1, 5, 10)), (0, 10, 0));
        ledger.unacknowledged(1, 0, 10..15);
        ledger.unacknowledged(1, 0, 15..20);
        let (_, _, account) = ledger.accounts().next().unwrap();
        assert_eq!((account.sent, account.acknowledged(), account.unacknowledged.len()), (20, 10, 1));
        assert!(
            account.was_acknowledged(9) && !account.was_acknowledged(10) && !account.was_acknowledged(19)
        );
        assert_eq!((ledger.sent_to(0), ledger.sent_to(5), ledger.sent_to(9)), (20, 10, 0));
    }
}
