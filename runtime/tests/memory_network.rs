//! What the memory network promises: bytes in order, in pieces, bounded, and every way a connection can end.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_runtime::buffer::{Arena, Slice};
use ringlog_runtime::environment::{Connection, Environment, Listener, TaskClass};
use ringlog_runtime::memory::{
    Faults, Limits, MemoryConnection, MemoryEnvironment, MemoryWorld, Options, PerMillion,
};

fn address() -> SocketAddr {
    "127.0.0.1:9092".parse().unwrap()
}

fn slice(bytes: &[u8]) -> Slice {
    let mut buffer = Arena::unregistered(1 << 20).allocate(bytes.len()).unwrap();
    buffer.extend_from_slice(bytes);
    buffer.freeze()
}

/// Both ends of one connection.
async fn connected(
    world: &MemoryWorld,
    environment: &MemoryEnvironment,
) -> (MemoryConnection, MemoryConnection) {
    let listener = environment.listen(address()).await.unwrap();
    let client = world.connect(address());
    let accepted = listener.accept().await.unwrap();
    (client, environment.adopt(accepted))
}

async fn receive_all(connection: &MemoryConnection) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let piece = connection.receive().await?;
        if piece.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(piece.as_slice());
    }
}

#[test]
fn bytes_arrive_in_order_however_they_are_split() {
    let faults = Faults { network_split: PerMillion::ALWAYS, ..Faults::default() };
    let sent: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut pieces_seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let world = MemoryWorld::new(seed, faults.clone());
        let environment = world.environment(0, 1);
        world.run_until(async {
            let (client, server) = connected(&world, &environment).await;
            let (to_send, pieces) = (sent.clone(), Rc::new(Cell::new(0)));
            world.spawn(async move { client.send(vec![slice(&to_send)]).await.unwrap() });
            let mut received = Vec::new();
            loop {
                let piece = server.receive().await.unwrap();
                if piece.is_empty() {
                    break;
                }
                pieces.set(pieces.get() + 1);
                received.extend_from_slice(piece.as_slice());
            }
            assert!(received == sent, "seed {seed}: {} of {} bytes", received.len(), sent.len());
            pieces_seen.insert(pieces.get());
        });
    }
    assert!(pieces_seen.len() > 5, "always the same number of pieces: {pieces_seen:?}");
}

#[test]
fn who_does_not_receive_holds_up_who_sends() {
    let limits = Limits { socket_buffer_bytes_max: 1000, ..Limits::default() };
    let world = MemoryWorld::new(1, Options { limits, faults: Faults::default() });
    let environment = world.environment(0, 1);
    world.run_until(async {
        let (client, server) = connected(&world, &environment).await;
        let sent = Rc::new(Cell::new(0));
        let counting = sent.clone();
        world.spawn(async move {
            for _ in 0..50 {
                client.send(vec![slice(&[1; 100])]).await.unwrap();
                counting.set(counting.get() + 100);
            }
        });
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(sent.get(), 1000, "the buffer and not a byte more");
        assert_eq!(receive_all(&server).await.unwrap().len(), 5000);
    });
}

