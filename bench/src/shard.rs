//! One thread with a ring, on one core: all that is measured is done there.

use std::future::Future;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringlog::client::Address;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::uring::{
    ShardsConfig, UringAccepted, UringConnection, UringEnvironment, run_shards, usable_cores,
};

use crate::command_line::OwnArguments;
use crate::failure::BenchFailure;
use crate::limits::ARENA_BYTES_MAX;

/// Runs `task` on a shard of its own and returns what it returns.
///
/// # Errors
/// [`BenchFailure::Host`] if this machine has no rings, [`BenchFailure::Arguments`] if it lacks the core.
pub fn on_shard<R, F, T>(own: &OwnArguments, task: F) -> Result<R, BenchFailure>
where
    R: Send + 'static,
    F: FnOnce(UringEnvironment) -> T + Send + 'static,
    T: Future<Output = R> + 'static,
{
    let config = ShardsConfig {
        cores: vec![core(own)?],
        idle_spin: Duration::from_micros(own.idle_spin_us),
        arena_bytes_max: ARENA_BYTES_MAX,
        ..ShardsConfig::default()
    };
    let task = Arc::new(Mutex::new(Some(task)));
    let outcome = Arc::new(Mutex::new(None));
    let told = outcome.clone();
    let main = move |env: UringEnvironment, _| {
        let task = task.lock().expect("nobody panics with it").take().expect("one shard takes it once");
        let told = told.clone();
        let life = task(env);
        async move {
            let result = life.await;
            *told.lock().expect("nobody panics with it") = Some(result);
        }
    };
    run_shards::<(), _, _>(config, main).map_err(|failure| BenchFailure::Host(failure.to_string()))?;
    let mut outcome = outcome.lock().expect("nobody panics with it");
    Ok(outcome.take().expect("a shard's main has ended"))
}

/// The core to keep to: by default the first, which a broker under test leaves free if it keeps to cores at all.
///
/// # Errors
/// [`BenchFailure::Arguments`] if this process may not use it.
pub fn core(own: &OwnArguments) -> Result<usize, BenchFailure> {
    let usable = usable_cores();
    match own.core {
        None => Ok(usable.first().copied().unwrap_or(0)),
        Some(core) if usable.contains(&core) => Ok(core),
        Some(core) => Err(BenchFailure::Arguments(format!("--core {core}: this process may use {usable:?}"))),
    }
}

/// Looks a broker's name up.
///
/// # Errors
/// [`BenchFailure::Broker`].
pub fn resolve(address: &Address) -> Result<SocketAddr, BenchFailure> {
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    let found = found.map_err(|error| BenchFailure::Broker(format!("{address} is not found: {error}")))?;
    found.into_iter().next().ok_or_else(|| BenchFailure::Broker(format!("{address} has no address")))
}

/// Connects, before anything is measured: the shard stands still meanwhile.
///
/// # Errors
/// [`BenchFailure::Broker`].
pub fn dial(
    env: &UringEnvironment,
    address: SocketAddr,
    timeout: Duration,
) -> Result<UringConnection, BenchFailure> {
    let accepted = TcpStream::connect_timeout(&address, timeout).and_then(UringAccepted::connected);
    let accepted =
        accepted.map_err(|error| BenchFailure::Broker(format!("{address} cannot be reached: {error}")))?;
    Ok(env.adopt(accepted))
}
