//! Where the brokers under test come from, and how each is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command_line::RunArguments;
use crate::failure::BenchFailure;
use crate::scenario::BrokerKind;

/// What Kafka's own start script gives the virtual machine, with its heap.
const KAFKA_JVM: [&str; 9] = [
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];

const KAFKA_MAIN: &str = "kafka.Kafka";
const KAFKA_FORMAT: &str = "kafka.tools.StorageTool";

/// Any will do: a cluster of one node.
const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// How one of the brokers is started.
#[derive(Clone, Debug)]
pub struct Launcher {
    kind: BrokerKind,
    /// Ringlog's binary, or the folder of Kafka's archives.
    place: PathBuf,
    /// The cores it is confined to, as `taskset` takes them.
    cores: Option<String>,
}

impl Launcher {
    /// Finds the broker; Kafka is assembled from Maven Central if it is not there.
    ///
    /// # Errors
    /// [`BenchFailure`] if it cannot be had.
    pub fn find(kind: BrokerKind, arguments: &RunArguments) -> Result<Launcher, BenchFailure> {
        let place = match kind {
            BrokerKind::Ringlog => ringlog_binary(arguments)?,
            BrokerKind::Kafka => {
                let folder = &arguments.kafka_jars;
                if kafka_archive(folder).is_none() {
                    assemble_kafka(&arguments.kafka_pom, folder)?;
                }
                folder.clone()
            }
        };
        let place = fs::canonicalize(&place)
            .map_err(|error| BenchFailure::Arguments(format!("{}: {error}", place.display())))?;
        Ok(Launcher { kind, place, cores: arguments.broker_cores.clone() })
    }

    /// Which broker.
    pub fn kind(&self) -> BrokerKind {
        self.kind
    }

    /// As it says itself, or as its archive is called.
    pub fn version(&self) -> String {
        match self.kind {
            BrokerKind::Ringlog => {
                let said = Command::new(&self.place).arg("--version").output();
                said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
                    .unwrap_or_default()
            }
            BrokerKind::Kafka => kafka_archive(&self.place).unwrap_or_default(),
        }
    }

    /// What has to be on the machine to start it. A Java runtime counts to Kafka, where it is known.
    pub fn installed_bytes(&self) -> u64 {
        match self.kind {
            BrokerKind::Ringlog => fs::metadata(&self.place).map_or(0, |metadata| metadata.len()),
            BrokerKind::Kafka => {
                let entries = fs::read_dir(&self.place).into_iter().flatten().flatten();
                entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
            }
        }
    }

    /// Its configuration: what both need to be one node that listens on loopback, then what the scenario asks for.
    pub fn properties(&self, port: u16, controller_port: u16, data: &Path, configs: &[String]) -> String {
        let mut lines = vec![format!("log.dirs={}", data.display())];
        let listener = format!("PLAINTEXT://127.0.0.1:{port}");
        match self.kind {
            BrokerKind::Ringlog => lines.push(format!("listeners={listener}")),
            BrokerKind::Kafka => lines.extend([
                "process.roles=broker,controller".to_owned(),
                "node.id=1".to_owned(),
                format!("controller.quorum.voters=1@127.0.0.1:{controller_port}"),
                format!("listeners={listener},CONTROLLER://127.0.0.1:{controller_port}"),
                format!("advertised.listeners={listener}"),
                "controller.listener.names=CONTROLLER".to_owned(),
                "inter.broker.listener.name=PLAINTEXT".to_owned(),
                "offsets.topic.replication.factor=1".to_owned(),
                "transaction.state.log.replication.factor=1".to_owned(),
                "transaction.state.log.min.isr=1".to_owned(),
            ]),
        }
        lines.extend(configs.iter().cloned());
        lines.join("\n") + "\n"
    }

