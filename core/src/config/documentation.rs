//! Keeps `docs/configuration.md` the same as the table of keys.

use std::fmt::Write;
use std::path::PathBuf;

use super::keys::{BROKER_KEYS, ConfigKey, Effect, Scope, TOPIC_KEYS, is_dynamic};

const REGENERATE: &str = "RINGLOG_WRITE_DOCS=1 cargo test -p ringlog-core configuration_page";

#[test]
fn the_configuration_page_is_what_the_table_of_keys_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = page();
    if std::env::var_os("RINGLOG_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/configuration.md is stale; write it anew with\n\n    {REGENERATE}\n");
}

fn page() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         A Kafka `server.properties` is enough: `ringlog start --config server.properties`. Flags win over it. Keys of \
         Kafka's that\nare not listed here are accepted with a note in the log; keys nobody knows are warned of, with \
         the nearest name.\n\n",
    );
    writeln!(page, "This page is written from the table in `core/src/config/keys.rs`, by `{REGENERATE}`.\n")
        .unwrap();
    page.push_str(
        "## Broker keys\n\n\
         Dynamic keys can be changed while the broker runs, for one broker or for every one (`kafka-configs.sh --alter`). \
         Such a change wins\nover the file and flags, and the one for a single broker over the one for every broker.\n\n",
    );
    table(&mut page, BROKER_KEYS);
    page.push_str(
        "\n## Topic keys\n\n\
         A topic's own value wins over the broker's (the keys in the last column, the first that is given), which \
         wins over\nthe default.\n\n",
    );
    table(&mut page, TOPIC_KEYS);
    page
}

fn table(page: &mut String, keys: &[ConfigKey]) {
    page.push_str("| key | type | default | accepts | meaning | or given as |\n|---|---|---|---|---|---|\n");
    for key in keys {
        let default = match key.default {
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
            None => "-".to_owned(),
        };
        let accepts = key.check.describe(key.kind);
        let effect = match key.effect {
            Effect::Applied => String::new(),
            Effect::Kept(reason) => format!(" *No effect: {reason}.*"),
        };
        let dynamic = if key.scope == Scope::Broker && is_dynamic(key.name) { " Dynamic." } else { "" };
        let synonyms: Vec<String> = key.synonyms.iter().map(|(name, _)| format!("`{name}`")).collect();
        let (name, kind, meaning) = (key.name, key.kind, key.documentation);
        let synonyms = synonyms.join(", ");
        writeln!(
            page,
            "| `{name}` | {kind} | {default} | {accepts} | {meaning}{dynamic}{effect} | {synonyms} |"
        )
        .unwrap();
    }
}
