//! Which topic names are allowed (rule A2), which topics are the broker's own, and which names collide.
//!
//! Always true: an allowed name is also an allowed directory name with a partition number behind it:
//! 249 + `-` + 5 digits stays below the 255 bytes of a file name.

/// The longest allowed name.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// The topic that holds groups and the offsets they committed.
pub const CONSUMER_OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Topics that hold the broker's own state; clients may read them, but not write or create them freely.
pub const INTERNAL_TOPICS: [&str; 3] = [CONSUMER_OFFSETS_TOPIC, "__share_group_state", "__transaction_state"];

/// The name of the metadata log, which is no topic for clients.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether the topic holds the broker's own state.
pub fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

/// Checks a name for a new topic.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the topic name is empty".to_owned());
    }
    if name == "." || name == ".." {
        return Err(format!("'{name}' is not allowed as a topic name"));
    }
    if let Some(foreign) = name.chars().find(|&symbol| !is_legal(symbol)) {
        return Err(format!(
            "the topic name has {foreign:?}; only a-z, A-Z, 0-9, '.', '_' and '-' are allowed"
        ));
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        let length = name.len();
        return Err(format!("the topic name has {length} characters, {TOPIC_NAME_BYTES_MAX} are allowed"));
    }
    Ok(())
}

fn is_legal(symbol: char) -> bool {
    symbol.is_ascii_alphanumeric() || matches!(symbol, '.' | '_' | '-')
}

/// What two colliding names have in common: metric names cannot tell `.` from `_`. `None` for a name with
/// neither, which collides with nothing but itself.
pub fn collision_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_dots_dashes_and_underscores_up_to_249_are_a_name() {
        for name in ["a", "A-b_c.9", "...", &"x".repeat(249)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn an_empty_dotted_long_or_foreign_name_is_refused_with_its_reason() {
        let reason = |name: &str| check(name).unwrap_err();
        assert_eq!(reason(""), "the topic name is empty");
        assert_eq!(reason(".."), "'..' is not allowed as a topic name");
        assert!(reason(&"x".repeat(250)).contains("has 250 characters, 249 are allowed"));
        for (name, symbol) in [("a/b", "'/'"), ("a b", "' '"), ("gr\u{fc}n", "'\u{fc}'"), ("a\0", "'\\0'")] {
            assert!(reason(name).contains(symbol), "{name:?}: {}", reason(name));
        }
    }

    #[test]
    fn a_dot_and_an_underscore_in_the_same_place_collide() {
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_ne!(collision_key("a.b"), collision_key("ab_"));
        assert_eq!(collision_key("a-b"), None);
    }
}
