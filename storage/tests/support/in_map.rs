//! Files of a map, for `verify` to look at.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use ringlog_storage::verify::{Files, Finding, FoundFile, Watcher, verify};

/// What files hold, by path.
pub type Content = BTreeMap<String, Vec<u8>>;

/// They, as a directory at rest.
pub struct InMap<'m>(pub &'m Content);

/// The same on a disk that cannot read one block of one file.
pub struct WithBadBlock<'m> {
    pub files: InMap<'m>,
    pub path: &'m str,
    pub block: u64,
}

impl Files for WithBadBlock<'_> {
    fn list(&self, directory: &Path) -> io::Result<Vec<FoundFile>> {
        self.files.list(directory)
    }

    fn read(&self, path: &Path, position: u64, count: usize) -> io::Result<Vec<u8>> {
        let bytes = self.files.read(path, position, count)?;
        let blocks = position / 4096..(position + bytes.len() as u64).div_ceil(4096);
        match path == Path::new(self.path) && blocks.contains(&self.block) {
            true => Err(io::Error::from_raw_os_error(5)),
            false => Ok(bytes),
        }
    }
}

impl Files for InMap<'_> {
    fn list(&self, directory: &Path) -> io::Result<Vec<FoundFile>> {
        let mut found: BTreeMap<String, FoundFile> = BTreeMap::new();
        for (path, bytes) in self.0 {
            let Ok(rest) = Path::new(path).strip_prefix(directory) else { continue };
            let mut parts = rest.components();
            let Some(name) = parts.next().map(|part| part.as_os_str().to_string_lossy().into_owned()) else {
                continue;
            };
            let is_directory = parts.next().is_some();
            found.insert(name.clone(), FoundFile { name, is_directory, length: bytes.len() as u64 });
        }
        Ok(found.into_values().collect())
    }

    fn read(&self, path: &Path, position: u64, count: usize) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(&path.display().to_string()).ok_or(io::ErrorKind::NotFound)?;
        let from = bytes.len().min(position as usize);
        Ok(bytes[from..bytes.len().min(from.saturating_add(count))].to_vec())
    }
}

/// What was found.
#[derive(Default)]
pub struct Counted(pub Vec<Finding>);

impl Watcher for Counted {
    fn found(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    fn read(&mut self, _: u64) {}
}

/// Everything that `verify` finds in a data directory.
pub fn findings(files: &Content) -> Vec<Finding> {
    findings_of(&InMap(files))
}

/// As [`findings`], of any files.
pub fn findings_of(files: &impl Files) -> Vec<Finding> {
    let mut counted = Counted::default();
    verify(files, Path::new(super::DATA_DIR), &mut counted).expect("everything can be looked at");
    counted.0
}
