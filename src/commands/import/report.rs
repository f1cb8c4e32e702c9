//! What is told of an import: a line each, or a JSON object a line.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::commands::import::partition::Torn;
use crate::commands::output::Report;
use crate::commands::table::printable;

/// A topic that was taken over, or would be.
#[derive(Serialize)]
pub(super) struct ShownTopic<'t> {
    pub r#type: &'static str,
    pub topic: &'t str,
    pub topic_id: String,
    pub partitions: usize,
    pub segments: u64,
    pub bytes: u64,
}

impl Report for ShownTopic<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let ShownTopic { topic, partitions, segments, bytes, .. } = self;
        let topic = printable(topic);
        writeln!(sink, "topic   {topic}: {partitions} partitions, {segments} segments, {bytes} bytes")
    }
}

/// Something that was left behind, or is not as it was.
#[derive(Serialize)]
pub(super) struct ShownNotice<'n> {
    r#type: &'static str,
    about: &'n str,
    words: &'n str,
}

impl<'n> ShownNotice<'n> {
    pub fn new(about: &'n str, words: &'n str) -> ShownNotice<'n> {
        ShownNotice { r#type: "notice", about, words }
    }
}

impl Report for ShownNotice<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "notice  {}: {}", printable(self.about), printable(self.words))
    }
}

/// Batches that are not what was written.
#[derive(Serialize)]
pub(super) struct ShownDamage<'d> {
    r#type: &'static str,
    file: String,
    first_byte: u64,
    first_offset: i64,
    reason: &'d str,
}

impl<'d> ShownDamage<'d> {
    pub fn new(torn: &'d Torn) -> ShownDamage<'d> {
        ShownDamage {
            r#type: "damage",
            file: torn.file.display().to_string(),
            first_byte: torn.position,
            first_offset: torn.offset.0,
            reason: &torn.reason,
        }
    }
}

impl Report for ShownDamage<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let ShownDamage { file, first_byte, first_offset, reason, .. } = self;
        writeln!(sink, "DAMAGED {file}, byte {first_byte}, offset {first_offset}: {reason}")?;
        writeln!(
            sink,
            "        what to do: restore the segment from a copy or a replica, or let Kafka delete the records up to behind the \
             damage; then import again"
        )
    }
}

/// All of it.
#[derive(Serialize)]
pub(super) struct Summary {
    pub r#type: &'static str,
    pub done: bool,
    pub data_dir: String,
    pub cluster_id: String,
    pub node_id: i32,
    pub topics: usize,
    pub partitions: usize,
    pub segments: u64,
    pub bytes: u64,
    pub linked_bytes: u64,
    pub notices: usize,
}

impl Report for Summary {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let Summary { topics, partitions, segments, bytes, linked_bytes, .. } = self;
        let what = format!("{topics} topics, {partitions} partitions, {segments} segments, {bytes} bytes");
        if !self.done {
            return writeln!(sink, "would import {what}; nothing was written");
        }
        let linked =
            if *linked_bytes > 0 { format!(" ({linked_bytes} of them linked)") } else { String::new() };
        writeln!(sink, "imported {what}{linked}")?;
        let directory = Path::new(&self.data_dir).display();
        writeln!(sink, "start a broker with: ringlog start --data-dir {directory} --node-id {}", self.node_id)
    }
}
