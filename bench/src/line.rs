//! A connection that asks one question at a time.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use ringlog_net::activity::Activity;
use ringlog_net::frame::FrameReader;
use ringlog_net::protocol::{DecodeError, Decoder, Message, decode_response, encode_request_frame};
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::{Connection, Environment};
use ringlog_runtime::uring::{UringConnection, UringEnvironment};

use crate::failure::BenchFailure;
use crate::limits::ANSWER_BYTES_MAX;
use crate::shard::dial;

/// What we call ourselves.
pub const CLIENT_ID: &str = "ringlog-bench";

/// A connection in use.
pub struct Line {
    env: UringEnvironment,
    connection: UringConnection,
    reader: FrameReader<UringEnvironment>,
    address: SocketAddr,
    patience: Duration,
    correlation_id: i32,
}

/// An answer as it came.
pub struct Reply {
    frame: Slice,
    version: i16,
    address: SocketAddr,
}

impl Line {
    /// Connects. Neither connecting nor an answer may take longer than `patience`.
    ///
    /// # Errors
    /// [`BenchFailure::Broker`].
    pub fn open(
        env: &UringEnvironment,
        address: SocketAddr,
        patience: Duration,
    ) -> Result<Line, BenchFailure> {
        let connection = dial(env, address, patience)?;
        let reader = FrameReader::new(env.clone(), connection.clone(), Activity::new(env.now()));
        Ok(Line { env: env.clone(), connection, reader, address, patience, correlation_id: 0 })
    }

    /// Asks and waits for the answer. After a failure the line is of no further use.
    ///
    /// # Errors
    /// [`BenchFailure::Broker`].
    pub async fn ask<M: Message>(&mut self, version: i16, request: &M) -> Result<Reply, BenchFailure> {
        let deadline = self.env.now() + self.patience;
        let late = self.env.sleep_until(deadline);
        let (address, patience) = (self.address, self.patience);
        match select(pin!(self.exchange(version, request)), pin!(late)).await {
            Either::Left((answered, _)) => answered,
            Either::Right(_) => {
                let (api, seconds) = (M::API_KEY, patience.as_secs_f64());
                let words = format!("{address} gave no answer to {api:?} within {seconds} s");
                Err(BenchFailure::Broker(words))
            }
        }
    }

    async fn exchange<M: Message>(&mut self, version: i16, request: &M) -> Result<Reply, BenchFailure> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let frame =
            encode_request_frame(self.env.arena(), version, self.correlation_id, Some(CLIENT_ID), request);
        let frame = frame.map_err(|full| {
            BenchFailure::Host(format!("no memory for a request of {} bytes", full.requested_bytes))
        })?;
        let lost = |what: &str| {
            BenchFailure::Broker(format!("{} gave no answer to {:?}: {what}", self.address, M::API_KEY))
        };
        self.connection.send(frame).await.map_err(|error| lost(&error.to_string()))?;
        let frame = self.reader.next(ANSWER_BYTES_MAX).await.map_err(|error| lost(&error.to_string()))?;
        let frame = frame.ok_or_else(|| lost("it closed the connection"))?;
        if frame.first_chunk() != Some(&self.correlation_id.to_be_bytes()) {
            return Err(lost("it answered another request"));
        }
        Ok(Reply { frame, version, address: self.address })
    }
}

impl Reply {
    /// Its size.
    pub fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// The body of an answer to an `M`, borrowed from this.
    ///
    /// # Errors
    /// [`BenchFailure::Broker`].
    pub fn read<'a, M: Message, R>(
        &'a self,
        decode: impl FnOnce(&mut Decoder<'a>, i16) -> Result<R, DecodeError>,
    ) -> Result<R, BenchFailure> {
        let read = decode_response(&self.frame, M::API_KEY, self.version)
            .and_then(|(_, mut body)| decode(&mut body, self.version));
        read.map_err(|error| {
            BenchFailure::Broker(format!(
                "the answer of {} to {:?} cannot be read: {error}",
                self.address,
                M::API_KEY
            ))
        })
    }
}
