//! The broker as a program of the simulator: the very code that serves real clients, on the memory environment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringlog::broker::message::Message;
use ringlog::broker::{BrokerStart, run_first_shard, run_other_shard};
use ringlog_core::config::BrokerConfig;
use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::memory::{MemoryAccepted, MemoryWorld};
use ringlog_storage::StoreConfig;

use crate::planted::{Bug, Planted};
use crate::run::{ADDRESS, FIRST_DISK, Program, Running, SECOND_DISK};

/// Indexes of a few entries fill up, and with them their segments: rolls happen in every run.
const PROPERTIES: &str = "node.id=1\n\
    num.partitions=2\n\
    log.index.interval.bytes=256\n\
    log.index.size.max.bytes=64\n\
    log.retention.check.interval.ms=100\n\
    log.segment.delete.delay.ms=200\n\
    offsets.topic.num.partitions=2\n\
    group.initial.rebalance.delay.ms=200\n\
    group.min.session.timeout.ms=100\n";

/// How often everything is read again: a few times in a life.
pub const SCRUB_PERIOD: Duration = Duration::from_secs(1);

/// The broker, with sizes so small that everything that can fill up does.
pub struct Broker {
    start: Arc<BrokerStart>,
    /// In a world with a second disk.
    start_on_two_disks: Arc<BrokerStart>,
}

impl Broker {
    /// A broker with tiny journals, caches and segments.
    ///
    /// # Panics
    /// If its own configuration is wrong.
    pub fn tiny() -> Broker {
        let on_two = format!("log.dirs={FIRST_DISK},{SECOND_DISK}\n");
        Broker { start: tiny_on(&format!("log.dirs={FIRST_DISK}\n")), start_on_two_disks: tiny_on(&on_two) }
    }
}

fn tiny_on(disks: &str) -> Arc<BrokerStart> {
    let properties = format!("{PROPERTIES}{disks}listeners=PLAINTEXT://{ADDRESS}\n");
    let (config, notes) = BrokerConfig::from_properties(&properties).expect("the configuration is right");
    assert!(notes.is_empty(), "{notes:?}");
    let address: SocketAddr = ADDRESS.parse().expect("an address");
    Arc::new(BrokerStart {
        config,
        bind_addresses: vec![address],
        default_host: "127.0.0.1".to_owned(),
        metrics_address: None,
        store: StoreConfig { scrub_period: SCRUB_PERIOD, ..StoreConfig::tiny() },
        unusable: std::collections::BTreeMap::new(),
    })
}

impl Program for Broker {
    fn start(&self, world: &MemoryWorld, shard_count: u16, bug: Bug) -> Running {
        let running = Running::default();
        let mailboxes = world.mesh::<Message<MemoryAccepted>>(shard_count);
        for (shard, mailbox) in (0..shard_count).zip(mailboxes) {
            let env = Planted::new(world.environment(shard, shard_count), bug);
            let start =
                if world.disk().is_mount(SECOND_DISK) { &self.start_on_two_disks } else { &self.start };
            let (start, running, shard_env) = (start.clone(), running.clone(), env.clone());
            env.spawn(TaskClass::Network, async move {
                if shard > 0 {
                    // A shard that cannot open its logs leaves the broker without it, as an aborted process would.
                    let _ = run_other_shard(shard_env, mailbox, start).await;
                    return;
                }
                let stop = running.stop_asked(shard_env.clone());
                // A start that fails on a failing disk is a life without service: the next one must recover.
                let _ = run_first_shard(shard_env, mailbox, start, stop, |_| {}).await;
                running.note_end();
            });
        }
        running
    }
}
