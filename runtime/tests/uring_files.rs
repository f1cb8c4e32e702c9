//! Files on real rings.

mod uring;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ringlog_runtime::buffer::DIRECT_ALIGNMENT;
use ringlog_runtime::environment::{EntryKind, Environment, File, OpenMode, WriteSync};
use ringlog_runtime::uring::{Feature, ShardsConfig, UringEnvironment};
use uring::{one_shard, pattern, run, slice_of, without};

async fn write_and_read_back(env: UringEnvironment, directory: std::path::PathBuf) {
    let file = env.open(&directory.join("direct"), OpenMode::DirectWrite).await.unwrap();
    file.allocate(1 << 20).await.unwrap();
    assert_eq!(file.length().await.unwrap(), 1 << 20);
    let first = pattern(64 * 1024, 1);
    let (second, third) = (pattern(4096, 2), pattern(8192, 3));
    let one = vec![slice_of(&env, &first)];
    file.write_at(0, one, WriteSync::BeforeCompletion).await.unwrap();
    let several = vec![slice_of(&env, &second), slice_of(&env, &third)];
    file.write_at(65536, several, WriteSync::Later).await.unwrap();
    file.sync().await.unwrap();
    let read = file.read_at(0, env.arena().allocate(65536 + 12288).unwrap()).await.unwrap();
    assert_eq!(read.as_slice(), [first, second, third].concat());
    let (before, path) = (env.wall_clock(), directory.join("direct"));
    file.truncate(10_000).await.unwrap();
    // File systems stamp with the coarse clock of the kernel, a tick behind ours.
    let modified = env.modified_at(&path).await.unwrap();
    assert!((before.0 - 20..=env.wall_clock().0).contains(&modified.0), "{before:?} {modified:?}");
    assert!(env.modified_at(&directory.join("absent")).await.unwrap_err().is_not_found());
    let short = file.read_at(8192, env.arena().allocate(8192).unwrap()).await.unwrap();
    assert_eq!(short.len(), 10_000 - 8192, "a read at the end of the file is short");
    let nothing = file.read_at(16384, env.arena().allocate(4096).unwrap()).await.unwrap();
    assert!(nothing.is_empty());
}

fn files_work_under(config: ShardsConfig) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    run(config, move |env| write_and_read_back(env, path.clone()));
}

#[test]
fn what_is_written_directly_is_read_back() {
    files_work_under(one_shard());
}

#[test]
fn files_work_without_registered_files_and_memory() {
    files_work_under(without(&[Feature::RegisteredFiles, Feature::RegisteredBuffers]));
}

#[test]
fn a_thousand_slices_and_more_are_written_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("many");
    run(one_shard(), move |env| {
        let path = path.clone();
        async move {
            let file = env.open(&path, OpenMode::BufferedWrite).await.unwrap();
            let expected = pattern(2500 * 7, 9);
            let slices = expected.chunks(7).map(|chunk| slice_of(&env, chunk)).collect();
            file.write_at(3, slices, WriteSync::BeforeCompletion).await.unwrap();
            let read = file.read_at(3, env.arena().allocate(expected.len() + 100).unwrap()).await.unwrap();
            assert_eq!(read.as_slice(), expected);
        }
    });
}

#[test]
fn a_write_whose_future_is_dropped_still_happens_and_keeps_its_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("orphan");
    run(one_shard(), move |env| {
        let path = path.clone();
        async move {
            let file = env.open(&path, OpenMode::DirectWrite).await.unwrap();
            let expected = pattern(1 << 20, 4);
            let slice = slice_of(&env, &expected);
            {
                let write = pin!(file.write_at(0, vec![slice], WriteSync::BeforeCompletion));
                let polled = write.poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(polled, Poll::Pending));
            }
            let used = env.arena().used_bytes();
            assert!(used >= 1 << 20, "the kernel may still read the memory: {used}");
            // Memory handed out meanwhile is other memory: what is written there does not reach the file.
            let mut other = env.arena().allocate(1 << 20).unwrap();
            other.as_full_mut_slice().fill(0xff);
            while env.arena().used_bytes() >= 2 << 20 {
                env.yield_now().await;
            }
            let read = file.read_at(0, env.arena().allocate(1 << 20).unwrap()).await.unwrap();
            assert!(read.as_slice() == expected);
        }
    });
}

#[test]
fn a_dropped_read_gives_its_buffer_back_only_when_the_kernel_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, pattern(8192, 0)).unwrap();
    run(one_shard(), move |env| {
        let path = path.clone();
        async move {
            let file = env.open(&path, OpenMode::BufferedRead).await.unwrap();
            let before = env.arena().used_bytes();
            {
                let read = pin!(file.read_at(0, env.arena().allocate(8192).unwrap()));
                assert!(read.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            assert_eq!(env.arena().used_bytes(), before + 8192);
            while env.arena().used_bytes() > before {
                env.yield_now().await;
            }
        }
    });
}

#[test]
fn names_are_listed_renamed_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    run(one_shard(), move |env| {
        let root = root.clone();
        async move {
            let deep = root.join("a/b");
            env.create_directory(&deep).await.unwrap();
            env.open(&root.join("z"), OpenMode::BufferedWrite).await.unwrap().truncate(5).await.unwrap();
            env.rename(&root.join("z"), &root.join("y")).await.unwrap();
            env.sync_directory(&root).await.unwrap();
            let listed = env.list_directory(&root).await.unwrap();
            let seen: Vec<_> =
                listed.iter().map(|entry| (entry.name.as_str(), entry.kind, entry.length)).collect();
            assert_eq!(seen, [("a", EntryKind::Directory, 0), ("y", EntryKind::File, 5)]);
            env.remove_file(&root.join("y")).await.unwrap();
            env.remove_directory(&deep).await.unwrap();
            assert!(env.remove_file(&root.join("y")).await.unwrap_err().is_not_found());
            assert!(env.open(&root.join("y"), OpenMode::DirectRead).await.err().unwrap().is_not_found());
            assert!(env.free_bytes(&root).await.unwrap() > 0);
            assert!(env.total_bytes(&root).await.unwrap() >= env.free_bytes(&root).await.unwrap());
        }
    });
}

#[test]
fn more_operations_than_the_submission_queue_holds_all_complete() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, pattern(4096, 0)).unwrap();
    run(one_shard(), move |env| {
        let path = path.clone();
        async move {
            let file = env.open(&path, OpenMode::BufferedRead).await.unwrap();
            let expected = pattern(4096, 0);
            // Several times the completion queue as well: the kernel keeps what does not fit.
            let reads = (0..10_000u64).map(|number| {
                let (file, buffer) = (file.clone(), env.arena().allocate(64).unwrap());
                async move {
                    let position = (number % 64) * 64;
                    (position as usize, file.read_at(position, buffer).await.unwrap())
                }
            });
            for (position, buffer) in futures_util::future::join_all(reads).await {
                assert_eq!(buffer.as_slice(), &expected[position..position + 64]);
            }
        }
    });
}

#[test]
#[should_panic(expected = "is not a multiple of 4096")]
fn an_unaligned_direct_write_is_a_mistake_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("direct");
    run(one_shard(), move |env| {
        let path = path.clone();
        async move {
            let file = env.open(&path, OpenMode::DirectWrite).await.unwrap();
            let slice = slice_of(&env, &pattern(DIRECT_ALIGNMENT, 0));
            file.write_at(1, vec![slice], WriteSync::Later).await.unwrap();
        }
    });
}
