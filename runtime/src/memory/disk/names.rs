//! The directory tree: which name leads to which file, now and after a power loss.
//!
//! ```text
//!   durable   journal ─► 7                   after a power loss, plus any of the changes below
//!   changes   {x.tmp ─► 9} {x.tmp ─► none, x ─► 9}      completed, their directory not synced
//!   volatile  journal ─► 7, x ─► 9           what the program sees
//! ```
//!
//! Always true: a rename happens whole or not at all; changes that move the same file survive in the order they
//! were made, all others independently; no file ever has two names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use super::power::PowerLoss;
use crate::memory::random::Random;

/// What a name leads to: the number of a file or of a directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Node {
    File(u64),
    Directory(u64),
}

const ROOT: u64 = 0;

/// All directories.
#[derive(Clone)]
pub(super) struct Names {
    directories: BTreeMap<u64, Directory>,
    changes: Vec<DirectoryChange>,
    next_number: u64,
}

#[derive(Default, Clone)]
struct Directory {
    durable: BTreeMap<String, Node>,
    volatile: BTreeMap<String, Node>,
}

#[derive(Clone)]
struct DirectoryChange {
    sequence: u64,
    node: Node,
    edits: Vec<Edit>,
    unsynced: BTreeSet<u64>,
}

#[derive(Clone)]
struct Edit {
    directory: u64,
    name: String,
    after: Option<Node>,
}

impl Names {
    pub fn new() -> Names {
        let directories = BTreeMap::from([(ROOT, Directory::default())]);
        Names { directories, changes: Vec::new(), next_number: 1 }
    }

    /// A number no file or directory has had.
    pub fn new_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    pub fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Directory(ROOT);
        for name in components(path) {
            let Node::Directory(number) = node else { return Err(io::ErrorKind::NotADirectory.into()) };
            node = *self.directories[&number].volatile.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    pub fn find_file(&self, path: &Path) -> io::Result<u64> {
        match self.find(path)? {
            Node::File(number) => Ok(number),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn find_directory(&self, path: &Path) -> io::Result<u64> {
        match self.find(path)? {
            Node::Directory(number) => Ok(number),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Names in a directory, sorted.
    pub fn list(&self, path: &Path) -> io::Result<Vec<(String, Node)>> {
        let number = self.find_directory(path)?;
        Ok(self.directories[&number].volatile.iter().map(|(name, node)| (name.clone(), *node)).collect())
    }

    /// Every file with its full path.
    pub fn files(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        self.collect_files(ROOT, "", &mut found);
        found
    }

    fn collect_files(&self, directory: u64, prefix: &str, found: &mut Vec<(String, u64)>) {
        for (name, node) in &self.directories[&directory].volatile {
            let path = format!("{prefix}/{name}");
            match node {
                Node::File(number) => found.push((path, *number)),
                Node::Directory(number) => self.collect_files(*number, &path, found),
            }
        }
    }

    /// Gives a new file a name.
    pub fn create_file(&mut self, sequence: u64, path: &Path) -> io::Result<u64> {
        let (directory, name) = self.place(path)?;
        let number = self.new_number();
        self.change(sequence, Node::File(number), vec![Edit::put(directory, name, Node::File(number))]);
        Ok(number)
    }

    /// Creates a directory and its missing parents.
    pub fn create_directory(&mut self, sequence: u64, path: &Path) -> io::Result<()> {
        let mut parent = ROOT;
        for name in components(path) {
            match self.directories[&parent].volatile.get(name) {
                Some(Node::Directory(number)) => parent = *number,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    let number = self.new_number();
                    self.directories.insert(number, Directory::default());
                    let node = Node::Directory(number);
                    self.change(sequence, node, vec![Edit::put(parent, name.to_owned(), node)]);
                    parent = number;
                }
            }
        }
        Ok(())
    }

    pub fn rename(&mut self, sequence: u64, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (from_directory, from_name) = self.place(from)?;
        let (to_directory, to_name) = self.place(to)?;
        match (node, self.find(to)) {
            (_, Ok(target)) if target == node => return Ok(()),
            (Node::File(_), Ok(Node::Directory(_))) => return Err(io::ErrorKind::IsADirectory.into()),
            (Node::Directory(_), Ok(Node::File(_))) => return Err(io::ErrorKind::NotADirectory.into()),
            (Node::Directory(_), Ok(Node::Directory(target))) => self.expect_empty(target)?,
            _ => {}
        }
        let edits = vec![Edit::drop(from_directory, from_name), Edit::put(to_directory, to_name, node)];
        self.change(sequence, node, edits);
        Ok(())
    }

    pub fn remove_file(&mut self, sequence: u64, path: &Path) -> io::Result<()> {
        let number = self.find_file(path)?;
        let (directory, name) = self.place(path)?;
        self.change(sequence, Node::File(number), vec![Edit::drop(directory, name)]);
        Ok(())
    }

    pub fn remove_directory(&mut self, sequence: u64, path: &Path) -> io::Result<()> {
        let number = self.find_directory(path)?;
        self.expect_empty(number)?;
        let (directory, name) = self.place(path)?;
        self.change(sequence, Node::Directory(number), vec![Edit::drop(directory, name)]);
        Ok(())
    }

    /// Makes the changes completed up to `sequence` inside a directory stable.
    pub fn sync(&mut self, sequence: u64, path: &Path) -> io::Result<()> {
        let number = self.find_directory(path)?;
        for change in self.changes.iter_mut().filter(|change| change.sequence <= sequence) {
            change.unsynced.remove(&number);
        }
        self.apply_synced();
        Ok(())
    }

    /// The power goes: each change whose directory was not synced is lost or kept on its own.
    pub fn lose_power(&mut self, loss: PowerLoss, random: &mut Random) {
        let mut lost = BTreeSet::new();
        for change in std::mem::take(&mut self.changes) {
            if lost.contains(&change.node) || loss.loses_name(random) {
                lost.insert(change.node);
            } else {
                self.apply_durably(&change);
            }
        }
        for directory in self.directories.values_mut() {
            directory.volatile.clone_from(&directory.durable);
        }
        self.forget_unreachable();
    }

    fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut to_visit = vec![ROOT];
        while let Some(number) = to_visit.pop() {
            for node in self.directories[&number].volatile.values() {
                if let Node::Directory(child) = node
                    && reached.insert(*child)
                {
                    to_visit.push(*child);
                }
            }
        }
        self.directories.retain(|number, _| reached.contains(number));
    }

    fn expect_empty(&self, directory: u64) -> io::Result<()> {
        match self.directories[&directory].volatile.is_empty() {
            true => Ok(()),
            false => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        }
    }

    /// The directory a path lies in, and its name there.
    fn place(&self, path: &Path) -> io::Result<(u64, String)> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = components(path).last().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find_directory(parent)?, name.to_owned()))
    }

