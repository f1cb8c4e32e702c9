//! The checker on small histories.

use super::*;
use crate::config_history::ConfigNews;
use crate::history::{Answer, ConnectionNumber, Promise, Reported};
use crate::rot::RottenBlock;

const PRODUCER: ProducerNumber = ProducerNumber(0);
const FETCHER: FetcherNumber = FetcherNumber(0);

fn values(values: &[&str]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}

/// A history in which one producer sends batches, each on a connection of its own, all but `answers` unknown, and the log ends as given.
fn history(promise: Promise, sent: &[(&[&str], Answer)], log: &[&str]) -> History {
    let mut history = History::default();
    for (connection, (batch, answer)) in sent.iter().enumerate() {
        let connection = ConnectionNumber(connection);
        let number = history.sent(PRODUCER, promise, connection, 0, values(batch));
        if *answer != Answer::Unknown {
            history.answered(number, *answer);
        }
    }
    for (offset, value) in (0..).zip(log) {
        history.final_record(0, offset, value.as_bytes());
    }
    history
}

#[test]
fn a_history_as_promised_shows_no_violation() {
    let sent: &[(&[&str], Answer)] = &[
        (&["a", "b"], Answer::Acknowledged(0)),
        (&["c"], Answer::Unknown),
        (&["d"], Answer::Unknown),
        (&["e"], Answer::Acknowledged(3)),
        (&["f"], Answer::Refused),
    ];
    let mut history = history(Promise::Idempotent, sent, &["a", "b", "c", "e"]);
    for (offset, value) in [(1, "b"), (2, "c"), (3, "e")] {
        history.read(FETCHER, 0, offset, value.as_bytes());
    }
    assert_eq!(check(&history), []);
}

#[test]
fn an_acknowledged_record_that_is_missing_or_different_is_lost() {
    let sent: &[(&[&str], Answer)] = &[(&["a", "b"], Answer::Acknowledged(0))];
    let lost = |offset, found: Option<&str>| Violation::Lost {
        batch: BatchNumber(0),
        partition: 0,
        offset,
        found: found.map(str::to_owned),
    };
    assert_eq!(check(&history(Promise::Plain, sent, &[])), [lost(0, None)]);
    assert!(check(&history(Promise::Plain, sent, &["a"])).contains(&lost(1, None)));
    assert!(check(&history(Promise::Plain, sent, &["a", "B"])).contains(&lost(1, Some("B"))));
}

#[test]
fn an_acknowledged_record_at_another_offset_is_lost() {
    let sent: &[(&[&str], Answer)] = &[(&["a"], Answer::Acknowledged(1)), (&["b"], Answer::Unknown)];
    let violations = check(&history(Promise::Plain, sent, &["a", "b"]));
    assert!(matches!(violations[..], [Violation::Lost { offset: 1, .. }]), "{violations:?}");
}

#[test]
fn offsets_that_do_not_follow_each_other_are_a_gap() {
    let mut history = history(Promise::Plain, &[(&["a"], Answer::Unknown)], &["a"]);
    history.sent(PRODUCER, Promise::Plain, ConnectionNumber(0), 0, values(&["b"]));
    history.final_record(0, 2, b"b");
    assert_eq!(check(&history), [Violation::Gap { partition: 0, expected: 1, found: 2 }]);
}

#[test]
fn a_value_nobody_sent_there_is_reported() {
    let mut history = history(Promise::Plain, &[(&["a"], Answer::Unknown)], &["a"]);
    history.final_record(1, 0, b"a");
    let value = "a".to_owned();
    assert_eq!(check(&history), [Violation::NeverSent { partition: 1, offset: 0, value }]);
}

#[test]
fn a_refused_batch_must_not_be_in_the_log() {
    let violations = check(&history(Promise::Plain, &[(&["a"], Answer::Refused)], &["a"]));
    assert_eq!(violations, [Violation::RefusedButThere { batch: BatchNumber(0), partition: 0, offset: 0 }]);
}

