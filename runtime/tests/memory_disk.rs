//! What the memory disk promises, seed by seed: stable bytes survive every power loss, others are sometimes
//! lost and sometimes torn, names change whole or not at all.

use std::path::Path;

use ringlog_runtime::buffer::{DIRECT_ALIGNMENT, Slice};
use ringlog_runtime::environment::{Environment, File, OpenMode, WriteSync};
use ringlog_runtime::memory::{DiskOperation, Faults, MemoryEnvironment, MemoryWorld, MountFails, Options};

const BLOCK: usize = DIRECT_ALIGNMENT;

fn block(environment: &MemoryEnvironment, fill: u8) -> Slice {
    let mut buffer = environment.arena().allocate(BLOCK).unwrap();
    buffer.extend_from_slice(&[fill; BLOCK]);
    buffer.freeze()
}

/// A file whose name, length and content (all `fill`) are stable.
async fn stable_file(environment: &MemoryEnvironment, path: &str, fill: u8) -> impl File {
    let file = environment.open(Path::new(path), OpenMode::DirectWrite).await.unwrap();
    file.write_at(0, vec![block(environment, fill)], WriteSync::Later).await.unwrap();
    file.sync().await.unwrap();
    environment.sync_directory(Path::new(path).parent().unwrap()).await.unwrap();
    file
}

/// Counts how often `outcome` holds over seeds.
fn count_seeds(seeds: u64, outcome: impl Fn(u64) -> bool) -> u64 {
    (0..seeds).filter(|seed| outcome(*seed)).count() as u64
}

#[test]
fn a_synced_write_survives_the_crash_of_every_seed() {
    for seed in 0..1000 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        world.run_until(stable_file(&environment, "/a", 7));
        world.crash();
        assert_eq!(world.disk().read("/a").unwrap(), vec![7; BLOCK], "seed {seed}");
    }
}

#[test]
fn a_write_stable_at_completion_survives_and_brings_its_length_along() {
    for seed in 0..1000 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        world.run_until(async {
            let file = stable_file(&environment, "/a", 1).await;
            file.allocate(4 * BLOCK as u64).await.unwrap();
            let stable = vec![block(&environment, 2)];
            file.write_at(2 * BLOCK as u64, stable, WriteSync::BeforeCompletion).await.unwrap();
        });
        world.crash();
        let content = world.disk().read("/a").unwrap();
        assert_eq!(content[..BLOCK], [1; BLOCK], "seed {seed}");
        assert_eq!(content[BLOCK..2 * BLOCK], [0; BLOCK], "seed {seed}");
        assert_eq!(content[2 * BLOCK..3 * BLOCK], [2; BLOCK], "seed {seed}");
        assert_eq!(content.len(), 4 * BLOCK, "seed {seed}: an earlier change of length is journaled before");
    }
}

#[test]
fn an_older_unsynced_write_never_comes_back_over_a_stable_one() {
    for seed in 0..1000 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        world.run_until(async {
            let file = stable_file(&environment, "/a", 1).await;
            file.write_at(0, vec![block(&environment, 2)], WriteSync::Later).await.unwrap();
            file.write_at(0, vec![block(&environment, 3)], WriteSync::BeforeCompletion).await.unwrap();
        });
        world.crash();
        assert_eq!(world.disk().read("/a").unwrap(), vec![3; BLOCK], "seed {seed}");
    }
}

fn content_after_unsynced_overwrite(seed: u64) -> Vec<u8> {
    let world = MemoryWorld::new(seed, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let file = stable_file(&environment, "/a", 1).await;
        file.write_at(0, vec![block(&environment, 2)], WriteSync::Later).await.unwrap();
    });
    world.crash();
    world.disk().read("/a").unwrap()
}

#[test]
fn an_unsynced_write_is_sometimes_lost_sometimes_whole_and_sometimes_torn_at_sectors() {
    let (mut lost, mut whole, mut torn) = (0, 0, 0);
    for seed in 0..1000 {
        let content = content_after_unsynced_overwrite(seed);
        match (content.contains(&1), content.contains(&2)) {
            (true, false) => lost += 1,
            (false, true) => whole += 1,
            _ => torn += 1,
        }
        for sector in content.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "seed {seed}: torn within a sector");
        }
    }
    assert!(lost > 200 && whole > 200 && torn > 200, "{lost} lost, {whole} whole, {torn} torn");
}