    fn change(&mut self, sequence: u64, node: Node, edits: Vec<Edit>) {
        for edit in &edits {
            let directory = self.directories.get_mut(&edit.directory).expect("a directory in use exists");
            edit.apply(&mut directory.volatile);
        }
        let unsynced = edits.iter().map(|edit| edit.directory).collect();
        self.changes.push(DirectoryChange { sequence, node, edits, unsynced });
    }

    /// A change is stable when all its directories were synced, or when a later change of the same file is.
    fn apply_synced(&mut self) {
        let synced: Vec<(u64, Node)> = self
            .changes
            .iter()
            .filter(|change| change.unsynced.is_empty())
            .map(|change| (change.sequence, change.node))
            .collect();
        let is_stable = |change: &DirectoryChange| {
            synced.iter().any(|(sequence, node)| change.node == *node && change.sequence <= *sequence)
        };
        for change in std::mem::take(&mut self.changes) {
            if is_stable(&change) {
                self.apply_durably(&change);
            } else {
                self.changes.push(change);
            }
        }
    }

    fn apply_durably(&mut self, change: &DirectoryChange) {
        for edit in &change.edits {
            let directory =
                self.directories.get_mut(&edit.directory).expect("directories stay until a crash");
            edit.apply(&mut directory.durable);
        }
    }
}

impl Edit {
    fn put(directory: u64, name: String, node: Node) -> Edit {
        Edit { directory, name, after: Some(node) }
    }

    fn drop(directory: u64, name: String) -> Edit {
        Edit { directory, name, after: None }
    }

    fn apply(&self, plane: &mut BTreeMap<String, Node>) {
        match self.after {
            Some(node) => plane.insert(self.name.clone(), node),
            None => plane.remove(&self.name),
        };
    }
}

fn components(path: &Path) -> impl Iterator<Item = &str> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_str().expect("the broker names its files in UTF-8")),
        Component::RootDir | Component::CurDir => None,
        Component::ParentDir | Component::Prefix(_) => panic!("the broker never asks for {}", path.display()),
    })
}
