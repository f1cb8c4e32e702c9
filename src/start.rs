//! `ringlog start`: from arguments to a running broker on real rings.
//!
//! ```text
//!   arguments + file ──► config ──► host check ──► directory lock ──► one executor per core ──► banner ──► stop
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ringlog_core::config::{BrokerConfig, Durability, ListenerConfig};
use ringlog_runtime::environment::Environment;
use ringlog_runtime::host::{self, DirectoryLock, HostNeeds, HostProblem, HostReport};
use ringlog_runtime::uring::{self, Feature, ShardsConfig, UringEnvironment};
use ringlog_storage::import::data_directory::is_unfinished;
use ringlog_storage::{Recovered, StoreConfig};
use tracing_subscriber::EnvFilter;

use crate::broker::message::Message;
use crate::broker::opening::RecoverySummary;
use crate::broker::{BrokerStart, Listening, run_first_shard, run_other_shard};
use crate::command_line::{LogFormat, StartArguments};

/// The real environment's mailbox for this broker's messages.
type Mailbox =
    <UringEnvironment as Environment>::Mailbox<Message<<UringEnvironment as Environment>::Accepted>>;

/// Where the system says what this machine is called.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// Runs a broker until it is told to stop; problems are told on standard error.
pub fn start(arguments: &StartArguments) -> ExitCode {
    start_logging(arguments.log_format);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("ringlog: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &StartArguments) -> Result<(), Box<dyn Error>> {
    let config = load_config(arguments)?;
    let pretend_absent = absent_features(arguments)?;
    let needs = HostNeeds { pretend_absent: pretend_absent.clone() };
    let Prepared { report, unusable, locks: _locks } = prepare_directories(&config.log_dirs, &needs)?;
    let cores = cores(config.cores)?;
    let shards = ShardsConfig {
        cores: cores.clone(),
        idle_spin: config.idle_spin,
        arena_bytes_max: config.limits().memory.arena_bytes_max,
        mesh_capacity: config.limits().memory.mesh_capacity,
        pretend_absent,
        ..ShardsConfig::default()
    };
    let start = Arc::new(broker_start(config, cores.len() as u64, unusable)?);
    let report = Arc::new(report);
    let told: Arc<str> = format!("{} (cores {})", cores.len(), comma_separated(&cores)).into();
    uring::run_shards(shards, move |env: UringEnvironment, mailbox: Mailbox| {
        run_shard(env, mailbox, start.clone(), told.clone(), report.clone())
    })?;
    Ok(())
}

/// The data directories, locked for as long as this lives.
struct Prepared {
    report: HostReport,
    /// Those that cannot be used, and why.
    unusable: BTreeMap<PathBuf, String>,
    locks: Vec<DirectoryLock>,
}

/// Makes directories that are not there, looks whether a broker can run in them, and locks them. Of several, one whose disk is lost is left
/// out; the first must be there.
fn prepare_directories(directories: &[PathBuf], needs: &HostNeeds) -> Result<Prepared, Box<dyn Error>> {
    if let Some(unfinished) = directories.iter().find(|directory| is_unfinished(directory)) {
        let shown = unfinished.display();
        return Err(format!(
            "an import into {shown} was not finished, so records are missing there: run `ringlog import` again, or remove the \
             directory"
        )
        .into());
    }
    let (first, others) = directories.split_first().expect("a configuration has a data directory");
    create_directory(first)?;
    let report = host::check(first, needs)?;
    let (mut unusable, mut locks) = (BTreeMap::new(), vec![host::lock_directory(first)?]);
    for directory in others {
        let locked = create_directory(directory).and_then(|()| {
            host::check_directory(directory)?;
            host::lock_directory(directory)
        });
        match locked {
            Ok(lock) => locks.push(lock),
            Err(problem @ HostProblem::DirectoryUnusable { .. }) => {
                unusable.insert(directory.clone(), problem.to_string());
            }
            Err(problem) => return Err(problem.into()),
        }
    }
    Ok(Prepared { report, unusable, locks })
}

fn create_directory(path: &Path) -> Result<(), HostProblem> {
    std::fs::create_dir_all(path)
        .map_err(|error| HostProblem::DirectoryUnusable { path: path.to_owned(), error })
}

async fn run_shard(
    env: UringEnvironment,
    mailbox: Mailbox,
    start: Arc<BrokerStart>,
    shards: Arc<str>,
    report: Arc<HostReport>,
) {
    let ended = if env.shard().0 == 0 {
        let stop = env.stop_requested();
        let config = start.config.clone();
        let banner = move |listening: Listening<'_>| print_banner(&config, &shards, &report, &listening);
        run_first_shard(env, mailbox, start, stop, banner).await
    } else {
        run_other_shard(env, mailbox, start).await
    };
    if let Err(failure) = ended {
        // The other shards wait for this one: there is nothing to go on with.
        eprintln!("ringlog: {failure}");
        std::process::exit(1);
    }
}

/// The file's keys, then the flags over them.
fn load_config(arguments: &StartArguments) -> Result<BrokerConfig, Box<dyn Error>> {
    let text = match &arguments.config {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?,
        None => String::new(),
    };
    let flags = arguments.as_properties().map_err(|problem| problem.message)?;
    let flags: Vec<(&str, String)> = flags.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let (config, notes) = BrokerConfig::from_properties_and_flags(&text, &flags)?;
    for note in notes {
        tracing::warn!("{note}");
    }
    Ok(config)
}

fn broker_start(
    config: BrokerConfig,
    shard_count: u64,
    unusable: BTreeMap<PathBuf, String>,
) -> Result<BrokerStart, Box<dyn Error>> {
    let bind_addresses = config.listeners.iter().map(bind_address).collect::<Result<_, _>>()?;
    let metrics_address = config.metrics_listener.as_ref().map(bind_address).transpose()?;
    let default_host = std::fs::read_to_string(HOSTNAME_FILE)
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned());
    let limits = config.limits();
    let store = StoreConfig {
        tail_cache_bytes_max: limits.memory.tail_cache_bytes_max,
        open_files_max: limits.storage.open_segments_max,
        producers_max: limits.state.producers_per_partition_max,
        free_bytes_min: config.disk_free_bytes_min,
        reserve_bytes: config.disk_reserve_bytes / shard_count,
        scrub_period: config.scrub_period,
        scrub_bytes_per_second_max: config.scrub_bytes_per_second_max / shard_count,
        ..StoreConfig::production().with_journal_bytes_max(config.journal_bytes_max)
    };
    Ok(BrokerStart { config, bind_addresses, default_host, metrics_address, store, unusable })
}

