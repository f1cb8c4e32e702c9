//! The service behind one connection: from a frame to the handler that answers it.

use std::net::SocketAddr;
use std::rc::Rc;

use ringlog_net::connection::{Observer, Reply, Service};
use ringlog_net::protocol::{ApiKey, decode_request_header};
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::Environment;

use crate::broker::metrics::requests::RequestsUnderWay;
use crate::broker::shard::Shard;
use crate::handlers::{self, Request};

/// Answers the requests of one connection.
pub struct ConnectionService<E: Environment> {
    shard: Rc<Shard<E>>,
    peer: SocketAddr,
    listener: usize,
    under_way: Rc<RequestsUnderWay>,
}

impl<E: Environment> ConnectionService<E> {
    /// A connection just made.
    pub fn new(shard: Rc<Shard<E>>, peer: SocketAddr, listener: usize) -> ConnectionService<E> {
        let under_way = Rc::new(RequestsUnderWay::new(shard.counts.clone(), peer));
        ConnectionService { shard, peer, listener, under_way }
    }
}

impl<E: Environment> Service for ConnectionService<E> {
    fn frame_bytes_max(&self) -> usize {
        self.shard.limits.network.frame_bytes_max
    }

    fn observer(&self) -> Rc<dyn Observer> {
        self.under_way.clone()
    }

    fn call(&mut self, frame: Slice) -> Option<Reply> {
        if self.shard.is_stopping() {
            return None;
        }
        match decode_request_header(&frame) {
            Ok((header, body_position)) => {
                let api_key =
                    ApiKey::from_wire(header.api_key).expect("the header of an unknown API is refused");
                let body = frame.slice(body_position..frame.len());
                let progress = self.under_way.begin(api_key, &header, frame.len());
                let request = Request::new(api_key, &header, body, self.peer, self.listener, progress);
                let reply = handlers::start(&self.shard, request);
                if reply.is_none() {
                    self.under_way.take_back();
                }
                reply
            }
            Err(error) => {
                tracing::info!(peer = %self.peer, %error, "connection closed: the request header cannot be read");
                None
            }
        }
    }
}
