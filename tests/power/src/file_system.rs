//! An ext4 file system on a device: made, mounted, unmounted, checked.
//!
//! Always true: the loop device goes with the mount, and the mount with the process, because mounts are made where nobody
//! else sees them (`main.rs`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ringlog::client::cluster::pause;

/// The kernel lets go of a ring's files a moment after its process has ended.
const BUSY_TRIES_MAX: usize = 5000;

/// A mounted file system.
pub struct Mounted {
    folder: PathBuf,
    is_mounted: bool,
    was_repaired: bool,
}

/// Makes an empty file system.
///
/// # Errors
/// What the program said.
pub fn make(device: &Path) -> Result<(), String> {
    // All of it is written now and nothing by the kernel in the background.
    let at_once = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
    run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-N", "8192", "-E", at_once]).arg(device))
        .map(drop)
}

/// Whether `e2fsck` finds nothing to mend.
///
/// # Errors
/// What it found.
pub fn check(device: &Path) -> Result<(), String> {
    run(Command::new("e2fsck").args(["-f", "-n"]).arg(device)).map(drop)
}

/// Mends what `e2fsck` finds.
fn repair(device: &Path) -> Result<(), String> {
    /// It found mistakes and mended them all.
    const MENDED: i32 = 1;
    let mut command = Command::new("e2fsck");
    let output =
        command.args(["-f", "-y"]).arg(device).output().map_err(|error| format!("e2fsck: {error}"))?;
    match output.status.code() {
        Some(0 | MENDED) => Ok(()),
        _ => Err(format!("e2fsck: {}: {}", output.status, String::from_utf8_lossy(&output.stdout))),
    }
}

impl Mounted {
    /// Mounts the file system on a device, which replays its journal. If the kernel refuses, `e2fsck` mends it first, as it does
    /// when a machine boots: ext4's own superblock is two sectors, and one of them may be there without the other.
    ///
    /// # Errors
    /// What the system said.
    pub fn mount(device: &Path, folder: &Path) -> Result<Mounted, String> {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        match Self::mount_as_it_is(device, folder) {
            Ok(mounted) => Ok(mounted),
            Err(refused) => {
                repair(device).map_err(|words| format!("{refused}\n{words}"))?;
                let mut mounted = Self::mount_as_it_is(device, folder)?;
                mounted.was_repaired = true;
                Ok(mounted)
            }
        }
    }

    fn mount_as_it_is(device: &Path, folder: &Path) -> Result<Mounted, String> {
        let found = run(Command::new("losetup").args(["--find", "--show", "--direct-io=on"]).arg(device))?;
        let block_device = found.trim();
        let mounted =
            run(Command::new("mount").args(["-t", "ext4", "-o", "noatime", block_device]).arg(folder));
        // In use it is only marked to go with its last user.
        let detached = run(Command::new("losetup").args(["--detach", block_device]));
        mounted?;
        let mounted = Mounted { folder: folder.to_owned(), is_mounted: true, was_repaired: false };
        detached?;
        Ok(mounted)
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it had to be mended before the kernel took it.
    pub fn was_repaired(&self) -> bool {
        self.was_repaired
    }

    /// Unmounts it.
    ///
    /// # Errors
    /// What the system said, if it does not let go.
    pub fn unmount(mut self) -> Result<(), String> {
        self.is_mounted = false;
        unmount(&self.folder)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_mounted {
            // Something failed already and says so; but the device is the next one's, who must not meet this one's writes.
            let _ = unmount(&self.folder);
        }
    }
}

fn unmount(folder: &Path) -> Result<(), String> {
    let mut tries = 0;
    loop {
        match run(Command::new("umount").arg(folder)) {
            Err(words) if tries == BUSY_TRIES_MAX => return Err(words),
            Err(_) => pause(Duration::from_millis(1)),
            Ok(_) => return Ok(()),
        }
        tries += 1;
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => {
            Err(format!("{command:?}: {}: {}{}", output.status, text(&output.stdout), text(&output.stderr)))
        }
    }
}
