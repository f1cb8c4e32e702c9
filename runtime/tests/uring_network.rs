//! Connections on real rings, with clients in ordinary threads.

mod uring;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Waker};
use std::thread;

use ringlog_core::ids::ShardIndex;
use ringlog_runtime::environment::{Connection, Environment, Listener, Mailbox, TaskClass};
use ringlog_runtime::uring::{
    Feature, ShardsConfig, UringAccepted, UringConnection, UringEnvironment, run_shards, usable_cores,
};
use uring::{one_shard, pattern, run, slice_of, without};

const ANY_PORT: &str = "127.0.0.1:0";

/// Sends back all that comes, until the client ends its direction.
async fn echo(connection: UringConnection) {
    loop {
        match connection.receive().await {
            Ok(buffer) if buffer.is_empty() => return,
            Ok(buffer) => connection.send(vec![buffer.freeze()]).await.unwrap(),
            Err(error) => panic!("receiving: {error}"),
        }
    }
}

/// Serves this many connections and ends when all have ended.
async fn serve_echo(env: UringEnvironment, connections: usize, bound: Sender<SocketAddr>) {
    let listener = env.listen(ANY_PORT.parse().unwrap()).await.unwrap();
    bound.send(listener.local_address()).unwrap();
    let mut served = Vec::new();
    for _ in 0..connections {
        let connection = env.adopt(listener.accept().await.unwrap());
        served.push(in_a_task(&env, echo(connection)));
    }
    futures_util::future::join_all(served).await;
}

/// Runs a future as a task of its own; the returned one completes with it.
fn in_a_task(env: &UringEnvironment, work: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
    let (done, ended) = futures_channel();
    env.spawn(TaskClass::Network, async move {
        work.await;
        done();
    });
    ended
}

fn futures_channel() -> (impl FnOnce(), impl Future<Output = ()>) {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::task::Poll;
    let state: Rc<(Cell<bool>, Cell<Option<Waker>>)> = Rc::default();
    let seen = state.clone();
    let done = move || {
        state.0.set(true);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    };
    let ended = std::future::poll_fn(move |context| {
        if seen.0.get() {
            return Poll::Ready(());
        }
        seen.1.set(Some(context.waker().clone()));
        Poll::Pending
    });
    (done, ended)
}

