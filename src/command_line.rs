//! The command line: what can be said, in words that `--help` explains.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::cluster::ClusterArguments;
use crate::commands::completions::CompletionsArguments;
use crate::commands::config::ConfigArguments;
use crate::commands::consume::ConsumeArguments;
use crate::commands::doctor::DoctorArguments;
use crate::commands::dump_log::DumpLogArguments;
use crate::commands::group::GroupArguments;
use crate::commands::import::ImportArguments;
use crate::commands::produce::ProduceArguments;
use crate::commands::topic::TopicArguments;
use crate::commands::verify::VerifyArguments;

/// A Kafka broker on io_uring: one thread per core, an acknowledged record is on disk.
#[derive(Parser, Debug)]
#[command(name = "ringlog", version, max_term_width = 100)]
pub struct CommandLine {
    /// What to do; without a command, start a broker on 127.0.0.1:9092 with ./data.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start a broker.
    Start(StartArguments),
    /// Everything else.
    #[command(flatten)]
    Tool(ToolCommand),
}

/// What the program can do besides being a broker.
#[derive(Subcommand, Debug)]
pub enum ToolCommand {
    /// Make, list, describe, change and delete topics.
    #[command(alias = "topics")]
    Topic(TopicArguments),
    /// Tell about a cluster: its brokers and what they serve.
    Cluster(ClusterArguments),
    /// Tell and change what topics and brokers are configured with.
    #[command(alias = "configs")]
    Config(ConfigArguments),
    /// Tell how far consumer groups have read, and change it.
    #[command(alias = "groups")]
    Group(GroupArguments),
    /// Make a record of each line of standard input.
    Produce(ProduceArguments),
    /// Print the records of a topic.
    Consume(ConsumeArguments),
    /// Show what is in the files of a data directory, and whether it is whole.
    DumpLog(DumpLogArguments),
    /// Tell whether a data directory that no broker uses is whole.
    Verify(VerifyArguments),
    /// Make a data directory from those of a Kafka broker that is stopped.
    Import(ImportArguments),
    /// Tell whether this host is fit for a broker, and what would make it better.
    Doctor(DoctorArguments),
    /// Print what a shell needs to complete this command line.
    Completions(CompletionsArguments),
}

/// Where a broker listens that nobody told: it has no access control, so not for others.
const LISTEN_DEFAULT: &str = "127.0.0.1:9092";

/// How to start a broker. A flag wins over the configuration file.
#[derive(Args, Debug, Default)]
pub struct StartArguments {
    /// A Kafka server.properties file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the data lies; again, or with commas, for each further disk [log.dirs; default ./data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Vec<PathBuf>,
    /// Where to listen [listeners; default 127.0.0.1:9092, with a file that does not say all interfaces].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// What clients are told to connect to, if it differs [advertised.listeners].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// This broker's id [node.id; default 1].
    #[arg(long, value_name = "ID")]
    pub node_id: Option<i32>,
    /// How many cores to use, each with a thread of its own [ringlog.cores; default all but one, which is left to the kernel].
    #[arg(long, value_name = "COUNT")]
    pub cores: Option<u16>,
    /// What an acknowledgement promises [ringlog.durability; default durable].
    #[arg(long, value_enum)]
    pub durability: Option<DurabilityArgument>,
    /// How long an idle core polls before it sleeps, in microseconds: 0 on a shared host, 50 to 200 in
    /// production, more for the lowest latency [ringlog.idle.spin.us; default 0].
    #[arg(long, value_name = "MICROSECONDS")]
    pub idle_spin_us: Option<u64>,
    /// Where to serve /metrics, /health and /ready over HTTP [ringlog.metrics.listen; default nowhere].
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics_listen: Option<String>,
    /// Any other key of server.properties.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// How to write the log of events.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Pretend that the kernel lacks a feature, to try the fallback for it.
    #[arg(long, value_name = "FEATURE", hide = true)]
    pub pretend_absent: Vec<String>,
}

/// What an acknowledgement promises.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum DurabilityArgument {
    /// The record is on stable storage.
    Durable,
    /// The record is in memory and reaches storage soon: what Kafka promises.
    Relaxed,
}

/// How the log of events is written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// A flag that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct FlagProblem {
    /// What is wrong and what would be right.
    pub message: String,
}