#[test]
fn a_record_at_two_offsets_is_a_duplicate() {
    let sent: &[(&[&str], Answer)] = &[(&["a"], Answer::Acknowledged(0)), (&["b"], Answer::Unknown)];
    let violations = check(&history(Promise::Idempotent, sent, &["a", "b", "a"]));
    assert_eq!(violations, [Violation::Duplicate { batch: BatchNumber(0), partition: 0, offsets: [0, 2] }]);
}

#[test]
fn an_idempotent_producers_batches_lie_as_sent() {
    let sent: &[(&[&str], Answer)] = &[(&["a"], Answer::Unknown), (&["b"], Answer::Unknown)];
    let out_of_order =
        Violation::OutOfOrder { producer: PRODUCER, partition: 0, batches: [BatchNumber(0), BatchNumber(1)] };
    assert_eq!(check(&history(Promise::Idempotent, sent, &["b", "a"])), [out_of_order]);
}

#[test]
fn a_plain_producers_lost_answer_leaves_the_order_open() {
    let unknown: &[(&[&str], Answer)] = &[(&["a"], Answer::Unknown), (&["b"], Answer::Acknowledged(0))];
    assert_eq!(check(&history(Promise::Plain, unknown, &["b", "a"])), []);
    let known: &[(&[&str], Answer)] = &[(&["a"], Answer::Acknowledged(1)), (&["b"], Answer::Acknowledged(0))];
    let violations = check(&history(Promise::Plain, known, &["b", "a"]));
    assert!(matches!(violations[..], [Violation::OutOfOrder { .. }]), "{violations:?}");
}

#[test]
fn what_went_over_one_connection_lies_as_sent_answered_or_not() {
    for promise in [Promise::Plain, Promise::Unanswered] {
        let mut history = History::default();
        for (connection, value) in [(0, "a"), (0, "b"), (1, "c")] {
            history.sent(PRODUCER, promise, ConnectionNumber(connection), 0, values(&[value]));
        }
        let mut swapped = history.clone();
        for (offset, (as_sent, otherwise)) in (0..).zip([("c", "b"), ("a", "a"), ("b", "c")]) {
            history.final_record(0, offset, as_sent.as_bytes());
            swapped.final_record(0, offset, otherwise.as_bytes());
        }
        assert_eq!(check(&history), [], "another connection may overtake");
        let batches = [BatchNumber(0), BatchNumber(1)];
        assert_eq!(check(&swapped), [Violation::OutOfOrder { producer: PRODUCER, partition: 0, batches }]);
    }
}

#[test]
fn a_batch_is_there_whole_or_not_at_all() {
    let sent: &[(&[&str], Answer)] = &[(&["a", "b"], Answer::Unknown), (&["c"], Answer::Unknown)];
    for log in [&["a"][..], &["b"], &["a", "c", "b"]] {
        let violations = check(&history(Promise::Plain, sent, log));
        assert!(matches!(violations[..], [Violation::TornBatch { .. }]), "{log:?}: {violations:?}");
    }
}

#[test]
fn a_topic_is_there_from_its_creation_to_its_deletion() {
    use TopicNews::{Created, Deleted, Missed, Seen};
    let violations = |news: &[TopicNews]| {
        let mut history = History::default();
        news.iter().for_each(|news| history.topic_news(*news));
        check(&history)
    };
    assert_eq!(violations(&[Missed, Created, Seen, Seen, Deleted, Missed, Created, Seen]), []);
    assert_eq!(violations(&[Created, Missed]), [Violation::CreatedButGone { news: 1 }]);
    assert_eq!(violations(&[Created, Deleted, Seen]), [Violation::DeletedButThere { news: 2 }]);
}

#[test]
fn a_file_of_a_deleted_topic_is_a_violation() {
    let mut history = History::default();
    history.left_on_disk("/data/fleeting-0/0.log".to_owned());
    assert_eq!(check(&history), [Violation::DeletedButOnDisk { path: "/data/fleeting-0/0.log".to_owned() }]);
}

#[test]
fn a_report_of_damage_is_a_violation_of_its_own() {
    let mut history = history(Promise::Plain, &[(&["a"], Answer::Acknowledged(0))], &["a"]);
    history.damage_reported(Reported::AtLast, "a log is damaged".to_owned());
    assert_eq!(check(&history), [Violation::ReportedDamage { report: "a log is damaged".to_owned() }]);
}

