//! The disk of a world: names, contents, operations under way, and what a power loss makes of them. No clock
//! and no scheduling here: `files` decides when an operation takes effect.
//!
//! ```text
//!   submit ──► in flight ──(later)──► completed: visible, pending ──sync──► durable
//!                 │                            │
//!              power loss: lost / torn / whole, each on its own      power loss: stays
//! ```
//!
//! Always true: an operation that completed with a promise of stability is there after every power loss.

mod content;
mod mounts;
mod names;
mod power;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use crate::buffer::DIRECT_ALIGNMENT;
use crate::environment::{DirectoryEntry, EntryKind, WriteSync};

use super::random::{PerMillion, Random};
use content::Content;
pub use mounts::MountFails;
use mounts::Mounts;
use names::{Names, Node};
pub use power::PowerLoss;

/// A kind of disk operation, to say which one shall fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DiskOperation {
    /// Opening a file, creating it where the mode says so.
    Open,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Making a file's completed writes stable.
    Sync,
    /// Reserving space.
    Allocate,
    /// Cutting or extending a file.
    Truncate,
    /// Creating a directory.
    CreateDirectory,
    /// Listing a directory.
    ListDirectory,
    /// Renaming a file or directory.
    Rename,
    /// Removing a file or an empty directory.
    Remove,
    /// Making a directory's changes stable.
    SyncDirectory,
}

impl DiskOperation {
    pub(super) fn verb(self) -> &'static str {
        match self {
            DiskOperation::Open => "open",
            DiskOperation::Read => "read",
            DiskOperation::Write => "write",
            DiskOperation::Sync => "sync",
            DiskOperation::Allocate => "allocate",
            DiskOperation::Truncate => "truncate",
            DiskOperation::CreateDirectory => "create directory",
            DiskOperation::ListDirectory => "list directory",
            DiskOperation::Rename => "rename",
            DiskOperation::Remove => "remove",
            DiskOperation::SyncDirectory => "sync directory",
        }
    }

    /// Whether it changes what a power loss may leave. Opening may create, so it counts.
    pub(super) fn is_mutation(self) -> bool {
        !matches!(self, DiskOperation::Read | DiskOperation::ListDirectory)
    }
}

/// Whether an open file shall be created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum IfAbsent {
    Create,
    Fail,
}

/// Names and contents, with what a power loss would leave of them.
#[derive(Clone)]
pub(super) struct Disk {
    names: Names,
    contents: BTreeMap<u64, Content>,
    /// Blocks that cannot be read, by file and number.
    unreadable: BTreeSet<(u64, u64)>,
    in_flight: BTreeMap<u64, InFlightWrite>,
    last_sequence: u64,
    bytes_max: u64,
    mounts: Mounts,
    read_only: bool,
}

#[derive(Clone)]
struct InFlightWrite {
    file: u64,
    position: u64,
    bytes: Vec<u8>,
    sync: WriteSync,
}

impl Disk {
    pub fn new(bytes_max: u64) -> Disk {
        Disk {
            names: Names::new(),
            contents: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            last_sequence: 0,
            bytes_max,
            mounts: Mounts::default(),
            read_only: false,
        }
    }

    /// A number for an operation that begins or completes now: larger than all before.
    pub fn next_sequence(&mut self) -> u64 {
        self.last_sequence += 1;
        self.last_sequence
    }

    pub fn open(&mut self, path: &Path, if_absent: IfAbsent) -> io::Result<u64> {
        match (self.names.find_file(path), if_absent) {
            (Err(error), IfAbsent::Create) if error.kind() == io::ErrorKind::NotFound => {
                self.expect_writable()?;
                let sequence = self.next_sequence();
                let file = self.names.create_file(sequence, path)?;
                self.contents.insert(file, Content::default());
                self.mounts.note_file(file, path);
                Ok(file)
            }
            (found, _) => found,
        }
    }

    /// Notes that a file changes now.
    pub fn touch(&mut self, file: u64, now_ns: u64) {
        self.content(file).modified_ns = now_ns;
    }

    pub fn modified_ns(&self, file: u64) -> u64 {
        self.contents[&file].modified_ns
    }

    pub fn length(&self, file: u64) -> u64 {
        self.contents[&file].length()
    }

