//! `ringlog group list`.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::client::cluster::Cluster;
use crate::client::groups::list_groups;
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show};
use crate::commands::table::{Align, Table, or_dash, printable};

/// Which groups to list.
#[derive(Args, Debug)]
pub struct ListArguments {
    /// Only groups in this state, for example Stable or Empty; without a value, all of them with their states.
    #[arg(long, value_name = "STATE", num_args = 0..=1, default_missing_value = "")]
    pub state: Option<String>,
    /// Print names alone, one a line.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Serialize)]
struct GroupList {
    groups: Vec<GroupRow>,
    #[serde(skip)]
    names_alone: bool,
}

#[derive(Serialize)]
struct GroupRow {
    group: String,
    /// Null from brokers that do not tell.
    state: Option<String>,
    r#type: Option<String>,
    protocol: Option<String>,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(
    arguments: &ListArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let state = arguments.state.as_deref().filter(|state| !state.is_empty());
    let told = |text: String| (!text.is_empty()).then_some(text);
    let groups = list_groups(cluster)?.into_iter();
    let wanted = groups.filter(|group| state.is_none_or(|state| group.state.eq_ignore_ascii_case(state)));
    let groups = wanted.map(|group| GroupRow {
        group: group.group,
        state: told(group.state),
        r#type: told(group.kind),
        protocol: told(group.protocol_type),
    });
    show(&GroupList { groups: groups.collect(), names_alone: arguments.quiet }, format, sink)
}

impl Report for GroupList {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        if self.names_alone {
            return self.groups.iter().try_for_each(|group| writeln!(sink, "{}", printable(&group.group)));
        }
        let columns = [
            ("GROUP", Align::Left),
            ("STATE", Align::Left),
            ("TYPE", Align::Left),
            ("PROTOCOL", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for group in &self.groups {
            let (state, kind) = (or_dash(group.state.as_deref()), or_dash(group.r#type.as_deref()));
            table.row([group.group.clone(), state, kind, or_dash(group.protocol.as_deref())]);
        }
        table.write(sink)
    }
}
