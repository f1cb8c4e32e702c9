//! Files on the ring.
//!
//! Always true: a read or write that the kernel cut short is continued; interrupted ones are repeated; a direct
//! operation is aligned (checked before the kernel sees it). After a failed write the outcome is unknown.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use io_uring::{opcode, types};

use super::blocking::Blocking;
use super::clock;
use super::descriptor::{CloseOn, Descriptor};
use super::driver::Driver;
use super::operation::OnDrop;
use super::payload::{Payload, Vectors};
use crate::buffer::{BufMut, DIRECT_ALIGNMENT, Slice};
use crate::environment::{DiskFailure, File, OpenMode, WriteSync};

/// Most slices in one vectored write: the kernel's bound.
const VECTORS_MAX: usize = 1024;

/// Times an operation that should pass is repeated before its error is believed.
const REPEATS_MAX: u32 = 64;

/// How much longer each wait is before what was not begun is tried again; two seconds all together.
const REPEAT_PAUSE: Duration = Duration::from_millis(1);

/// An open file of this shard. Clones share it.
#[derive(Clone)]
pub struct UringFile {
    shared: Rc<Shared>,
}

struct Shared {
    descriptor: Rc<Descriptor>,
    path: PathBuf,
    is_direct: bool,
    blocking: Blocking,
}

impl UringFile {
    pub(super) fn new(
        driver: &Rc<Driver>,
        blocking: Blocking,
        raw: OwnedFd,
        path: &Path,
        mode: OpenMode,
    ) -> UringFile {
        let descriptor = Descriptor::new(driver, raw, CloseOn::Worker);
        let is_direct = matches!(mode, OpenMode::DirectRead | OpenMode::DirectWrite);
        UringFile { shared: Rc::new(Shared { descriptor, path: path.to_owned(), is_direct, blocking }) }
    }

    fn failure(&self, operation: &'static str, position: Option<u64>, error: io::Error) -> DiskFailure {
        DiskFailure { operation, path: self.shared.path.clone(), position, error }
    }

    fn assert_aligned(&self, what: &str, value: u64) {
        assert!(
            !self.shared.is_direct || value.is_multiple_of(DIRECT_ALIGNMENT as u64),
            "{what} {value} of direct I/O on {} is not a multiple of {DIRECT_ALIGNMENT}",
            self.shared.path.display()
        );
    }

    async fn read_once(&self, position: u64, mut buffer: BufMut) -> (io::Result<usize>, BufMut) {
        let descriptor = &self.shared.descriptor;
        let driver = descriptor.driver();
        let (memory, length) = buffer.free_space();
        let entry = descriptor.entry(|fd| match buffer.registered_index(driver.arena()) {
            Some(index) => opcode::ReadFixed::new(fd, memory, length, index).offset(position).build(),
            None => opcode::Read::new(fd, memory, length).offset(position).build(),
        });
        // SAFETY: the entry writes into the free space of the buffer, which the slot owns.
        let read = unsafe { driver.start(descriptor, entry, Payload::Buffer(buffer), OnDrop::Complete) };
        let finished = read.await;
        let Some(Payload::Buffer(buffer)) = finished.payload else {
            unreachable!("a read has one completion, which gives its buffer back")
        };
        (to_result(finished.result), buffer)
    }

    /// Writes a first part of the slices and says how many bytes that was.
    async fn write_once(&self, position: u64, slices: &[Slice], sync: WriteSync) -> io::Result<usize> {
        let descriptor = &self.shared.descriptor;
        let driver = descriptor.driver();
        let flags = match sync {
            WriteSync::Later => 0,
            WriteSync::BeforeCompletion => libc::RWF_DSYNC,
        };
        let (entry, payload) = match slices {
            [slice] => {
                let (memory, length) = (slice.as_ptr(), u32::try_from(slice.len()).unwrap_or(1 << 30));
                let entry = descriptor.entry(|fd| match slice.registered_index(driver.arena()) {
                    Some(index) => opcode::WriteFixed::new(fd, memory, length, index)
                        .offset(position)
                        .rw_flags(flags)
                        .build(),
                    None => opcode::Write::new(fd, memory, length).offset(position).rw_flags(flags).build(),
                });
                (entry, Payload::Slice(slice.clone()))
            }
            _ => {
                let vectors = Vectors::new(slices[..slices.len().min(VECTORS_MAX)].to_vec());
                let (memory, count) = vectors.vectors();
                let entry = descriptor.entry(|fd| {
                    opcode::Writev::new(fd, memory, count).offset(position).rw_flags(flags).build()
                });
                (entry, Payload::Vectors(vectors))
            }
        };
        // SAFETY: the entry reads the slices, which never change, through vectors; the slot owns both.
        let write = unsafe { driver.start(descriptor, entry, payload, OnDrop::Complete) };
        to_result(write.await.result)
    }