#[test]
fn what_a_fetcher_saw_stays() {
    let mut history = history(Promise::Plain, &[(&["a"], Answer::Unknown)], &["a"]);
    history.read(FETCHER, 0, 0, b"a");
    history.read(FETCHER, 0, 1, b"b");
    let (fetcher, partition) = (FETCHER, 0);
    let gone = Violation::ReadThenGone { fetcher, partition, offset: 1, found: None };
    assert_eq!(check(&history), [gone]);
}

#[test]
fn a_fetcher_neither_skips_nor_goes_back() {
    let sent: &[(&[&str], Answer)] = &[(&["a", "b", "c"], Answer::Acknowledged(0))];
    for order in [[0, 2], [1, 0], [1, 1]] {
        let mut history = history(Promise::Plain, sent, &["a", "b", "c"]);
        for offset in order {
            history.read(FETCHER, 0, offset, [b"a", b"b", b"c"][offset as usize]);
        }
        let violations = check(&history);
        assert!(matches!(violations[..], [Violation::SkippedRead { .. }]), "{order:?}: {violations:?}");
    }
}

/// A log that begins at 2 and has 100 bytes, of which retention must leave `kept_bytes_min`.
fn shortened(kept_bytes_min: impl Into<Option<u64>>, final_log: &[(i64, &str)]) -> History {
    let sent: &[(&[&str], Answer)] = &[
        (&["a", "b"], Answer::Acknowledged(0)),
        (&["c"], Answer::Acknowledged(2)),
        (&["d"], Answer::Acknowledged(3)),
    ];
    let mut history = history(Promise::Plain, sent, &[]);
    history.final_reading_begins(0, 2, kept_bytes_min.into());
    history.final_bytes(0, 100);
    final_log.iter().for_each(|(offset, value)| history.final_record(0, *offset, value.as_bytes()));
    history
}

#[test]
fn what_retention_deleted_is_not_missed_and_all_behind_it_is() {
    let mut whole = shortened(100, &[(2, "c"), (3, "d")]);
    whole.read(FETCHER, 0, 0, b"a");
    whole.log_start_seen(FETCHER, 0, 2);
    whole.read(FETCHER, 0, 2, b"c");
    assert_eq!(check(&whole), []);
    let lost = check(&shortened(100, &[(2, "c")]));
    assert!(matches!(lost[..], [Violation::Lost { offset: 3, .. }]), "{lost:?}");
    let gap = check(&shortened(100, &[(3, "d")]));
    assert!(gap.contains(&Violation::Gap { partition: 0, expected: 2, found: 3 }), "{gap:?}");
}

#[test]
fn retention_leaves_what_it_must() {
    let log = [(2, "c"), (3, "d")];
    let too_little = Violation::KeptTooLittle { partition: 0, start: 2, bytes: 100, kept_bytes_min: 101 };
    assert_eq!(check(&shortened(101, &log)), [too_little]);
}

#[test]
fn the_begin_of_a_log_only_grows() {
    let log = [(2, "c"), (3, "d")];
    let mut later = shortened(0, &log);
    later.log_start_seen(FETCHER, 0, 3);
    assert_eq!(check(&later), [Violation::StartWentBack { partition: 0, seen: 3, found: 2 }]);
    let mut back = shortened(0, &log);
    back.log_start_seen(FETCHER, 0, 2);
    back.read(FETCHER, 0, 2, b"c");
    back.log_start_seen(FETCHER, 0, 1);
    back.read(FETCHER, 0, 1, b"b");
    let went_back = |seen| Violation::StartWentBack { partition: 0, seen, found: 1 };
    assert_eq!(check(&back), [went_back(3), went_back(2)], "behind what it read, and than it was told");
    let mut looked = shortened(0, &log);
    looked.log_start_looked_at(FETCHER, 0, 2);
    looked.log_start_looked_at(FETCHER, 0, 1);
    assert_eq!(check(&looked), [went_back(2)]);
    let mut jump = shortened(0, &log);
    jump.read(FETCHER, 0, 1, b"b");
    jump.read(FETCHER, 0, 3, b"d");
    assert!(matches!(check(&jump)[..], [Violation::SkippedRead { .. }]), "it was not told to");
}