impl StartArguments {
    /// The flags as configuration keys, in the order they apply over the file.
    ///
    /// # Errors
    /// [`FlagProblem`] for an address or override that cannot be read.
    pub fn as_properties(&self) -> Result<Vec<(String, String)>, FlagProblem> {
        let mut properties = Vec::new();
        let mut set = |key: &str, value: String| properties.push((key.to_owned(), value));
        if !self.data_dir.is_empty() {
            let directories = self.data_dir.iter().map(|directory| directory.display().to_string());
            set("log.dirs", directories.collect::<Vec<_>>().join(","));
        }
        match &self.listen {
            Some(address) => {
                set("listeners", format!("PLAINTEXT://{}", checked_address("--listen", address)?));
            }
            // A file without listeners means what it means to Kafka: all interfaces.
            None if self.config.is_none() => set("listeners", format!("PLAINTEXT://{LISTEN_DEFAULT}")),
            None => {}
        }
        if let Some(address) = &self.advertise {
            set("advertised.listeners", format!("PLAINTEXT://{}", checked_address("--advertise", address)?));
        }
        if let Some(node_id) = self.node_id {
            set("node.id", node_id.to_string());
        }
        if let Some(cores) = self.cores {
            set("ringlog.cores", cores.to_string());
        }
        if let Some(durability) = self.durability {
            let name = durability.to_possible_value().expect("no durability is hidden").get_name().to_owned();
            set("ringlog.durability", name);
        }
        if let Some(idle_spin_us) = self.idle_spin_us {
            set("ringlog.idle.spin.us", idle_spin_us.to_string());
        }
        if let Some(address) = &self.metrics_listen {
            set("ringlog.metrics.listen", checked_address("--metrics-listen", address)?.to_owned());
        }
        for text in &self.overrides {
            let Some((key, value)) = text.split_once('=') else {
                return Err(FlagProblem { message: format!("--override {text}: write KEY=VALUE") });
            };
            set(key.trim(), value.trim().to_owned());
        }
        Ok(properties)
    }
}

fn checked_address<'a>(flag: &str, text: &'a str) -> Result<&'a str, FlagProblem> {
    let has_port =
        text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if has_port || text.parse::<SocketAddr>().is_ok() {
        return Ok(text);
    }
    Err(FlagProblem { message: format!("{flag} {text}: write HOST:PORT, for example 127.0.0.1:9092") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn start(arguments: &[&str]) -> StartArguments {
        let line = ["ringlog", "start"].iter().chain(arguments);
        match CommandLine::try_parse_from(line).expect("the arguments are right").command {
            Some(Command::Start(start)) => start,
            _ => unreachable!("start was given"),
        }
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_broker_that_nobody_told_where_to_listen_listens_for_this_machine_alone() {
        let listeners = |start: &StartArguments| {
            let properties = start.as_properties().unwrap();
            properties.into_iter().find(|(key, _)| key == "listeners").map(|(_, value)| value)
        };
        let own = Some("PLAINTEXT://127.0.0.1:9092".to_owned());
        assert_eq!(listeners(&StartArguments::default()), own, "without any argument");
        assert_eq!(listeners(&start(&["--data-dir", "/srv/data"])), own);
        assert_eq!(
            listeners(&start(&["--config", "server.properties"])),
            None,
            "the file says, as for Kafka"
        );
    }

    #[test]
    fn flags_become_the_keys_of_server_properties() {
        let start =
            start(&["--listen", "[::1]:9093", "--durability", "relaxed", "--override", "num.partitions=3"]);
        let properties = start.as_properties().unwrap();
        let expected = [
            ("listeners", "PLAINTEXT://[::1]:9093"),
            ("ringlog.durability", "relaxed"),
            ("num.partitions", "3"),
        ];
        assert_eq!(properties, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn data_directories_are_given_one_by_one_or_with_commas() {
        let start = start(&["--data-dir", "/a", "--data-dir", "/b,/c"]);
        let properties = start.as_properties().unwrap();
        assert_eq!(properties[0], ("log.dirs".to_owned(), "/a,/b,/c".to_owned()));
    }

    #[test]
    fn an_address_without_a_port_is_refused_with_an_example() {
        let problem = start(&["--listen", "localhost"]).as_properties().unwrap_err();
        assert_eq!(problem.message, "--listen localhost: write HOST:PORT, for example 127.0.0.1:9092");
    }
}
