//! An open file of a world. Direct modes assert the alignment that the kernel would demand.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::disk::DiskOperation;
use super::environment::{MemoryEnvironment, Outcome};
use super::trace::Step;
use super::world::World;
use crate::buffer::{BufMut, DIRECT_ALIGNMENT, Slice};
use crate::environment::{DiskFailure, File, OpenMode, WriteSync};

/// An open file; clones share it.
#[derive(Clone)]
pub struct MemoryFile {
    shared: Rc<OpenFile>,
}

struct OpenFile {
    environment: MemoryEnvironment,
    file: u64,
    path: PathBuf,
    mode: OpenMode,
}

impl MemoryFile {
    pub(super) fn new(environment: MemoryEnvironment, file: u64, path: &Path, mode: OpenMode) -> MemoryFile {
        MemoryFile { shared: Rc::new(OpenFile { environment, file, path: path.to_owned(), mode }) }
    }
}

impl OpenFile {
    fn is_direct(&self) -> bool {
        matches!(self.mode, OpenMode::DirectRead | OpenMode::DirectWrite)
    }

    fn expect_writable(&self) {
        let is_writable = matches!(self.mode, OpenMode::DirectWrite | OpenMode::BufferedWrite);
        assert!(is_writable, "{} was opened to read", self.path.display());
    }

    fn expect_aligned(&self, what: &str, value: u64) {
        let aligned = !self.is_direct() || value.is_multiple_of(DIRECT_ALIGNMENT as u64);
        assert!(aligned, "direct I/O on {}: {what} {value} is not aligned", self.path.display());
    }

    async fn run<T: 'static>(
        &self,
        operation: DiskOperation,
        position: Option<u64>,
        run: impl FnOnce(&World, Outcome) -> io::Result<T> + 'static,
    ) -> Result<T, DiskFailure> {
        self.environment.disk(operation, &self.path, position, run).await
    }
}

impl File for MemoryFile {
    async fn read_at(&self, position: u64, mut buffer: BufMut) -> Result<BufMut, DiskFailure> {
        let open = &self.shared;
        open.expect_aligned("position", position);
        open.expect_aligned("capacity", buffer.capacity() as u64);
        open.expect_aligned("address", buffer.as_slice().as_ptr() as u64);
        let file = open.file;
        let run = move |world: &World, outcome: Outcome| {
            outcome.check()?;
            let rots = world.random.borrow_mut().happens(world.faults().bit_rot);
            let length =
                (world.disk.borrow().length(file).saturating_sub(position) as usize).min(buffer.capacity());
            if rots {
                world.disk.borrow_mut().rot(file, position, length, &mut world.random.borrow_mut());
            }
            world.disk.borrow().expect_readable(file, position, length)?;
            let count = world.disk.borrow().read(file, position, buffer.as_full_mut_slice());
            buffer.set_len(count);
            world.trace.note_bytes(Step::DiskRead, position, buffer.as_slice());
            Ok(buffer)
        };
        open.run(DiskOperation::Read, Some(position), run).await
    }

    async fn write_at(&self, position: u64, slices: Vec<Slice>, sync: WriteSync) -> Result<(), DiskFailure> {
        let open = &self.shared;
        open.expect_writable();
        open.expect_aligned("position", position);
        for slice in &slices {
            open.expect_aligned("length", slice.len() as u64);
            open.expect_aligned("address", slice.as_ptr() as u64);
        }
        if open.environment.is_dead() {
            return std::future::pending().await;
        }
        let bytes = slices.concat_bytes();
        let world = open.environment.world();
        world.trace.note_bytes(Step::DiskWrite, position, &bytes);
        let number = world.disk.borrow_mut().begin_write(open.file, position, bytes, sync);
        let file = open.file;
        let run = move |world: &World, outcome: Outcome| {
            let mut disk = world.disk.borrow_mut();
            disk.touch(file, world.clock.now());
            match outcome {
                Outcome::Success => disk.complete_write(number),
                Outcome::Failure => {
                    disk.fail_write(number, &mut world.random.borrow_mut());
                    outcome.check()
                }
            }
        };
        open.run(DiskOperation::Write, Some(position), run).await
    }

    async fn sync(&self) -> Result<(), DiskFailure> {
        let file = self.shared.file;
        let submitted_at = self.shared.environment.world().disk.borrow_mut().next_sequence();
        let run = move |world: &World, outcome: Outcome| {
            let mut disk = world.disk.borrow_mut();
            match outcome {
                Outcome::Success => disk.sync(file, submitted_at),
                Outcome::Failure => disk.fail_sync(file, submitted_at, &mut world.random.borrow_mut()),
            }
            outcome.check()
        };
        self.shared.run(DiskOperation::Sync, None, run).await
    }

    async fn allocate(&self, length: u64) -> Result<(), DiskFailure> {
        self.shared.expect_writable();
        let file = self.shared.file;
        let run = move |world: &World, outcome: Outcome| {
            outcome.check()?;
            let mut disk = world.disk.borrow_mut();
            let length = length.max(disk.length(file));
            disk.touch(file, world.clock.now());
            disk.set_length(file, length)
        };
        self.shared.run(DiskOperation::Allocate, None, run).await
    }

    async fn truncate(&self, length: u64) -> Result<(), DiskFailure> {
        self.shared.expect_writable();
        let file = self.shared.file;
        let run = move |world: &World, outcome: Outcome| {
            outcome.check()?;
            let mut disk = world.disk.borrow_mut();
            disk.touch(file, world.clock.now());
            disk.set_length(file, length)
        };
        self.shared.run(DiskOperation::Truncate, None, run).await
    }

    async fn length(&self) -> Result<u64, DiskFailure> {
        if self.shared.environment.is_dead() {
            return std::future::pending().await;
        }
        Ok(self.shared.environment.world().disk.borrow().length(self.shared.file))
    }
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for Vec<Slice> {
    fn concat_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.iter().map(|slice| slice.len()).sum());
        self.iter().for_each(|slice| bytes.extend_from_slice(slice));
        bytes
    }
}