#[test]
fn a_later_unsynced_write_sometimes_survives_an_earlier_lost_one() {
    let reordered = |seed| {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        world.run_until(async {
            let file = stable_file(&environment, "/a", 1).await;
            file.write_at(BLOCK as u64, vec![block(&environment, 2)], WriteSync::Later).await.unwrap();
            file.write_at(2 * BLOCK as u64, vec![block(&environment, 3)], WriteSync::Later).await.unwrap();
        });
        world.crash();
        let content = world.disk().read("/a").unwrap();
        content.contains(&3) && !content.contains(&2)
    };
    let count = count_seeds(500, reordered);
    assert!((25..400).contains(&count), "{count} of 500");
}

#[test]
fn a_write_under_way_at_the_crash_may_be_lost_whole_or_torn() {
    let (mut lost, mut whole, mut torn) = (0, 0, 0);
    for seed in 0..500 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        let file = world.run_until(stable_file(&environment, "/a", 1));
        world.set_crash_after(1);
        let slices = vec![block(&environment, 2)];
        world.run_until_or_crash(file.write_at(0, slices, WriteSync::BeforeCompletion)).unwrap_err_crashed();
        let content = world.disk().read("/a").unwrap();
        match (content.contains(&1), content.contains(&2)) {
            (true, false) => lost += 1,
            (false, true) => whole += 1,
            _ => torn += 1,
        }
    }
    assert!(lost > 100 && whole > 100 && torn > 100, "{lost} lost, {whole} whole, {torn} torn");
}

trait UnwrapCrashed {
    fn unwrap_err_crashed(self);
}

impl<T> UnwrapCrashed for Result<T, ringlog_runtime::memory::Crashed> {
    fn unwrap_err_crashed(self) {
        assert!(self.is_err(), "the crash point lies in this operation");
    }
}

#[test]
fn a_new_file_survives_for_certain_only_after_its_directory_is_synced() {
    let survives = |seed, synced: bool| {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        world.run_until(async {
            environment.open(Path::new("/a"), OpenMode::BufferedWrite).await.unwrap();
            if synced {
                environment.sync_directory(Path::new("/")).await.unwrap();
            }
        });
        world.crash();
        world.disk().read("/a").is_some()
    };
    assert_eq!(count_seeds(200, |seed| survives(seed, true)), 200);
    let lucky = count_seeds(200, |seed| survives(seed, false));
    assert!((50..150).contains(&lucky), "{lucky} of 200");
}

#[test]
fn a_rename_happens_whole_or_not_at_all_whatever_was_synced() {
    for directory_of_target in ["/", "/other"] {
        for seed in 0..500 {
            let world = MemoryWorld::new(seed, Options::quiet());
            let environment = world.environment(0, 1);
            let target = Path::new(directory_of_target).join("new");
            world.run_until(async {
                environment.create_directory(Path::new("/other")).await.unwrap();
                stable_file(&environment, "/old", 1).await;
                environment.rename(Path::new("/old"), &target).await.unwrap();
                if seed % 2 == 0 {
                    environment.sync_directory(Path::new("/")).await.unwrap();
                }
            });
            world.crash();
            let found = [world.disk().read("/old"), world.disk().read(&target)];
            assert_eq!(found.iter().flatten().count(), 1, "seed {seed}: one name exactly");
            assert_eq!(found.into_iter().flatten().next().unwrap(), vec![1; BLOCK], "seed {seed}");
        }
    }
}

#[test]
fn replacing_a_file_by_rename_leaves_the_old_or_the_new_content() {
    let mut outcomes = [0, 0];
    for seed in 0..300 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        world.run_until(async {
            stable_file(&environment, "/state", 1).await;
            stable_file(&environment, "/state.tmp", 2).await;
            environment.rename(Path::new("/state.tmp"), Path::new("/state")).await.unwrap();
        });
        world.crash();
        let content = world.disk().read("/state").unwrap();
        assert!(content == vec![1; BLOCK] || content == vec![2; BLOCK], "seed {seed}: neither old nor new");
        outcomes[usize::from(content[0] - 1)] += 1;
    }
    assert!(outcomes[0] > 50 && outcomes[1] > 50, "{outcomes:?}");
}

