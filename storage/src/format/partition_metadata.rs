//! `partition.metadata`: Kafka's two lines that say which topic's records a directory holds. A directory's name
//! may be reused by another topic, an id never is.

use ringlog_core::ids::TopicId;

/// The file's content.
pub fn to_text(topic: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic}\n")
}

/// Reads it; `None` if it is not such a file.
pub fn parse(bytes: &[u8]) -> Option<TopicId> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    let (version, topic) = (lines.next()?, lines.next()?);
    if version.trim() != "version: 0" {
        return None;
    }
    TopicId::parse(topic.strip_prefix("topic_id:")?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kafkas_and_reads_back() {
        let topic = TopicId::from_random(3, 4);
        assert_eq!(to_text(topic), format!("version: 0\ntopic_id: {topic}\n"));
        assert_eq!(parse(to_text(topic).as_bytes()), Some(topic));
        for text in
            ["", "version: 1\ntopic_id: AAAAAAAAAAEAAAAAAAAAAg\n", "version: 0\n", "version: 0\nx: y\n"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