    pub fn read(&self, file: u64, position: u64, target: &mut [u8]) -> usize {
        self.contents[&file].read(position, target)
    }

    /// Fails where a block is met that cannot be read.
    pub fn expect_readable(&self, file: u64, position: u64, length: usize) -> io::Result<()> {
        let block = DIRECT_ALIGNMENT as u64;
        let blocks = position / block..(position + length as u64).div_ceil(block);
        match self.unreadable.range((file, blocks.start)..(file, blocks.end)).next() {
            Some(_) => Err(io::Error::from_raw_os_error(libc::EIO)),
            None => Ok(()),
        }
    }

    pub fn set_unreadable(&mut self, file: u64, block: u64) {
        self.unreadable.insert((file, block));
    }

    /// The whole visible content.
    pub fn bytes(&self, file: u64) -> &[u8] {
        self.contents[&file].bytes()
    }

    /// A write leaves the program; until it completes a power loss may take any part of it.
    pub fn begin_write(&mut self, file: u64, position: u64, bytes: Vec<u8>, sync: WriteSync) -> u64 {
        let number = self.next_sequence();
        self.in_flight.insert(number, InFlightWrite { file, position, bytes, sync });
        number
    }

    pub fn complete_write(&mut self, number: u64) -> io::Result<()> {
        let write = self.take_in_flight(number);
        self.expect_writable()?;
        self.expect_room(write.file, write.position + write.bytes.len() as u64)?;
        let sequence = self.next_sequence();
        self.content(write.file).write(sequence, write.position, write.bytes, write.sync);
        Ok(())
    }

    pub fn fail_write(&mut self, number: u64, random: &mut Random) {
        let write = self.take_in_flight(number);
        let sequence = self.next_sequence();
        self.content(write.file).fail_write(sequence, write.position, &write.bytes, random);
    }

    pub fn set_length(&mut self, file: u64, length: u64) -> io::Result<()> {
        self.expect_writable()?;
        self.expect_room(file, length)?;
        let sequence = self.next_sequence();
        self.content(file).set_length(sequence, length);
        Ok(())
    }

    /// Makes stable what had completed at `sequence`.
    pub fn sync(&mut self, file: u64, sequence: u64) {
        self.content(file).sync_to(sequence);
    }

    pub fn fail_sync(&mut self, file: u64, sequence: u64, random: &mut Random) {
        self.content(file).fail_sync_to(sequence, random);
    }

