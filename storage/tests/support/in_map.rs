//! Files of a map, for `verify` to look at.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use ringlog_storage::verify::{Files, Finding, FoundFile, Watcher, verify};

/// What files hold, by path.
pub type Content = BTreeMap<String, Vec<u8>>;

/// They, as a directory at rest.
pub struct InMap<'m>(pub &'m Content);

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
    let mut counted = Counted::default();
    verify(&InMap(files), Path::new(super::DATA_DIR), &mut counted).expect("everything can be read");
    counted.0
}
