//! DeleteTopics (API key 20): delete topics.

use super::prelude::*;

message! {
    /// Names topics to delete; from version 6 also by id.
    request DeleteTopicsRequest<'a> of DeleteTopics, versions 1..=6, flexible 4.. {
        topics: Vec<DeleteTopicState<'a>> [6..],
        topic_names: Vec<&'a str> [..=5],
        timeout_ms: i32,
    }

    /// A topic by name or by id.
    part DeleteTopicState<'a> {
        name: Option<&'a str>,
        topic_id: Uuid,
    }
}

message! {
    /// What became of each.
    response DeleteTopicsResponse<'a> of DeleteTopics, versions 1..=6, flexible 4.. {
        throttle_time_ms: i32,
        responses: Vec<DeletableTopicResult<'a>>,
    }

    /// The result for one topic.
    part DeletableTopicResult<'a> {
        name: Option<&'a str> [..; null 6..] = Some(""),
        topic_id: Uuid [6..],
        error_code: i16,
        error_message: Option<&'a str> [5..],
    }
}
