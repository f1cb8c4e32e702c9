//! `docs/on-disk-format.md` against the code: its numbers are the code's, its dumps are of files a store wrote.

mod support;

use std::fmt::Write;
use std::path::Path;

use ringlog_core::metadata::MetadataRecord;
use ringlog_runtime::memory::{MemoryWorld, Options};
use ringlog_storage::format::commit::{ENTRY_BYTES, HEADER_BYTES};
use ringlog_storage::metadata_log::MetadataLog;
use ringlog_storage::{LogConfig, StoreConfig};
use support::{DATA_DIR, Setup};

const PAGE: &str = include_str!("../../docs/on-disk-format.md");

/// Bytes as `hexdump -C` shows them, rows of zeros left out at the end.
fn dump(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut text = String::new();
    for (row, bytes) in bytes[..end.next_multiple_of(16).min(bytes.len())].chunks(16).enumerate() {
        let hex = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let (left, right) = bytes.split_at(bytes.len().min(8));
        let shown: String = bytes
            .iter()
            .map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' })
            .collect();
        let columns = format!("{}  {}", hex(left), hex(right));
        writeln!(text, "{:08x}  {columns:<48}  |{shown}|", row * 16).expect("text has room");
    }
    text
}

/// The page's block of code whose first line is `title`.
fn block(title: &str) -> &'static str {
    let opening = format!("```text\n{title}\n");
    let start =
        PAGE.find(&opening).unwrap_or_else(|| panic!("the page has a block that begins with {title:?}"));
    let body = &PAGE[start + opening.len()..];
    &body[..body.find("```").expect("the block ends")]
}

/// What the page should show, if it does not.
fn difference(title: &str, text: String) -> Option<String> {
    (block(title) != text).then(|| format!("the page's block\n{title}\n{text}"))
}

#[test]
fn the_dumps_are_of_files_that_a_store_wrote() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup =
        Setup { config: StoreConfig::production(), log_config: LogConfig::default(), ..Setup::tiny(1, 1) };
    let env = setup.environment(&world, 0);
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(setup.append(&session, 0, 1, 4, 7).await);
        setup.wait_until_promised(&session, 0).await;
        let (mut log, _) = MetadataLog::open(&env, Path::new(DATA_DIR)).await.unwrap();
        let named = MetadataRecord::ClusterNamed { cluster_id: "example".to_owned() };
        log.append(&[named]).await.unwrap();
        session.stores[0].checkpoint().await.unwrap();
    });
    let file = |path: &str| world.disk().read(Path::new(DATA_DIR).join(path)).expect("it was written");
    let (journal, segment) = ("journal/shard-0/00000001.journal", "topic-0/00000000000000000000.log");
    let (checkpoint, metadata) = ("checkpoint/shard-0-1.checkpoint", "topic-0/partition.metadata");
    let differences = [
        difference(journal, dump(&file(journal)[..4096])),
        difference(segment, dump(&file(segment))),
        difference("metadata.log", dump(&file("metadata.log")[..0x80])),
        difference(&format!("{checkpoint}, its first 32 bytes"), dump(&file(checkpoint)[..32])),
        difference(metadata, String::from_utf8(file(metadata)).expect("text")),
    ];
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_dump_of_checksums_is_of_a_sealed_segments_file() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup =
        Setup { config: StoreConfig::production(), log_config: LogConfig::default(), ..Setup::tiny(1, 1) };
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(setup.append(&session, 0, 1, 4, 7).await);
        session.logs[&0].roll();
        assert!(setup.append(&session, 0, 1, 4, 7).await);
        session.stores[0].checkpoint().await.unwrap();
    });
    let path = "topic-0/00000000000000000000.checksums";
    let bytes = world.disk().read(Path::new(DATA_DIR).join(path)).expect("it was written");
    let difference = difference(path, dump(&bytes));
    assert!(difference.is_none(), "{}", difference.unwrap_or_default());
}

#[test]
fn the_sizes_it_names_are_the_codes() {
    let sizes = StoreConfig::production();
    let rows = [
        ("commit header", HEADER_BYTES as u64),
        ("commit entry", ENTRY_BYTES as u64),
        ("checksum file's header", ringlog_storage::format::checksums::HEADER_BYTES as u64),
        ("commit at most", sizes.commit_bytes_max as u64),
        ("first journal file", sizes.journal_first_file_bytes),
        ("further journal files", sizes.journal_file_bytes),
        ("all journal files of a shard", sizes.journal_bytes_max),
        ("direct path from", sizes.direct_bytes_min as u64),
    ];
    for (name, bytes) in rows {
        let row = format!("| {name} | {bytes} |");
        assert!(PAGE.contains(&row), "the page lacks the row {row}");
    }
}