    /// Makes an empty directory one that the broker can be started on.
    ///
    /// # Errors
    /// [`BenchFailure::Host`].
    pub fn format(&self, properties: &Path) -> Result<(), BenchFailure> {
        if self.kind == BrokerKind::Ringlog {
            return Ok(());
        }
        let mut command = Command::new("java");
        command.arg("-Xmx256m").arg("-cp").arg(self.class_path()).arg(KAFKA_FORMAT);
        command.args(["format", "-t", CLUSTER_ID, "-c"]).arg(properties);
        let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        match done {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                Err(BenchFailure::Host(format!("formatting Kafka's directory ended with {status}")))
            }
            Err(error) => Err(BenchFailure::Host(format!("java: {error}"))),
        }
    }

    /// The command that starts it.
    pub fn command(&self, properties: &Path) -> Command {
        let mut words: Vec<PathBuf> = Vec::new();
        if let Some(cores) = &self.cores {
            words.extend(["taskset", "-c", cores].map(PathBuf::from));
        }
        match self.kind {
            BrokerKind::Ringlog => {
                words.extend([self.place.clone(), "start".into(), "--config".into(), properties.into()]);
            }
            BrokerKind::Kafka => {
                words.push("java".into());
                words.extend(KAFKA_JVM.map(PathBuf::from));
                words.extend(["-cp".into(), self.class_path().into(), KAFKA_MAIN.into(), properties.into()]);
            }
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    fn class_path(&self) -> String {
        format!("{}/*", self.place.display())
    }
}

fn ringlog_binary(arguments: &RunArguments) -> Result<PathBuf, BenchFailure> {
    if let Some(binary) = &arguments.ringlog {
        return Ok(binary.clone());
    }
    let own = std::env::current_exe().map_err(|error| BenchFailure::Host(error.to_string()))?;
    let beside = own.with_file_name("ringlog");
    match beside.exists() {
        true => Ok(beside),
        false => Err(BenchFailure::Arguments(format!(
            "{} is not there: build it with `cargo build --release --workspace`, or name it with --ringlog",
            beside.display()
        ))),
    }
}

/// The name of the broker's archive, which has its version.
fn kafka_archive(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.starts_with("kafka_2") && name.ends_with(".jar"))
}

fn assemble_kafka(pom: &Path, folder: &Path) -> Result<(), BenchFailure> {
    eprintln!("ringlog-bench: fetching Apache Kafka into {}", folder.display());
    fs::create_dir_all(folder)
        .and_then(|()| fs::canonicalize(folder))
        .map_err(|error| BenchFailure::Arguments(format!("{}: {error}", folder.display())))
        .and_then(|whole| {
            let mut command = Command::new("mvn");
            command.args(["-q", "-B", "-Preference", "dependency:copy-dependencies", "-f"]).arg(pom);
            command.arg(format!("-DoutputDirectory={}", whole.display()));
            let done = command.stdout(Stdio::null()).status();
            match done {
                Ok(status) if status.success() && kafka_archive(folder).is_some() => Ok(()),
                Ok(status) => Err(BenchFailure::Host(format!(
                    "Maven ended with {status}: Kafka is not in {} (--kafka-jars)",
                    folder.display()
                ))),
                Err(error) => Err(BenchFailure::Host(format!(
                    "mvn: {error}; install Maven, or name archives with --kafka-jars"
                ))),
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launcher(kind: BrokerKind, cores: Option<&str>) -> Launcher {
        Launcher { kind, place: PathBuf::from("/somewhere"), cores: cores.map(str::to_owned) }
    }

    fn line_of(command: &Command) -> String {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn kafka_is_started_as_its_own_script_starts_it() {
        let line = line_of(&launcher(BrokerKind::Kafka, Some("0")).command(Path::new("p")));
        assert!(line.starts_with("taskset -c 0 java -Xmx1G -Xms1G -server -XX:+UseG1GC"), "{line}");
        assert!(line.ends_with("-cp /somewhere/* kafka.Kafka p"), "{line}");
    }

    #[test]
    fn ringlog_is_started_by_its_configuration_alone() {
        let ours = launcher(BrokerKind::Ringlog, None);
        assert_eq!(line_of(&ours.command(Path::new("p"))), "/somewhere start --config p");
        let properties = ours.properties(9, 10, Path::new("/data"), &["num.partitions=3".to_owned()]);
        assert_eq!(properties, "log.dirs=/data\nlisteners=PLAINTEXT://127.0.0.1:9\nnum.partitions=3\n");
    }

    #[test]
    fn the_version_of_kafka_is_that_of_its_archive() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kafka_archive(folder.path()), None);
        fs::write(folder.path().join("kafka_2.13-4.3.1.jar"), "jar").unwrap();
        assert_eq!(kafka_archive(folder.path()).as_deref(), Some("kafka_2.13-4.3.1.jar"));
    }
}
