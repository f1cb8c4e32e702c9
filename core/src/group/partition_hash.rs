//! Which partition of `__consumer_offsets` holds a group: Kafka's own rule, as clients' tools compute it too.
//!
//! ```text
//!   "orders" ──► Java's String.hashCode ──► absolute value ──► mod 50 ──► partition 31
//! ```
//!
//! Always true: the answer depends on the name and the number of partitions alone.

use crate::ids::PartitionIndex;

/// The partition of `__consumer_offsets` that a group's records go to.
pub fn partition_of_group(group: &str, partition_count: i32) -> PartitionIndex {
    // The smallest number has no positive twin: Kafka takes zero for it, and does not cut the sign bit off.
    let positive = java_hash(group).checked_abs().unwrap_or(0);
    PartitionIndex(positive % partition_count.max(1))
}

/// Java's `String.hashCode`: over UTF-16 code units, whatever the text.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_the_hash_is_javas_over_utf16_units() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        // Two units of a surrogate pair: 0xd83d * 31 + 0xde00.
        assert_eq!(java_hash("\u{1f600}"), 0xd83d * 31 + 0xde00);
    }

    #[test]
    fn g1_the_smallest_hash_goes_to_partition_zero_and_others_by_their_absolute_value() {
        assert_eq!(partition_of_group("polygenelubricants", 50), PartitionIndex(0));
        assert_eq!(partition_of_group("hello", 50), PartitionIndex(22));
        assert_eq!(java_hash("orders"), -1_008_770_331);
        assert_eq!(partition_of_group("orders", 50), PartitionIndex(31), "17, were the sign bit cut off");
    }

    #[test]
    fn a_topic_without_partitions_is_no_reason_to_fall_over() {
        assert_eq!(partition_of_group("hello", 0), PartitionIndex(0));
    }
}
