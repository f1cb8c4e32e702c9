//! The disk as a file that the kernel can make a block device of: one file in a FUSE file system of our own.
//!
//! ```text
//!   ext4 ─► loop device ─► FUSE: read, write, fsync of `disk` ─► Medium
//! ```
//!
//! Always true: nothing of the file is kept in the page cache, so that the medium sees each write and flush as a device would, and the
//! next image is not read from memory of the last. What the file cannot do (holes, zeroes) it refuses, and the loop driver writes.
//!
//! A slow disk keeps requests for a while and does them in any order, as devices with many queues do: then a flush comes
//! while writes are under way, and answers come in another order than questions.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use ringlog::client::cluster::pause;
use ringlog_runtime::memory::Random;

use crate::loss::percent;
use crate::medium::Medium;

const FILE: INodeNo = INodeNo(2);
const FILE_NAME: &str = "disk";
/// How long the kernel may believe what it was told about the file, which never changes.
const TOLD_FOR: Duration = Duration::from_secs(3600);
/// One write; the loop driver asks for no more.
const WRITE_BYTES_MAX: u32 = 1 << 20;
/// What a slow disk waits, a third of the time, before it does one of the things it was asked.
const SLOW_MICROSECONDS_MAX: usize = 200;

/// How fast the disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Answers before it is asked again.
    AtOnce,
    /// Takes its time, and what it was asked in any order.
    Slow,
}

/// A disk, for as long as this lives.
pub struct Device {
    medium: Arc<Mutex<Medium>>,
    file: PathBuf,
    _session: BackgroundSession,
}

impl Device {
    /// Serves a medium below `folder`.
    ///
    /// # Errors
    /// What the system says: there is no /dev/fuse, or we may not mount.
    pub fn serve(medium: Medium, folder: &Path, pace: Pace) -> Result<Device, String> {
        let words = |error: std::io::Error| format!("a FUSE file system in {}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(words)?;
        let size_bytes = medium.size_bytes() as u64;
        let medium = Arc::new(Mutex::new(medium));
        let later = (pace == Pace::Slow).then(|| slow_disk(Arc::clone(&medium)));
        let disk = DiskFile { medium: Arc::clone(&medium), size_bytes, later };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("power".to_owned())];
        let session = fuser::spawn_mount(disk, folder, &config).map_err(words)?;
        Ok(Device { medium, file: folder.join(FILE_NAME), _session: session })
    }

    /// Where the kernel finds it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What it holds.
    pub fn medium(&self) -> MutexGuard<'_, Medium> {
        lock(&self.medium)
    }
}

fn lock(medium: &Mutex<Medium>) -> MutexGuard<'_, Medium> {
    medium.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something asked of the disk, and whom to answer.
enum Asked {
    Read { at: usize, length: usize, reply: ReplyData },
    Write { at: usize, bytes: Box<[u8]>, reply: ReplyWrite },
    Flush { covers: usize, reply: ReplyEmpty },
}

impl Asked {
    fn serve(self, medium: &Mutex<Medium>) {
        match self {
            Asked::Read { at, length, reply } => {
                let bytes = lock(medium).read(at, length);
                reply.data(&bytes);
            }
            Asked::Write { at, bytes, reply } => {
                let count = bytes.len() as u32;
                let mut medium = lock(medium);
                medium.write(at, bytes);
                medium.answer();
                drop(medium);
                reply.written(count);
            }
            Asked::Flush { covers, reply } => {
                lock(medium).flush(covers);
                reply.ok();
            }
        }
    }
}

/// A thread that does what it is asked, one thing at a time, in any order, until nobody can ask any more.
fn slow_disk(medium: Arc<Mutex<Medium>>) -> Sender<Asked> {
    let (later, asked) = channel();
    thread::spawn(move || serve_slowly(&asked, &medium));
    later
}

fn serve_slowly(asked: &Receiver<Asked>, medium: &Mutex<Medium>) {
    let (mut waiting, mut random) = (Vec::new(), Random::from_seed(0));
    while let Ok(first) = asked.recv() {
        waiting.push(first);
        while !waiting.is_empty() {
            if random.happens(percent(33)) {
                pause(Duration::from_micros(random.index(SLOW_MICROSECONDS_MAX) as u64));
            }
            waiting.extend(asked.try_iter());
            waiting.swap_remove(random.index(waiting.len())).serve(medium);
        }
    }
}

struct DiskFile {
    medium: Arc<Mutex<Medium>>,
    size_bytes: u64,
    later: Option<Sender<Asked>>,
}

impl DiskFile {
    fn take(&self, asked: Asked) {
        match &self.later {
            None => asked.serve(&self.medium),
            Some(later) => later.send(asked).unwrap_or_else(|_| unreachable!("the slow disk ends after us")),
        }
    }

    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_file = inode == FILE;
        FileAttr {
            ino: inode,
            size: if is_file { self.size_bytes } else { 0 },
            blocks: if is_file { self.size_bytes / 512 } else { 0 },
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: if is_file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for DiskFile {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let _ = config.set_max_write(WRITE_BYTES_MAX); // less is as good
        // Without it every direct write waits for the one before.
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name == FILE_NAME {
            true => reply.entry(&TOLD_FOR, &self.attributes(FILE), Generation(0)),
            false => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TOLD_FOR, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let at = offset.min(self.size_bytes) as usize;
        let length = (size as usize).min(self.size_bytes as usize - at);
        self.take(Asked::Read { at, length, reply });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if offset + data.len() as u64 > self.size_bytes {
            return reply.error(Errno::ENOSPC);
        }
        self.take(Asked::Write { at: offset as usize, bytes: data.into(), reply });
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let covers = lock(&self.medium).answered();
        self.take(Asked::Flush { covers, reply });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok(); // a close, which makes nothing stable
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, _: u64, _: u64, _: i32, reply: ReplyEmpty) {
        reply.error(Errno::EOPNOTSUPP);
    }
}