fn bind_address(listener: &ListenerConfig) -> Result<SocketAddr, String> {
    let host = if listener.host.is_empty() { "0.0.0.0" } else { &listener.host };
    let mut addresses = (host, listener.port)
        .to_socket_addrs()
        .map_err(|error| format!("cannot listen on {host}:{}: {error}", listener.port))?;
    addresses.next().ok_or_else(|| format!("cannot listen on {host}: the name has no address"))
}

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_env("RINGLOG_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        // Colours are for people who watch; a file keeps words only.
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
}

fn print_banner(config: &BrokerConfig, shards: &str, report: &HostReport, listening: &Listening<'_>) {
    let addresses: Vec<String> = listening.addresses.iter().map(SocketAddr::to_string).collect();
    let durability = match config.durability {
        Durability::Durable => "durable: an acknowledged record is on stable storage",
        Durability::Relaxed => "relaxed: an acknowledged record is in memory and reaches storage soon",
    };
    let lines = [
        format!("ringlog {}", env!("CARGO_PKG_VERSION")),
        format!("  listens on   {}", addresses.join(", ")),
        format!("  metrics      {}", metrics(config, listening)),
        format!("  data in      {}", data_in(listening)),
        format!("  durability   {durability}"),
        format!("  shards       {shards}, idle spin {} us", config.idle_spin.as_micros()),
        format!("  cluster      {}, {} topics", listening.image.cluster_id(), listening.image.topic_count()),
        format!("  last stop    {}", last_stop(listening)),
        format!("  host         {report}\n"),
    ];
    // Whoever started the broker may not listen, or not to the end: that is no reason not to serve.
    let _ = std::io::stdout().write_all(lines.join("\n").as_bytes());
}