/// As [`shortened`], by clients who asked for this much.
fn deleted(at_least: i64, at_most: i64, final_log: &[(i64, &str)]) -> History {
    let mut history = shortened(None, final_log);
    let deletion = history.starts.deletion_asked(0, at_least, at_most);
    history.starts.deletion_granted(deletion, 2);
    history
}

#[test]
fn what_a_client_deleted_is_not_missed_and_all_behind_it_is() {
    let log = [(2, "c"), (3, "d")];
    assert_eq!(check(&deleted(2, 2, &log)), []);
    let lost = check(&deleted(2, 2, &[(2, "c")]));
    assert!(matches!(lost[..], [Violation::Lost { offset: 3, .. }]), "{lost:?}");
    let too_much = Violation::DeletedTooMuch { partition: 0, start: 2, asked: 1 };
    assert_eq!(check(&deleted(1, 1, &log)), [too_much]);
    let too_little = Violation::DeletedTooLittle { partition: 0, start: 2, asked: 3 };
    assert_eq!(check(&deleted(3, 3, &log)), [too_little]);
}

#[test]
fn a_batch_across_the_begin_of_the_log_is_there_from_there_on() {
    let across = |log: &[(i64, &str)]| {
        let sent: &[(&[&str], Answer)] = &[(&["a", "b", "c", "d"], Answer::Acknowledged(0))];
        let mut history = history(Promise::Plain, sent, &[]);
        let deletion = history.starts.deletion_asked(0, 2, 2);
        history.starts.deletion_granted(deletion, 2);
        history.final_reading_begins(0, 2, None);
        log.iter().for_each(|(offset, value)| history.final_record(0, *offset, value.as_bytes()));
        check(&history)
    };
    assert_eq!(across(&[(2, "c"), (3, "d")]), []);
    assert!(across(&[(2, "c")]).iter().any(|violation| matches!(violation, Violation::TornBatch { .. })));
}

#[test]
fn a_granted_deletion_is_never_undone() {
    let mut history = deleted(2, 2, &[(2, "c"), (3, "d")]);
    assert_eq!(history.starts.floor(0), 2);
    history.starts.told(0, 2, 2);
    history.starts.read(0, 2, 2);
    assert_eq!(check(&history), []);
    history.starts.told(0, 2, 1);
    history.starts.read(0, 2, 1);
    let went_back = Violation::StartWentBack { partition: 0, seen: 2, found: 1 };
    let read_below = Violation::ReadBelowStart { partition: 0, offset: 1, start: 2 };
    assert_eq!(check(&history), [went_back, read_below]);
}

#[test]
fn an_answer_to_a_question_asked_before_the_deletion_may_be_older() {
    let mut history = shortened(None, &[(2, "c"), (3, "d")]);
    let floor = history.starts.floor(0);
    let deletion = history.starts.deletion_asked(0, 2, 2);
    history.starts.deletion_granted(deletion, 2);
    history.starts.told(0, floor, 0);
    history.starts.read(0, floor, 0);
    assert_eq!(check(&history), []);
}

#[test]
fn what_was_within_a_log_is_not_beyond_it() {
    let mut history = deleted(2, 2, &[(2, "c"), (3, "d")]);
    history.starts.deletion_refused_within(0, 4, 3);
    assert_eq!(check(&history), [Violation::EndWentBack { partition: 0, seen: 4, refused: 3 }]);
}

/// What a checker says of one topic's configuration.
fn configured(news: &[ConfigNews]) -> Vec<Violation> {
    let mut history = History::default();
    history.configs.note(ConfigNews::Begins(Resource::Topic, given(&[("a", "1")])));
    news.iter().for_each(|news| history.configs.note(news.clone()));
    check(&history)
}

