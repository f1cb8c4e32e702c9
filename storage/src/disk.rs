//! Small file work over the environment: blocks, whole small files, files replaced at once.
//!
//! Always true: [`replace_file`] leaves the old content or the new one under the name, whatever happens when.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringlog_runtime::buffer::{BufMut, DIRECT_ALIGNMENT, Slice};
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode, WriteSync};

/// The unit of direct I/O.
pub(crate) const BLOCK: u64 = DIRECT_ALIGNMENT as u64;

/// What one operation moves at most, and so the largest buffer asked of an arena.
const PIECE_BYTES: usize = 256 << 10;

/// The start of the block that holds `position`.
pub(crate) fn block_floor(position: u64) -> u64 {
    position / BLOCK * BLOCK
}

/// The first block boundary at or after `position`.
pub(crate) fn block_ceil(position: u64) -> u64 {
    position.next_multiple_of(BLOCK)
}

/// A buffer, waiting for memory if there is none: for work that must go on and whose size is bounded.
pub(crate) async fn buffer<E: Environment>(env: &E, capacity: usize) -> BufMut {
    loop {
        match env.arena().allocate(capacity) {
            Ok(buffer) => return buffer,
            Err(_) => env.sleep_until(env.now() + Duration::from_millis(1)).await,
        }
    }
}

/// Bytes in a buffer of their own.
pub(crate) async fn slice_of<E: Environment>(env: &E, bytes: &[u8]) -> Slice {
    let mut target = buffer(env, bytes.len()).await;
    target.extend_from_slice(bytes);
    target.freeze()
}

/// Bytes in a buffer of their own, zeros up to the next block boundary.
pub(crate) async fn padded_slice_of<E: Environment>(env: &E, bytes: &[u8]) -> Slice {
    let mut target = buffer(env, block_ceil(bytes.len() as u64) as usize).await;
    target.extend_from_slice(bytes);
    target.pad_to_multiple_of(DIRECT_ALIGNMENT);
    target.freeze()
}

/// Writes bytes of any length at any position of a file open through the page cache.
pub(crate) async fn write_buffered<E: Environment>(
    env: &E,
    file: &E::File,
    position: u64,
    bytes: &[u8],
) -> Result<(), DiskFailure> {
    for (index, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
        let slice = slice_of(env, piece).await;
        let place = position + (index * PIECE_BYTES) as u64;
        file.write_at(place, vec![slice], WriteSync::Later).await?;
    }
    Ok(())
}

/// A whole file's content; `None` if there is no such file. At most `bytes_max` bytes are read.
pub(crate) async fn read_file<E: Environment>(
    env: &E,
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, DiskFailure> {
    let file = match env.open(path, OpenMode::BufferedRead).await {
        Ok(file) => file,
        Err(failure) if failure.is_not_found() => return Ok(None),
        Err(failure) => return Err(failure),
    };
    read_bytes::<E>(env, &file, 0, bytes_max).await.map(Some)
}

/// As [`read_file`], of a file that can be done without: one that the disk cannot read is as good as gone.
pub(crate) async fn read_helping_file<E: Environment>(
    env: &E,
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, DiskFailure> {
    match read_file(env, path, bytes_max).await {
        Err(failure) if failure.is_unreadable() => Ok(None),
        read => read,
    }
}

/// Up to `bytes_max` bytes from `position` on of a file open through the page cache.
pub(crate) async fn read_bytes<E: Environment>(
    env: &E,
    file: &E::File,
    position: u64,
    bytes_max: usize,
) -> Result<Vec<u8>, DiskFailure> {
    let mut bytes = Vec::new();
    while bytes.len() < bytes_max {
        let wanted = (bytes_max - bytes.len()).min(PIECE_BYTES);
        let piece = file.read_at(position + bytes.len() as u64, buffer(env, wanted).await).await?;
        bytes.extend_from_slice(&piece.as_slice()[..piece.len().min(bytes_max - bytes.len())]);
        if piece.len() < wanted {
            break;
        }
    }
    Ok(bytes)
}

/// Replaces a file's content at once and durably: a crash before the end leaves the old content, or the new.
pub(crate) async fn replace_file<E: Environment>(
    env: &E,
    path: &Path,
    bytes: &[u8],
) -> Result<(), DiskFailure> {
    let temporary = with_suffix(path, ".tmp");
    let file = env.open(&temporary, OpenMode::BufferedWrite).await?;
    // A crash here, or anywhere before the rename, leaves a temporary file that the next attempt overwrites.
    file.truncate(0).await?;
    write_buffered(env, &file, 0, bytes).await?;
    file.sync().await?;
    env.rename(&temporary, path).await?;
    // A crash here leaves either name leading to whole content.
    env.sync_directory(parent(path)).await
}

/// `path` with `suffix` behind its last component.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory a path of ours lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().expect("files of a store lie in its directories")
}

/// Removes a file that may be gone already.
pub(crate) async fn remove_file_if_present<E: Environment>(env: &E, path: &Path) -> Result<(), DiskFailure> {
    match env.remove_file(path).await {
        Err(failure) if !failure.is_not_found() => Err(failure),
        _ => Ok(()),
    }
}
