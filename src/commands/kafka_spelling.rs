//! Kafka's words for our verbs: its tools say with a flag what to do, ours with a word.
//!
//! ```text
//!   kafka-topics.sh  --create --topic orders --partitions 3
//!   ringlog topic    --create --topic orders --partitions 3
//!   ringlog topic      create --topic orders --partitions 3     what clap sees
//! ```
//!
//! Always true: a line that names its verb as a word is passed on as it is.

use std::ffi::OsString;

/// Our command, its verbs that Kafka spells as flags.
const VERBS: [(&[&str], &[&str]); 3] = [
    (&["topic", "topics"], &["create", "list", "describe", "delete", "alter"]),
    (&["group", "groups"], &["list", "describe", "reset-offsets", "delete", "delete-offsets"]),
    (&["config", "configs"], &["describe", "alter"]),
];

/// The arguments with the verb as a word, if Kafka's flag for one stands among them.
pub fn translated(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some((at, verb)) = kafka_verb(&arguments) {
        arguments.remove(at);
        arguments.insert(2, verb.into());
    }
    arguments
}

/// Where a flag that stands for a verb is, and the verb.
fn kafka_verb(arguments: &[OsString]) -> Option<(usize, &'static str)> {
    let command = arguments.get(1)?.to_str()?;
    let (_, verbs) = VERBS.iter().find(|(names, _)| names.contains(&command))?;
    let verb_of = |argument: &OsString| {
        let flag = argument.to_str()?.strip_prefix("--")?;
        verbs.iter().copied().find(|verb| *verb == flag)
    };
    let says_a_word = arguments[2..].iter().any(|argument| {
        verbs.iter().any(|verb| argument.to_str() == Some(verb)) || argument.to_str() == Some("help")
    });
    let flags = arguments[2..].iter().take_while(|argument| argument.to_str() != Some("--"));
    let found = flags.enumerate().find_map(|(index, argument)| Some((index + 2, verb_of(argument)?)));
    found.filter(|_| !says_a_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        let arguments = text.split(' ').map(OsString::from);
        let translated: Vec<String> =
            translated(arguments).into_iter().map(|argument| argument.into_string().unwrap()).collect();
        translated.join(" ")
    }

    #[test]
    fn a_verb_that_kafka_spells_as_a_flag_becomes_a_word() {
        let kafkas = "ringlog topic --bootstrap-server a:1 --create --topic t --partitions 3";
        assert_eq!(line(kafkas), "ringlog topic create --bootstrap-server a:1 --topic t --partitions 3");
        let kafkas = "ringlog group --group g --reset-offsets --to-earliest --execute";
        assert_eq!(line(kafkas), "ringlog group reset-offsets --group g --to-earliest --execute");
        assert_eq!(line("ringlog topics --list"), "ringlog topics list");
    }

    #[test]
    fn a_line_in_our_own_words_is_passed_on_as_it_is() {
        for ours in [
            "ringlog",
            "ringlog topic list --json",
            "ringlog --help",
            "ringlog produce --topic t --list",
            "ringlog topic create -- --list",
            "ringlog group describe --list",
        ] {
            assert_eq!(line(ours), ours);
        }
    }
}