#[test]
fn every_crash_point_can_be_visited() {
    let write_three = async |environment: MemoryEnvironment| {
        let file = stable_file(&environment, "/a", 0).await;
        for fill in 1..=3 {
            file.write_at(0, vec![block(&environment, fill)], WriteSync::BeforeCompletion).await.unwrap();
        }
    };
    let world = MemoryWorld::new(1, Options::quiet());
    world.run_until(write_three(world.environment(0, 1)));
    let mutations = world.disk().mutations();
    assert_eq!(mutations, 7, "open, write, sync, sync directory and three stable writes");
    for point in 1..=mutations {
        let world = MemoryWorld::new(1, Options::quiet());
        world.set_crash_after(point);
        world.run_until_or_crash(write_three(world.environment(0, 1))).unwrap_err_crashed();
        assert_eq!(world.disk().mutations(), point);
        if point > 4 {
            let content = world.disk().read("/a").unwrap();
            let written = (point - 4) as u8;
            assert!(content.iter().all(|byte| *byte == written || *byte == written - 1), "point {point}");
        }
    }
}

#[test]
fn a_failed_sync_may_lose_what_it_covered_although_a_later_one_succeeds() {
    let lost = |seed| {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        world.run_until(async {
            let file = stable_file(&environment, "/a", 1).await;
            file.write_at(0, vec![block(&environment, 2)], WriteSync::Later).await.unwrap();
            world.disk().fail(DiskOperation::Sync, 1);
            assert_eq!(file.sync().await.unwrap_err().error.raw_os_error(), Some(libc::EIO));
            file.sync().await.unwrap();
        });
        assert_eq!(world.disk().read("/a").unwrap(), vec![2; BLOCK], "readers still see it");
        world.crash();
        world.disk().read("/a").unwrap() == vec![1; BLOCK]
    };
    let count = count_seeds(200, lost);
    assert!((50..150).contains(&count), "{count} of 200");
}

#[test]
fn a_full_disk_refuses_growth_and_serves_reads() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let file = stable_file(&environment, "/a", 1).await;
        world.disk().set_bytes_max(BLOCK as u64);
        let failure =
            file.write_at(BLOCK as u64, vec![block(&environment, 2)], WriteSync::Later).await.unwrap_err();
        assert_eq!(failure.error.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(
            failure.to_string(),
            "cannot write /a at byte 4096: No space left on device (os error 28)"
        );
        file.write_at(0, vec![block(&environment, 3)], WriteSync::Later).await.unwrap();
        let read = file.read_at(0, environment.arena().allocate(BLOCK).unwrap()).await.unwrap();
        assert_eq!(read.as_slice(), [3; BLOCK]);
        assert_eq!(environment.free_bytes(Path::new("/")).await.unwrap(), 0);
    });
}

#[test]
fn a_read_only_disk_refuses_every_change() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let file = stable_file(&environment, "/a", 1).await;
        world.disk().set_read_only(true);
        let write = file.write_at(0, vec![block(&environment, 2)], WriteSync::Later).await.unwrap_err();
        let create = environment.open(Path::new("/b"), OpenMode::BufferedWrite).await.err().unwrap();
        let rename = environment.rename(Path::new("/a"), Path::new("/b")).await.unwrap_err();
        for failure in [write, create, rename] {
            assert_eq!(failure.error.raw_os_error(), Some(libc::EROFS), "{failure}");
        }
        assert_eq!(world.disk().read("/a").unwrap(), vec![1; BLOCK]);
    });
}

#[test]
#[should_panic(expected = "direct I/O on /a: position 100 is not aligned")]
fn direct_io_asserts_the_alignment_a_kernel_demands() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let file = stable_file(&environment, "/a", 1).await;
        let _ = file.read_at(100, environment.arena().allocate(BLOCK).unwrap()).await;
    });
}

