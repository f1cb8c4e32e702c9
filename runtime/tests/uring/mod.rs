//! Running a test's body on real shards.

#![allow(dead_code, reason = "not every test crate uses all of it")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::uring::{Feature, ShardsConfig, UringEnvironment, run_shards, usable_cores};

/// Small memory, one shard, everything the host offers.
pub fn one_shard() -> ShardsConfig {
    ShardsConfig {
        cores: vec![usable_cores()[0]],
        arena_bytes_max: 64 << 20,
        mesh_capacity: 16,
        ..ShardsConfig::default()
    }
}

/// One shard that has to do without some features.
pub fn without(features: &[Feature]) -> ShardsConfig {
    ShardsConfig { pretend_absent: features.to_vec(), ..one_shard() }
}

/// Runs a body on one shard and checks that it came to its end.
pub fn run<T: Future<Output = ()> + 'static>(
    config: ShardsConfig,
    body: impl Fn(UringEnvironment) -> T + Clone + Send + 'static,
) {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = ended.clone();
    run_shards::<(), _, _>(config, move |env, _mailbox| {
        let (body, ended) = (body.clone(), ended.clone());
        async move {
            body(env).await;
            ended.store(true, Ordering::Relaxed);
        }
    })
    .unwrap();
    assert!(seen.load(Ordering::Relaxed), "the body ran to its end");
}

/// A slice of these bytes in the shard's memory.
pub fn slice_of(env: &UringEnvironment, bytes: &[u8]) -> Slice {
    let mut buffer = env.arena().allocate(bytes.len()).unwrap();
    buffer.extend_from_slice(bytes);
    buffer.freeze()
}

/// Bytes that tell their own place.
pub fn pattern(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|place| (place.wrapping_mul(31) ^ (place >> 8) ^ salt) as u8).collect()
}