fn given(values: &[(&str, &str)]) -> Values {
    values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn asked() -> ConfigNews {
    ConfigNews::Asked(Resource::Topic, vec![("a", None), ("b", Some("2".to_owned()))])
}

fn described(values: &[(&str, &str)]) -> ConfigNews {
    ConfigNews::Described(Resource::Topic, given(values))
}

#[test]
fn a_granted_change_is_told_from_then_on() {
    let granted = ConfigNews::Granted(Resource::Topic);
    let good = [asked(), granted.clone(), described(&[("b", "2")]), described(&[("b", "2")])];
    assert_eq!(configured(&good), []);
    for found in [&[("a", "1")][..], &[("a", "1"), ("b", "2")], &[]] {
        let violations = configured(&[asked(), granted.clone(), described(found)]);
        assert!(matches!(violations[..], [Violation::ConfigLost { .. }]), "{violations:?}");
    }
}

#[test]
fn an_unanswered_change_holds_whole_or_not_at_all_and_once_seen_it_stays() {
    assert_eq!(configured(&[asked(), described(&[("a", "1")]), described(&[("b", "2")])]), []);
    let torn = configured(&[asked(), described(&[("a", "1"), ("b", "2")])]);
    assert!(matches!(torn[..], [Violation::ConfigTorn { .. }]), "{torn:?}");
    let back = configured(&[asked(), described(&[("b", "2")]), described(&[("a", "1")])]);
    assert!(matches!(back[..], [Violation::ConfigTorn { .. }]), "{back:?}");
}

#[test]
fn a_refused_change_changes_nothing() {
    let refused = ConfigNews::Refused(Resource::Topic);
    assert_eq!(configured(&[asked(), refused.clone(), described(&[("a", "1")])]), []);
    let violations = configured(&[asked(), refused, described(&[("b", "2")])]);
    assert!(matches!(violations[..], [Violation::ConfigLost { .. }]), "{violations:?}");
}

/// A log of four records, of which a block with the second and the third rotted before the last start.
fn rotten_history(log: &[(i64, &str)]) -> (History, RottenBlock) {
    let sent: &[(&[&str], Answer)] = &[
        (&["a"], Answer::Acknowledged(0)),
        (&["b", "c"], Answer::Acknowledged(1)),
        (&["d"], Answer::Acknowledged(3)),
    ];
    let mut history = history(Promise::Plain, sent, &[]);
    let block = RottenBlock {
        partition: 0,
        path: "/data/t-0/0.log".into(),
        bytes: 4096..8192,
        offsets: 1..3,
        refused_to: 3,
        refused_bytes: 200,
        is_on_disk_alone: false,
    };
    history.rotted(block.clone());
    history.last_start();
    log.iter().for_each(|(offset, value)| history.final_record(0, *offset, value.as_bytes()));
    (history, block)
}

#[test]
fn what_rotted_is_refused_and_told_and_nothing_else_is() {
    let report = |offsets: &str| {
        format!(
            "message=scrubbing found damaged records; they are not served damage=/data/t-0/0.log is damaged at bytes 4096..8192 (offsets {offsets}): so"
        )
    };
    let (mut history, _) = rotten_history(&[(0, "a"), (3, "d")]);
    assert_eq!(history.refused(0, 1), Some(3));
    history.damage_reported(Reported::AtLast, report("1..3"));
    assert_eq!(check(&history), []);
    history.damage_reported(Reported::AtLast, report("0..3"));
    assert_eq!(check(&history), [Violation::ReportedDamage { report: report("0..3") }]);
}

#[test]
fn damage_that_is_not_found_or_served_and_sound_records_that_are_refused_are_violations() {
    let (mut history, block) = rotten_history(&[(0, "a"), (1, "b"), (2, "c"), (3, "d")]);
    assert_eq!(history.refused(0, 3), None);
    history.damage_not_found(block.clone());
    let (path, bytes, offsets) = ("/data/t-0/0.log".to_owned(), block.bytes, block.offsets);
    assert_eq!(
        check(&history),
        [
            Violation::DamageNotFound { partition: 0, path: path.clone(), bytes: bytes.clone(), offsets },
            Violation::DamageServed { partition: 0, offset: 1, path, bytes },
            Violation::RefusedSound { partition: 0, offset: 3 },
        ]
    );
    let (history, _) = rotten_history(&[(0, "a")]);
    assert!(matches!(check(&history)[..], [Violation::Lost { offset: 3, .. }]), "the one behind it is lost");
}