    pub fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        self.expect_writable()?;
        let sequence = self.next_sequence();
        self.names.create_directory(sequence, path)
    }

    pub fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let entries = self.names.list(path)?.into_iter().map(|(name, node)| match node {
            Node::File(file) => DirectoryEntry { name, kind: EntryKind::File, length: self.length(file) },
            Node::Directory(_) => DirectoryEntry { name, kind: EntryKind::Directory, length: 0 },
        });
        Ok(entries.collect())
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.expect_writable()?;
        let sequence = self.next_sequence();
        self.names.rename(sequence, from, to)
    }

    pub fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.expect_writable()?;
        let sequence = self.next_sequence();
        self.names.remove_file(sequence, path)
    }

    pub fn remove_directory(&mut self, path: &Path) -> io::Result<()> {
        self.expect_writable()?;
        let sequence = self.next_sequence();
        self.names.remove_directory(sequence, path)
    }

    /// Makes stable what changed in a directory until `sequence`.
    pub fn sync_directory(&mut self, path: &Path, sequence: u64) -> io::Result<()> {
        self.names.sync(sequence, path)
    }

    pub fn total_bytes(&self, path: &Path) -> u64 {
        self.bytes_max_of(self.mounts.of(path))
    }

    pub fn free_bytes(&self, path: &Path) -> u64 {
        self.free_bytes_of(self.mounts.of(path))
    }

    /// Bytes of all files on the file system of a path.
    pub fn used_bytes(&self, path: &Path) -> u64 {
        self.used_bytes_of(self.mounts.of(path))
    }

    fn bytes_max_of(&self, mount: Option<&Path>) -> u64 {
        mount.map_or(self.bytes_max, |mount| self.mounts.bytes_max(mount))
    }

    fn free_bytes_of(&self, mount: Option<&Path>) -> u64 {
        self.bytes_max_of(mount).saturating_sub(self.used_bytes_of(mount))
    }

    fn used_bytes_of(&self, mount: Option<&Path>) -> u64 {
        let files = self.names.files().into_iter().filter(|(_, file)| self.mounts.of_file(*file) == mount);
        files.map(|(_, file)| self.length(file)).sum()
    }

    /// Makes the directory a file system of its own, with room for so many bytes: of files made from now on.
    pub fn mount(&mut self, path: &Path, bytes_max: u64) {
        self.mounts.mount(path, bytes_max);
    }

    pub fn is_mount(&self, path: &Path) -> bool {
        self.mounts.is_mount(path)
    }

    pub fn set_mount_fails(&mut self, path: &Path, fails: MountFails) {
        self.mounts.set_fails(path, fails);
    }

    /// Whether the file system of a path fails such an operation.
    pub fn mount_fails(&self, path: &Path, operation: DiskOperation) -> bool {
        self.mounts.fails(path, operation)
    }

    pub fn set_bytes_max(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    pub fn set_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
    }

    pub fn find_file(&self, path: &Path) -> io::Result<u64> {
        self.names.find_file(path)
    }

    /// Every file: full path and length, sorted by path.
    pub fn files(&self) -> Vec<(String, u64)> {
        let mut files = self.names.files();
        files.sort();
        files.into_iter().map(|(path, file)| (path, self.length(file))).collect()
    }

    pub fn corrupt(&mut self, file: u64, position: u64, mask: u8) {
        self.content(file).corrupt(position, mask);
    }

    pub fn force_length(&mut self, file: u64, length: u64) {
        self.content(file).force_length(length);
    }

    /// Flips one bit within a range of a file, as an ageing medium does.
    pub fn rot(&mut self, file: u64, start: u64, length: usize, random: &mut Random) {
        if length > 0 {
            self.corrupt(file, start + random.below(length as u64), 1 << random.below(8));
        }
    }

    /// The power goes and comes back: what is left is what a legal device may leave.
    pub fn lose_power(&mut self, loss: PowerLoss, random: &mut Random) {
        for (_, write) in std::mem::take(&mut self.in_flight) {
            self.content(write.file).interrupt_write(write.position, &write.bytes, random);
        }
        self.names.lose_power(loss, random);
        let reachable: BTreeMap<u64, String> =
            self.names.files().into_iter().map(|(path, file)| (file, path)).collect();
        self.contents.retain(|file, _| reachable.contains_key(file));
        for content in self.contents.values_mut() {
            content.lose_power(loss, random);
        }
    }

    /// The process is gone, the power is not: any part of a write under way was carried out.
    pub fn interrupt_writes(&mut self, random: &mut Random) {
        for number in self.in_flight.keys().copied().collect::<Vec<_>>() {
            self.fail_write(number, random);
        }
    }

    fn take_in_flight(&mut self, number: u64) -> InFlightWrite {
        self.in_flight.remove(&number).expect("a write completes once")
    }

    fn content(&mut self, file: u64) -> &mut Content {
        self.contents.get_mut(&file).expect("a file that is open keeps its content")
    }

    fn expect_writable(&self) -> io::Result<()> {
        match self.read_only {
            true => Err(io::Error::from_raw_os_error(libc::EROFS)),
            false => Ok(()),
        }
    }

    fn expect_room(&self, file: u64, length: u64) -> io::Result<()> {
        let growth = length.saturating_sub(self.length(file));
        // Removed files still open count here and not below: the cheap sum first, names only when it is tight.
        let mount = self.mounts.of_file(file);
        let held = self.contents.iter().filter(|(file, _)| self.mounts.of_file(**file) == mount);
        let held_bytes: u64 = held.map(|(_, content)| content.length()).sum();
        let is_full = growth > 0
            && growth > self.bytes_max_of(mount).saturating_sub(held_bytes)
            && growth > self.free_bytes_of(mount);
        match is_full {
            true => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            false => Ok(()),
        }
    }
}

/// How often an operation fails by itself.
pub(super) fn error_rate(operation: DiskOperation, faults: &super::Faults) -> PerMillion {
    match operation {
        DiskOperation::Read => faults.read_error,
        DiskOperation::Write => faults.write_error,
        DiskOperation::Sync => faults.sync_error,
        _ => PerMillion::NEVER,
    }
}