/// Sends a stream in uneven pieces and checks that the same comes back.
fn check_echo(address: SocketAddr, salt: usize) {
    let sent = pattern(20_000 + salt * 1_777 % 400_000, salt);
    let mut stream = TcpStream::connect(address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let expected = sent.clone();
    let writing = thread::spawn(move || {
        let mut rest = &sent[..];
        let mut size = 1 + salt % 97;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(size.min(rest.len()));
            writer.write_all(now).unwrap();
            rest = later;
            size = size * 7 % 30_011 + 1;
        }
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == expected, "stream {salt}: {} of {} bytes", received.len(), expected.len());
}

fn echo_serves_under(config: ShardsConfig, connections: usize) {
    let (bound, address) = channel();
    let clients = thread::spawn(move || {
        let address = address.recv().unwrap();
        let clients: Vec<_> =
            (0..connections).map(|salt| thread::spawn(move || check_echo(address, salt))).collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    run(config, move |env| serve_echo(env, connections, bound.clone()));
    clients.join().unwrap();
}

#[test]
fn a_hundred_connections_get_back_what_they_sent() {
    echo_serves_under(one_shard(), 100);
}

#[test]
fn connections_work_without_provided_buffers_and_registered_files() {
    echo_serves_under(without(&[Feature::ProvidedBuffers, Feature::RegisteredFiles]), 20);
}

#[test]
fn connections_work_with_sends_that_do_not_copy() {
    echo_serves_under(ShardsConfig { zero_copy_sends: true, ..one_shard() }, 20);
}

#[test]
fn more_connections_than_lent_buffers_are_served_when_memory_is_short() {
    // Room for the lent buffers and little more: most receives wait for memory or find no buffer.
    echo_serves_under(ShardsConfig { arena_bytes_max: 2 << 20, ..one_shard() }, 100);
}

/// One connection, accepted and adopted; what the client does is up to the test.
fn with_a_client<T: Future<Output = ()> + 'static>(
    client: impl FnOnce(TcpStream) + Send + 'static,
    body: impl Fn(UringEnvironment, UringConnection) -> T + Clone + Send + 'static,
) {
    let (bound, address) = channel::<SocketAddr>();
    let client = thread::spawn(move || client(TcpStream::connect(address.recv().unwrap()).unwrap()));
    run(one_shard(), move |env| {
        let (bound, body) = (bound.clone(), body.clone());
        async move {
            let listener = env.listen(ANY_PORT.parse().unwrap()).await.unwrap();
            bound.send(listener.local_address()).unwrap();
            let connection = env.adopt(listener.accept().await.unwrap());
            body(env, connection).await;
        }
    });
    client.join().unwrap();
}

fn read_to_the_end(mut stream: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => {}
        // The server closed while bytes of ours were unread.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("reading: {error}"),
    }
    received
}

#[test]
fn a_dropped_receive_closes_the_connection() {
    with_a_client(
        |stream| assert!(read_to_the_end(stream).is_empty()),
        |_env, connection| async move {
            {
                let receive = pin!(connection.receive());
                assert!(receive.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            let next = connection.receive().await.unwrap();
            assert!(next.is_empty(), "the stream has ended");
        },
    );
}

#[test]
fn a_dropped_send_closes_the_connection_and_keeps_its_memory_until_the_kernel_is_done() {
    with_a_client(
        |stream| {
            let received = read_to_the_end(stream);
            let expected = pattern(1 << 20, 5).repeat(32);
            assert!(expected.starts_with(&received), "what came is a first part of what was sent");
        },
        |env, connection| async move {
            let before = env.arena().used_bytes();
            {
                let slice = slice_of(&env, &pattern(1 << 20, 5));
                let send = pin!(connection.send(vec![slice; 32]));
                assert!(send.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            assert!(env.arena().used_bytes() >= before + (1 << 20), "the kernel may still read the memory");
            while env.arena().used_bytes() >= before + (1 << 20) {
                env.yield_now().await;
            }
            let another = slice_of(&env, b"late");
            assert!(connection.send(vec![another]).await.is_err());
        },
    );
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_a_send_is_an_error_not_a_hang() {
    with_a_client(
        |mut stream| {
            let mut first = [0; 1000];
            stream.read_exact(&mut first).unwrap();
        },
        |env, connection| async move {
            let slice = slice_of(&env, &pattern(1 << 20, 6));
            let failed = connection.send(vec![slice; 64]).await.unwrap_err();
            assert!(matches!(failed.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{failed}");
        },
    );
}

#[test]
fn shutdown_ends_a_receive_under_way() {
    with_a_client(
        |stream| drop(read_to_the_end(stream)),
        |env, connection| async move {
            let other = connection.clone();
            let closing = async {
                env.yield_now().await;
                other.shutdown();
            };
            let (received, ()) = futures_util::future::join(connection.receive(), closing).await;
            assert!(received.unwrap().is_empty());
        },
    );
}

#[test]
fn receive_into_appends_after_what_is_there() {
    with_a_client(
        |mut stream| stream.write_all(b"world").unwrap(),
        |env, connection| async move {
            let mut buffer = env.arena().allocate(64).unwrap();
            buffer.extend_from_slice(b"hello ");
            while buffer.len() < 11 {
                buffer = connection.receive_into(buffer).await.unwrap();
            }
            assert_eq!(buffer.as_slice(), b"hello world");
            let ended = connection.receive_into(buffer).await.unwrap();
            assert_eq!(ended.len(), 11, "an unchanged length is the end");
        },
    );
}

#[test]
fn idle_connections_hold_no_memory() {
    const CONNECTIONS: usize = 200;
    let (bound, address) = channel::<SocketAddr>();
    let client = thread::spawn(move || {
        let address = address.recv().unwrap();
        let streams: Vec<TcpStream> =
            (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
        streams.into_iter().for_each(|stream| drop(read_to_the_end(stream)));
    });
    run(one_shard(), move |env| {
        let bound = bound.clone();
        async move {
            let listener = env.listen(ANY_PORT.parse().unwrap()).await.unwrap();
            bound.send(listener.local_address()).unwrap();
            let mut connections = Vec::new();
            for _ in 0..CONNECTIONS {
                let connection = env.adopt(listener.accept().await.unwrap());
                let receiving = connection.clone();
                env.spawn(TaskClass::Network, async move { drop(receiving.receive().await) });
                connections.push(connection);
            }
            env.yield_now().await;
            let used = env.arena().used_bytes();
            assert!(used < CONNECTIONS * 4096, "{used} bytes for {CONNECTIONS} idle connections");
        }
    });
    client.join().unwrap();
}

#[test]
fn a_dropped_accept_loses_no_connection() {
    let (bound, address) = channel::<SocketAddr>();
    let client = thread::spawn(move || check_echo(address.recv().unwrap(), 3));
    run(one_shard(), move |env| {
        let bound = bound.clone();
        async move {
            let listener = env.listen(ANY_PORT.parse().unwrap()).await.unwrap();
            {
                let accept = pin!(listener.accept());
                assert!(accept.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            bound.send(listener.local_address()).unwrap();
            echo(env.adopt(listener.accept().await.unwrap())).await;
        }
    });
    client.join().unwrap();
}

#[test]
fn a_connection_made_by_this_process_is_used_like_one_that_was_accepted() {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let address = listener.local_addr().unwrap();
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(b"pong").unwrap();
        asked
    });
    run(one_shard(), move |env| async move {
        let accepted = UringAccepted::connected(TcpStream::connect(address).unwrap()).unwrap();
        let connection = env.adopt(accepted);
        assert_eq!(connection.peer_address(), address);
        connection.send(vec![slice_of(&env, b"ping")]).await.unwrap();
        assert_eq!(connection.receive().await.unwrap().as_slice(), b"pong");
        assert!(connection.receive().await.unwrap().is_empty(), "the other end is gone");
    });
    assert_eq!(&other.join().unwrap(), b"ping");
}

#[test]
fn a_closed_listener_gives_its_port_back_though_an_accept_was_under_way() {
    run(one_shard(), move |env| async move {
        let listener = env.listen(ANY_PORT.parse().unwrap()).await.unwrap();
        let address = listener.local_address();
        {
            let accept = pin!(listener.accept());
            assert!(accept.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        drop(listener);
        while TcpStream::connect(address).is_ok() {
            env.yield_now().await;
        }
        let again = env.listen(address).await.unwrap();
        assert_eq!(again.local_address(), address);
        let taken = env.listen(address).await;
        assert_eq!(taken.err().unwrap().error.kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn a_connection_accepted_by_one_shard_is_served_by_another() {
    let cores = usable_cores();
    let config = ShardsConfig { cores: vec![cores[0], cores[1 % cores.len()]], ..one_shard() };
    let (bound, address) = channel::<SocketAddr>();
    let client = thread::spawn(move || {
        let address = address.recv().unwrap();
        (0..10).for_each(|salt| check_echo(address, salt));
    });
    run_shards::<UringAccepted, _, _>(config, move |env, mailbox| {
        let bound = bound.clone();
        async move {
            if env.shard() == ShardIndex(0) {
                let listener = env.listen(ANY_PORT.parse().unwrap()).await.unwrap();
                bound.send(listener.local_address()).unwrap();
                for _ in 0..10 {
                    let accepted = listener.accept().await.unwrap();
                    assert!(mailbox.send(ShardIndex(1), accepted).is_ok());
                }
            } else {
                for _ in 0..10 {
                    let (_, accepted) = mailbox.receive().await;
                    echo(env.adopt(accepted)).await;
                }
            }
        }
    })
    .unwrap();
    client.join().unwrap();
}