#[test]
fn operations_complete_out_of_order() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    let order = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    world.run_until(async {
        let file = environment.open(Path::new("/a"), OpenMode::DirectWrite).await.unwrap();
        let writes = (0..20_u8).map(|fill| {
            let (file, order, slice) = (file.clone(), order.clone(), block(&environment, fill));
            async move {
                file.write_at(u64::from(fill) * BLOCK as u64, vec![slice], WriteSync::Later).await.unwrap();
                order.borrow_mut().push(fill);
            }
        });
        futures_util::future::join_all(writes).await;
    });
    let order = order.borrow();
    assert_eq!(order.len(), 20);
    assert!(!order.is_sorted(), "twenty random delays in order: {order:?}");
}

#[test]
fn a_dropped_write_is_carried_out_all_the_same() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let file = stable_file(&environment, "/a", 1).await;
        let write = file.write_at(0, vec![block(&environment, 2)], WriteSync::Later);
        let sleep = environment.sleep_until(environment.now());
        futures_util::future::select(std::pin::pin!(write), std::pin::pin!(sleep)).await;
        environment.sleep_until(environment.now() + std::time::Duration::from_secs(1)).await;
    });
    assert_eq!(world.disk().read("/a").unwrap(), vec![2; BLOCK]);
}

#[test]
fn swarm_options_switch_fault_classes_on_and_off() {
    let all: Vec<Faults> = (0..200).map(Faults::from_seed).collect();
    let resets = all.iter().filter(|faults| faults.network_reset.0 > 0).count();
    let sync_errors = all.iter().filter(|faults| faults.sync_error.0 > 0).count();
    assert!((60..140).contains(&resets), "{resets} of 200");
    assert!((25..80).contains(&sync_errors), "{sync_errors} of 200");
    assert_eq!(Faults::from_seed(5), Faults::from_seed(5));
    assert!(Options::from_seed(5).to_string().contains("network_split"));
}

#[test]
fn a_file_tells_when_it_was_last_written_or_cut_and_reading_does_not_count() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let path = Path::new("/a");
        let pause = || environment.sleep_until(environment.now() + std::time::Duration::from_secs(1));
        let file = stable_file(&environment, "/a", 1).await;
        let written = environment.modified_at(path).await.unwrap();
        pause().await;
        file.read_at(0, environment.arena().allocate(BLOCK).unwrap()).await.unwrap();
        assert_eq!(environment.modified_at(path).await.unwrap(), written);
        let before = environment.wall_clock();
        file.truncate(0).await.unwrap();
        let cut = environment.modified_at(path).await.unwrap();
        assert!(before <= cut && cut <= environment.wall_clock(), "{before:?}, {cut:?}");
        let absent = environment.modified_at(Path::new("/b")).await;
        assert!(absent.unwrap_err().is_not_found());
    });
}

#[test]
fn a_file_system_within_the_disk_fills_up_and_fails_alone() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        for directory in ["/one", "/two"] {
            environment.create_directory(Path::new(directory)).await.unwrap();
        }
        world.disk().mount("/two", 2 * BLOCK as u64);
        let outside = stable_file(&environment, "/one/a", 1).await;
        let inside = stable_file(&environment, "/two/a", 2).await;
        let blocks = |count: usize| (0..count).map(|_| block(&environment, 3)).collect::<Vec<_>>();
        let full = inside.write_at(0, blocks(3), WriteSync::Later).await.unwrap_err();
        assert!(full.is_out_of_space());
        outside.write_at(0, blocks(3), WriteSync::Later).await.unwrap();
        assert_eq!(environment.free_bytes(Path::new("/two")).await.unwrap(), BLOCK as u64);
        world.disk().set_mount_fails("/two", MountFails::Changes);
        assert!(inside.sync().await.is_err() && outside.sync().await.is_ok());
        assert!(inside.read_at(0, environment.arena().allocate(BLOCK).unwrap()).await.is_ok());
        world.disk().set_mount_fails("/two", MountFails::Everything);
        assert!(inside.read_at(0, environment.arena().allocate(BLOCK).unwrap()).await.is_err());
    });
}