    /// Waits before what was not begun is tried again, longer each time: a kernel that can make no worker now may make one soon.
    async fn pause(&self, error: &io::Error, repeats: &Repeats) {
        if was_not_begun(error) {
            let until = clock::now() + REPEAT_PAUSE * repeats.count;
            self.shared.descriptor.driver().timers().sleep_until(until).await;
        }
    }

    async fn on_descriptor<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&OwnedFd) -> io::Result<T> + Send + 'static,
    ) -> Result<T, DiskFailure> {
        let raw: Arc<OwnedFd> = self.shared.descriptor.shared();
        let result = self.shared.blocking.run(move || call(&raw)).await;
        result.map_err(|error| self.failure(operation, None, error))
    }
}

impl File for UringFile {
    async fn read_at(&self, position: u64, mut buffer: BufMut) -> Result<BufMut, DiskFailure> {
        buffer.set_len(0);
        self.assert_aligned("position", position);
        self.assert_aligned("length", buffer.capacity() as u64);
        let mut repeats = Repeats::default();
        while buffer.remaining() > 0 {
            let at = position + buffer.len() as u64;
            let (result, returned) = self.read_once(at, buffer).await;
            buffer = returned;
            match result {
                Err(error) if repeats.allow(&error) => self.pause(&error, &repeats).await,
                Err(error) => return Err(self.failure("read", Some(at), error)),
                Ok(0) => return Ok(buffer),
                Ok(read) => buffer.set_len(buffer.len() + read),
            }
            if self.shared.is_direct && !buffer.len().is_multiple_of(DIRECT_ALIGNMENT) {
                // Only the end of the file cuts a direct read in the middle of a block.
                return Ok(buffer);
            }
        }
        Ok(buffer)
    }

