//! Which topics a consumer reads, as far as its subscription says so in the form all Kafka's clients share.
//!
//! ```text
//!   version i16 | topics: count i32, each length i16 + name | what assignors add ...
//! ```
//!
//! Always true: this is only looked at to protect offsets in use; what is passed on to leaders and members are the
//! bytes as they came (KIP-429).

use crate::ids::TopicName;

/// The topics of a `ConsumerProtocolSubscription`; `None` if the bytes are something else.
pub(super) fn topics_of(subscription: &[u8]) -> Option<Vec<TopicName>> {
    let (version, rest) = subscription.split_first_chunk()?;
    let (count, mut rest) = rest.split_first_chunk()?;
    // Later versions only add to the end.
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        topics.push(std::str::from_utf8(name).ok()?.into());
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(version: i16, topics: &[&str], rest: &[u8]) -> Vec<u8> {
        let mut bytes = version.to_be_bytes().to_vec();
        bytes.extend((topics.len() as i32).to_be_bytes());
        for topic in topics {
            bytes.extend((topic.len() as i16).to_be_bytes());
            bytes.extend(topic.as_bytes());
        }
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn topics_are_read_whatever_the_version_adds_behind_them() {
        for (version, rest) in [(0, &[0xff, 0xff, 0xff, 0xff][..]), (3, b"owned partitions"), (9, b"")] {
            let bytes = subscription(version, &["orders", "payments"], rest);
            assert_eq!(topics_of(&bytes), Some(vec!["orders".into(), "payments".into()]));
        }
    }

    #[test]
    fn bytes_of_another_form_are_nothing() {
        assert_eq!(topics_of(b""), None);
        assert_eq!(topics_of(&subscription(-1, &["orders"], b"")), None);
        let whole = subscription(1, &["orders"], b"");
        for cut in 0..whole.len() {
            assert_eq!(topics_of(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(topics_of(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(topics_of(&[0, 0, 0, 0, 0, 1, 0, 1, 0xff]), None);
    }
}
