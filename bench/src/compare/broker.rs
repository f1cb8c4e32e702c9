//! A broker under test: a process on a directory of its own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ringlog::client::cluster::pause;
use ringlog::client::{Address, Connection};
use ringlog_runtime::uring::wall_clock;

use crate::compare::launcher::Launcher;
use crate::compare::record::StartReport;
use crate::failure::BenchFailure;

/// The longest a broker may take to answer, and to end.
const START_MS_MAX: i64 = 120_000;
const STOP_MS_MAX: i64 = 120_000;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// The longest one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

const LOOPBACK: &str = "127.0.0.1";

/// A broker that answers. It ends with this.
pub struct Broker {
    launcher: Launcher,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
    /// How it came up the last time.
    pub start: StartReport,
}

impl Broker {
    /// Starts one on an empty directory and waits for its first answer.
    ///
    /// # Errors
    /// [`BenchFailure`] if it does not come up.
    pub fn begin(launcher: &Launcher, folder: &Path, configs: &[String]) -> Result<Broker, BenchFailure> {
        let lost = |error: std::io::Error| BenchFailure::Host(format!("{}: {error}", folder.display()));
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(lost)?;
        }
        fs::create_dir_all(folder).map_err(lost)?;
        let folder = fs::canonicalize(folder).map_err(lost)?;
        let (port, controller_port) = (free_port()?, free_port()?);
        let mut broker =
            Broker { launcher: launcher.clone(), folder, port, child: None, start: StartReport::default() };
        let properties = launcher.properties(port, controller_port, &broker.folder.join("data"), configs);
        fs::write(broker.properties(), properties).map_err(lost)?;
        launcher.format(&broker.properties())?;
        broker.start()?;
        Ok(broker)
    }

    /// Starts it again, on what is there.
    ///
    /// # Errors
    /// [`BenchFailure`] if it does not come up.
    pub fn start(&mut self) -> Result<(), BenchFailure> {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().append(true).create(true).open(self.log());
        let logs = log.and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) =
            logs.map_err(|error| BenchFailure::Host(format!("{}: {error}", self.log().display())))?;
        let began = wall_clock().0;
        let mut command = self.launcher.command(&self.properties());
        let child = command.current_dir(&self.folder).stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child =
            child.map_err(|error| BenchFailure::Host(format!("{:?}: {error}", command.get_program())))?;
        let child = self.child.insert(child);
        let address = Address { host: LOOPBACK.to_owned(), port: self.port };
        while Connection::open(&address, PATIENCE).is_err() {
            let ended = child.try_wait().ok().flatten();
            if ended.is_some() || wall_clock().0 - began > START_MS_MAX {
                let how = ended.map_or("gave no answer".to_owned(), |status| format!("ended with {status}"));
                let kind = self.launcher.kind();
                return Err(BenchFailure::Broker(format!("{kind} {how}: see {}", self.log().display())));
            }
            pause(LOOK);
        }
        self.start = StartReport {
            first_answer_ms: (wall_clock().0 - began).unsigned_abs(),
            installed_bytes: self.launcher.installed_bytes(),
        };
        Ok(())
    }

    /// Asks it to end, and waits; after too long it is killed.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // It may have ended by itself; then nobody is told.
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).stderr(Stdio::null()).status();
        let began = wall_clock().0;
        while wall_clock().0 - began < STOP_MS_MAX {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            pause(Duration::from_millis(10));
        }
        let _ = (child.kill(), child.wait());
    }

    /// Where clients reach it.
    pub fn address(&self) -> String {
        format!("{LOOPBACK}:{}", self.port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Its configuration.
    pub fn properties(&self) -> PathBuf {
        self.folder.join("broker.properties")
    }

    /// What it says.
    pub fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// Its directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> Result<u16, BenchFailure> {
    let probe = TcpListener::bind((LOOPBACK, 0)).and_then(|probe| probe.local_addr());
    probe.map(|address| address.port()).map_err(|error| BenchFailure::Host(format!("no free port: {error}")))
}