#[test]
fn a_connection_where_nobody_listens_is_refused() {
    let world = MemoryWorld::new(1, Options::quiet());
    let client = world.connect(address());
    let error = world.run_until(client.receive()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn dropping_an_end_lets_the_peer_read_the_rest_and_then_the_end() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let (client, server) = connected(&world, &environment).await;
        client.send(vec![slice(b"last "), slice(b"words")]).await.unwrap();
        drop(client);
        assert_eq!(receive_all(&server).await.unwrap(), b"last words");
        let error = server.send(vec![slice(b"anybody?")]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn shutdown_ends_receives_and_sends_under_way() {
    let limits = Limits { socket_buffer_bytes_max: 10, ..Limits::default() };
    let world = MemoryWorld::new(1, Options { limits, faults: Faults::default() });
    let environment = world.environment(0, 1);
    world.run_until(async {
        let (_client, server) = connected(&world, &environment).await;
        let (sending, closing) = (server.clone(), server.clone());
        let sent = sending.send(vec![slice(&[0; 100])]);
        let received = server.receive();
        let close = async {
            world.sleep(Duration::from_secs(1)).await;
            closing.shutdown();
        };
        let (sent, received, ()) = futures_util::future::join3(sent, received, close).await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(received.unwrap().is_empty());
    });
}

#[test]
fn a_reset_is_seen_by_both_ends() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let (client, server) = connected(&world, &environment).await;
        client.reset();
        assert_eq!(client.receive().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(server.receive().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_half_open_connection_tells_nobody_and_blocks_at_the_buffer() {
    let limits = Limits { socket_buffer_bytes_max: 1000, ..Limits::default() };
    let world = MemoryWorld::new(1, Options { limits, faults: Faults::default() });
    let environment = world.environment(0, 1);
    world.run_until(async {
        let (client, server) = connected(&world, &environment).await;
        client.go_silent();
        client.send(vec![slice(&[0; 900])]).await.unwrap();
        let more = client.send(vec![slice(&[0; 900])]);
        let hears = server.receive();
        let wait = world.sleep(Duration::from_secs(600));
        let silence = std::pin::pin!(futures_util::future::join(more, hears));
        let wait = std::pin::pin!(wait);
        let outcome = futures_util::future::select(silence, wait).await;
        assert!(matches!(outcome, futures_util::future::Either::Right(_)), "ten minutes of silence");
    });
}

#[test]
fn a_crash_resets_every_connection_and_frees_the_address() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    let (client, _server) = world.run_until(connected(&world, &environment));
    let waiting = world.connect(address());
    world.crash();
    world.run_until(async {
        for connection in [client, waiting] {
            let kind = connection.receive().await.unwrap_err().kind();
            assert!(matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused));
        }
        let (client, server) = connected(&world, &world.environment(0, 1)).await;
        server.send(vec![slice(b"back")]).await.unwrap();
        assert_eq!(client.receive().await.unwrap().as_slice(), b"back");
    });
}

#[test]
fn an_accepted_connection_dropped_before_adoption_is_reset() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let listener = environment.listen(address()).await.unwrap();
        let client = world.connect(address());
        drop(listener.accept().await.unwrap());
        assert_eq!(client.receive().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn shards_that_listen_on_one_address_share_its_connections() {
    let world = MemoryWorld::new(1, Options::quiet());
    let counts = [Rc::new(Cell::new(0)), Rc::new(Cell::new(0))];
    for (shard, count) in counts.iter().enumerate() {
        let environment = world.environment(shard as u16, 2);
        let (accepting, count) = (environment.clone(), count.clone());
        environment.spawn(TaskClass::Network, async move {
            let listener = accepting.listen(address()).await.unwrap();
            loop {
                listener.accept().await.unwrap();
                count.set(count.get() + 1);
            }
        });
    }
    world.run_until(async {
        world.sleep(Duration::from_secs(1)).await;
        for _ in 0..100 {
            drop(world.connect(address()));
            world.sleep(Duration::from_millis(1)).await;
        }
    });
    let counts = counts.map(|count| count.get());
    assert!(counts[0] + counts[1] == 100 && counts[0].min(counts[1]) > 20, "{counts:?}");
}

#[test]
fn a_listener_without_room_refuses() {
    let limits = Limits { listen_backlog_max: 2, ..Limits::default() };
    let world = MemoryWorld::new(1, Options { limits, faults: Faults::default() });
    let environment = world.environment(0, 1);
    world.run_until(async {
        let _listener = environment.listen(address()).await.unwrap();
        let clients: Vec<_> = (0..3).map(|_| world.connect(address())).collect();
        assert_eq!(clients[2].receive().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    });
}