/// Where metrics are served, in a few words.
fn metrics(config: &BrokerConfig, listening: &Listening<'_>) -> String {
    match (listening.metrics_address, &config.metrics_listener) {
        (Some(address), _) => format!("http://{address}/metrics, /health, /ready"),
        (None, Some(wanted)) => format!("not yet: {}:{} cannot be had", wanted.host, wanted.port),
        (None, None) => "off; --metrics-listen 127.0.0.1:9644 serves them".to_owned(),
    }
}

/// A line for each data directory.
fn data_in(listening: &Listening<'_>) -> String {
    let lines = listening.directories.iter().map(|directory| match &directory.found {
        Ok(_) => absolute(&directory.path),
        Err(_) => format!("{}, which is OFFLINE", absolute(&directory.path)),
    });
    lines.collect::<Vec<_>>().join("\n               ")
}

/// What recovery did, in a few words; damage is told log by log.
fn last_stop(listening: &Listening<'_>) -> String {
    let recovered = listening.directories.iter().filter_map(|directory| directory.found.as_deref().ok());
    for (partition, damage) in recovered.flat_map(Recovered::damaged) {
        tracing::error!(topic_id = %partition.topic, partition = partition.partition.0, %damage, "a log is damaged below its durable end and refused");
    }
    let RecoverySummary { is_clean, replayed_batches, scanned_batches, cut_bytes, .. } = listening.recovery;
    if is_clean {
        return "clean, or the first start".to_owned();
    }
    format!(
        "unclean: {replayed_batches} batches replayed from journals, {scanned_batches} scanned, {cut_bytes} bytes cut"
    )
}

/// The last of the cores this process may use: so many, or all but one. The first is left to the kernel (interrupts,
/// network, disk) and to what has no core of its own, as long as another is there.
/// docs/decisions/2026-11-30-one-core-is-left-to-the-kernel.md measures what that brings.
fn cores(count: Option<u16>) -> Result<Vec<usize>, String> {
    last_cores(uring::usable_cores(), count)
}

fn last_cores(mut usable: Vec<usize>, count: Option<u16>) -> Result<Vec<usize>, String> {
    let all_but_one = usable.len().saturating_sub(1).max(1);
    let count = count.map_or(all_but_one, usize::from);
    if count == 0 || count > usable.len() {
        return Err(format!("{count} cores are asked for; this process may use 1 to {}", usable.len()));
    }
    Ok(usable.split_off(usable.len() - count))
}

fn comma_separated(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn absent_features(arguments: &StartArguments) -> Result<Vec<Feature>, Box<dyn Error>> {
    Ok(arguments.pretend_absent.iter().map(|name| name.parse()).collect::<Result<_, _>>()?)
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_core_is_left_to_the_kernel_unless_it_is_the_only_one_or_asked_for() {
        assert_eq!(last_cores(vec![0, 1, 2, 3], None), Ok(vec![1, 2, 3]));
        assert_eq!(last_cores(vec![0, 1], None), Ok(vec![1]));
        assert_eq!(last_cores(vec![5], None), Ok(vec![5]));
        assert_eq!(last_cores(vec![0, 1, 2, 3], Some(2)), Ok(vec![2, 3]));
        assert_eq!(last_cores(vec![0, 1], Some(2)), Ok(vec![0, 1]));
    }

    #[test]
    fn more_cores_than_there_are_is_refused() {
        assert_eq!(
            last_cores(vec![0, 1], Some(3)),
            Err("3 cores are asked for; this process may use 1 to 2".to_owned())
        );
    }
}