    async fn write_at(&self, position: u64, slices: Vec<Slice>, sync: WriteSync) -> Result<(), DiskFailure> {
        self.assert_aligned("position", position);
        for slice in &slices {
            self.assert_aligned("length", slice.len() as u64);
            self.assert_aligned("address", slice.as_ptr() as u64);
        }
        let mut left = Remaining::new(slices);
        let mut at = position;
        let mut repeats = Repeats::default();
        while !left.is_empty() {
            match self.write_once(at, left.slices(), sync).await {
                Err(error) if repeats.allow(&error) => self.pause(&error, &repeats).await,
                Err(error) => return Err(self.failure("write", Some(at), error)),
                Ok(0) => return Err(self.failure("write", Some(at), io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    at += written as u64;
                    left.advance(written);
                    if self.shared.is_direct
                        && !at.is_multiple_of(DIRECT_ALIGNMENT as u64)
                        && !left.is_empty()
                    {
                        // The rest cannot be written directly from here: the device took part of a block.
                        return Err(self.failure("write", Some(at), io::ErrorKind::WriteZero.into()));
                    }
                }
            }
        }
        Ok(())
    }

    async fn sync(&self) -> Result<(), DiskFailure> {
        let descriptor = &self.shared.descriptor;
        let mut repeats = Repeats::default();
        loop {
            let entry =
                descriptor.entry(|fd| opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build());
            // SAFETY: the entry holds no address.
            let sync =
                unsafe { descriptor.driver().start(descriptor, entry, Payload::Nothing, OnDrop::Complete) };
            match to_result(sync.await.result) {
                // It was not begun. A sync that was is never repeated: after one that failed the pages may be marked clean
                // though they are not on the disk.
                Err(error) if was_not_begun(&error) && repeats.allow(&error) => {
                    self.pause(&error, &repeats).await;
                }
                synced => return synced.map(drop).map_err(|error| self.failure("sync", None, error)),
            }
        }
    }

    async fn allocate(&self, length: u64) -> Result<(), DiskFailure> {
        self.on_descriptor("allocate", move |raw| {
            let length = to_file_length(length)?;
            // SAFETY: the descriptor is open and no memory is touched.
            repeat_interrupted(|| unsafe { libc::fallocate(raw.as_raw_fd(), 0, 0, length) })
        })
        .await
    }

    async fn truncate(&self, length: u64) -> Result<(), DiskFailure> {
        self.on_descriptor("truncate", move |raw| {
            let length = to_file_length(length)?;
            // SAFETY: the descriptor is open and no memory is touched.
            repeat_interrupted(|| unsafe { libc::ftruncate(raw.as_raw_fd(), length) })
        })
        .await
    }

    async fn length(&self) -> Result<u64, DiskFailure> {
        self.on_descriptor("stat", |raw| {
            // SAFETY: all-zero bytes are a valid `stat`.
            let mut stat: libc::stat = unsafe { std::mem::zeroed() };
            // SAFETY: the descriptor is open; the kernel writes into the struct behind the pointer.
            repeat_interrupted(|| unsafe { libc::fstat(raw.as_raw_fd(), &mut stat) })?;
            Ok(stat.st_size as u64)
        })
        .await
    }
}

fn to_file_length(length: u64) -> io::Result<i64> {
    i64::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn repeat_interrupted(mut call: impl FnMut() -> i32) -> io::Result<()> {
    loop {
        if call() == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// A result of the kernel as Rust says it.
pub(super) fn to_result(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// Whether the kernel gave an operation up before it began. It does so when it can make no worker for the ring (`io_acct_cancel_pending_work`
/// in its io_uring/io-wq.c, which takes only what no worker has taken): it tries three times, and each fails while a signal or other work
/// for the thread is pending. A process that is stopped and continued meets that, or one on a very busy host.
fn was_not_begun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECANCELED)
}

/// Bounds the repetition of what should pass by itself.
#[derive(Default)]
pub(super) struct Repeats {
    count: u32,
}

impl Repeats {
    /// Whether an operation with this error is to be tried again.
    pub(super) fn allow(&mut self, error: &io::Error) -> bool {
        let passes = was_not_begun(error) || matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN));
        self.count += u32::from(passes);
        passes && self.count <= REPEATS_MAX
    }
}

/// Slices of which a first part is already dealt with.
pub(super) struct Remaining {
    slices: Vec<Slice>,
    done: usize,
}

impl Remaining {
    /// All of the slices that hold bytes.
    pub(super) fn new(mut slices: Vec<Slice>) -> Remaining {
        slices.retain(|slice| !slice.is_empty());
        Remaining { slices, done: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.done == self.slices.len()
    }

    pub(super) fn slices(&self) -> &[Slice] {
        &self.slices[self.done..]
    }

    /// Leaves the next `bytes` behind.
    pub(super) fn advance(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let first = &mut self.slices[self.done];
            if bytes < first.len() {
                *first = first.slice(bytes..first.len());
                return;
            }
            bytes -= first.len();
            self.done += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Arena;

    fn slice(bytes: &[u8]) -> Slice {
        let mut buffer = Arena::unregistered(1 << 20).allocate(64).unwrap();
        buffer.extend_from_slice(bytes);
        buffer.freeze()
    }

    #[test]
    fn what_remains_after_a_short_write_starts_at_the_first_unwritten_byte() {
        let mut left = Remaining::new(vec![slice(b"abc"), slice(b""), slice(b"defg")]);
        left.advance(5);
        assert_eq!(left.slices().iter().map(|slice| slice.to_vec()).collect::<Vec<_>>(), [b"fg".to_vec()]);
        left.advance(2);
        assert!(left.is_empty());
    }

    #[test]
    fn what_should_pass_is_repeated_a_bounded_number_of_times() {
        let mut repeats = Repeats::default();
        let interrupted = io::Error::from_raw_os_error(libc::EINTR);
        assert!((0..REPEATS_MAX).all(|_| repeats.allow(&interrupted)));
        assert!(!repeats.allow(&interrupted));
        assert!(!Repeats::default().allow(&io::Error::from_raw_os_error(libc::EIO)));
    }
}
