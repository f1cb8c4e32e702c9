//! A broker process on a mounted disk.
//!
//! Always true: the process ends with its value.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use ringlog::client::{Address, ClientFailure, Connection};

const START_SECONDS_MAX: u64 = 60;
const ANSWER_SECONDS_MAX: u64 = 30;

/// Sizes so small that segments roll within a few batches. The free bytes that are kept are those of a small disk.
const PROPERTIES: &str = "\
log.segment.bytes=1048576
log.segment.delete.delay.ms=0
log.retention.check.interval.ms=500
offsets.topic.num.partitions=2
socket.request.max.bytes=8388608
fetch.max.bytes=8388608
ringlog.memory.bytes=83886080
ringlog.disk.free.min.bytes=1048576
ringlog.disk.reserve.bytes=1048576
";

/// What brokers are made of.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The program.
    pub binary: PathBuf,
    /// Whether it acknowledges what only memory holds: a mistake, here.
    pub is_relaxed: bool,
}

/// A broker that serves.
pub struct Broker {
    process: Child,
    port: u16,
    log: PathBuf,
}

impl Recipe {
    /// Starts a broker with its data on a disk and its log in `folder`, and waits until it says that it listens.
    ///
    /// # Errors
    /// How it ended instead.
    pub fn start(&self, disk: &Path, folder: &Path, cores: usize) -> Result<Broker, String> {
        let words = |error: std::io::Error| format!("{}: {error}", folder.display());
        let (config, log, port) = (folder.join("server.properties"), folder.join("broker.log"), free_port()?);
        let durability = if self.is_relaxed { "relaxed" } else { "durable" };
        let properties = format!("{PROPERTIES}ringlog.cores={cores}\nringlog.durability={durability}\n");
        std::fs::write(&config, properties).map_err(words)?;
        let process = Command::new(&self.binary)
            .args(["start", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(data(disk))
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(words)?)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        let mut broker = Broker { process, port, log };
        broker.wait_until_it_listens()?;
        Ok(broker)
    }

    /// Whether `ringlog verify` finds everything whole.
    ///
    /// # Errors
    /// What it says.
    pub fn verify(&self, disk: &Path) -> Result<(), String> {
        let output = Command::new(&self.binary).arg("verify").arg(data(disk)).output();
        let output = output.map_err(|error| format!("ringlog verify: {error}"))?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("ringlog verify: {}: {said}", output.status))
        }
    }
}

impl Broker {
    /// A connection of its own.
    ///
    /// # Errors
    /// [`ClientFailure`].
    pub fn connect(&self) -> Result<Connection, ClientFailure> {
        let address = Address { host: "127.0.0.1".to_owned(), port: self.port };
        Connection::open(&address, Duration::from_secs(ANSWER_SECONDS_MAX))
    }

    /// kill -9 while others still ask it. [`Broker::kill`] is to follow.
    ///
    /// # Errors
    /// What the system said.
    pub fn kill_beneath(&self) -> Result<(), String> {
        self.signal("-KILL")
    }

    /// kill -9. Returns its log.
    ///
    /// # Errors
    /// What the system said.
    pub fn kill(mut self) -> Result<String, String> {
        self.process.kill().map_err(|error| format!("kill: {error}"))?;
        self.process.wait().map_err(|error| format!("wait: {error}"))?;
        Ok(self.words())
    }

    /// SIGTERM, after which it ends in order. Returns its log.
    ///
    /// # Errors
    /// How it ended instead.
    pub fn stop(mut self) -> Result<String, String> {
        self.signal("-TERM")?;
        let status = self.process.wait().map_err(|error| format!("wait: {error}"))?;
        if status.success() {
            Ok(self.words())
        } else {
            Err(format!("after SIGTERM: {status}: {}", self.words()))
        }
    }

    /// Its log.
    pub fn words(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: &str) -> Result<(), String> {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        sent.map(drop).map_err(|error| format!("kill: {error}"))
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let output = self.process.stdout.take().expect("it was piped");
        let (heard, listens) = channel();
        // Reads on, or the pipe fills and the broker waits for us.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line.contains("listens on") {
                    let _ = heard.send(()); // nobody waits twice
                }
            }
        });
        match listens.recv_timeout(Duration::from_secs(START_SECONDS_MAX)) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("no start after {START_SECONDS_MAX} s: {}", self.words()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.process.wait().map_err(|error| format!("wait: {error}"))?;
                Err(format!("it did not start: {status}: {}", self.words()))
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended long ago
        let _ = self.process.wait();
    }
}

fn data(disk: &Path) -> PathBuf {
    disk.join("data")
}

fn free_port() -> Result<u16, String> {
    let probe = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr());
    probe.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}
