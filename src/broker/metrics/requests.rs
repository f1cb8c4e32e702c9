//! Requests counted: by API for the shard, and one by one while they are under way on a connection.
//!
//! ```text
//!   connection: begin ──► [ Produce | Fetch | Produce ] ──answered──► counted ──sent──► slow? logged
//!                             ▲ Progress: a handler says what it waited for
//! ```
//!
//! Always true: replies leave in request order, so the oldest entry is the one that is answered.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::latency::LatencyHistogram;
use ringlog_core::time::Instant;
use ringlog_net::connection::{Observer, Passage};
use ringlog_net::protocol::{ApiKey, RequestHeader};

use crate::broker::metrics::counts::ShardCounts;
use crate::broker::metrics::slow_requests::{SlowRequest, TimeSpent};

/// What is counted of one API.
#[derive(Clone, Debug, Default)]
pub struct ApiCount {
    /// Requests answered.
    pub requests: u64,
    /// Bytes of their frames.
    pub request_bytes: u64,
    /// Bytes of their responses.
    pub response_bytes: u64,
    /// Requests slower than the bound.
    pub slow: u64,
    /// From the whole frame to the reply handed to the socket.
    pub durations: LatencyHistogram,
    /// Error codes in responses.
    pub errors: BTreeMap<i16, u64>,
}

/// One shard's counts by API. An API that is never asked for takes no memory.
#[derive(Default)]
pub struct ApiCounts {
    by_number: RefCell<Vec<Option<Box<ApiCount>>>>,
}

impl ApiCounts {
    /// Changes the count of an API.
    pub fn update(&self, api_key: ApiKey, change: impl FnOnce(&mut ApiCount)) {
        let number = usize::try_from(api_key as i16).expect("numbers of APIs begin at zero");
        let mut by_number = self.by_number.borrow_mut();
        if number >= by_number.len() {
            by_number.resize_with(number + 1, || None);
        }
        change(by_number[number].get_or_insert_default());
    }

    /// Shows the count of every API that was asked for.
    pub fn each(&self, mut look: impl FnMut(ApiKey, &ApiCount)) {
        for (number, count) in self.by_number.borrow().iter().enumerate() {
            let api_key = i16::try_from(number).ok().and_then(ApiKey::from_wire);
            if let (Some(api_key), Some(count)) = (api_key, count) {
                look(api_key, count);
            }
        }
    }
}

/// The requests of one connection that are not answered yet.
pub struct RequestsUnderWay {
    counts: Rc<ShardCounts>,
    peer: SocketAddr,
    /// What the client called itself last.
    client_id: RefCell<Option<Box<str>>>,
    entries: RefCell<VecDeque<UnderWay>>,
    /// The number of the oldest entry.
    oldest: Cell<u64>,
    /// Answered, and on their way through the socket.
    leaving: RefCell<Vec<(UnderWay, Passage)>>,
}

#[derive(Clone, Copy)]
struct UnderWay {
    api_key: ApiKey,
    version: i16,
    request_bytes: usize,
    handed_over: Option<Instant>,
    waited_for_data: Duration,
    waited_for_storage: Duration,
}

impl RequestsUnderWay {
    /// None yet, on a connection with `peer`.
    pub fn new(counts: Rc<ShardCounts>, peer: SocketAddr) -> RequestsUnderWay {
        RequestsUnderWay {
            counts,
            peer,
            client_id: RefCell::default(),
            entries: RefCell::default(),
            oldest: Cell::new(0),
            leaving: RefCell::default(),
        }
    }

    /// A request begins.
    pub fn begin(
        self: &Rc<Self>,
        api_key: ApiKey,
        header: &RequestHeader<'_>,
        request_bytes: usize,
    ) -> Progress {
        self.note_client(header.client_id);
        let mut entries = self.entries.borrow_mut();
        let number = self.oldest.get() + entries.len() as u64;
        entries.push_back(UnderWay {
            api_key,
            version: header.api_version,
            request_bytes,
            handed_over: None,
            waited_for_data: Duration::ZERO,
            waited_for_storage: Duration::ZERO,
        });
        self.counts.requests_in_flight.one();
        self.counts.request_bytes_in_flight.add(request_bytes as u64);
        Progress { connection: self.clone(), number }
    }

    /// The request that began last will not be answered.
    pub fn take_back(&self) {
        let entry = self.entries.borrow_mut().pop_back();
        self.left(&entry.expect("a request is taken back after it began"));
    }

    fn note_client(&self, client_id: Option<&str>) {
        let mut known = self.client_id.borrow_mut();
        if known.as_deref() != client_id {
            *known = client_id.map(Box::from);
        }
    }

    fn left(&self, entry: &UnderWay) {
        self.counts.requests_in_flight.subtract(1);
        self.counts.request_bytes_in_flight.subtract(entry.request_bytes as u64);
    }

    fn log(&self, entry: &UnderWay, passage: &Passage, spent: &TimeSpent, now: Instant) {
        self.counts.apis.update(entry.api_key, |count| count.slow += 1);
        let client_id = self.client_id.borrow();
        self.counts.slow_requests.log(
            now,
            &SlowRequest {
                peer: self.peer,
                client_id: client_id.as_deref().unwrap_or_default(),
                api_key: entry.api_key,
                version: entry.version,
                request_bytes: entry.request_bytes,
                response_bytes: passage.reply_bytes,
                spent,
            },
        );
    }
}

impl Observer for RequestsUnderWay {
    fn answered(&self, passage: &Passage) {
        let entry = self.entries.borrow_mut().pop_front().expect("a request began before it was answered");
        self.oldest.set(self.oldest.get() + 1);
        self.left(&entry);
        self.counts.fetch_wait_ns.add(entry.waited_for_data.as_nanos() as u64);
        self.counts.apis.update(entry.api_key, |count| {
            count.requests += 1;
            count.request_bytes += entry.request_bytes as u64;
            count.response_bytes += passage.reply_bytes as u64;
            count.durations.record(passage.answered.since(passage.received));
        });
        self.leaving.borrow_mut().push((entry, *passage));
    }

    fn sent(&self, now: Instant) {
        for (entry, passage) in self.leaving.borrow_mut().drain(..) {
            let taken = now.since(passage.received).saturating_sub(entry.waited_for_data);
            if self.counts.slow_requests.is_slow(taken) {
                self.log(&entry, &passage, &entry.spent(&passage, now), now);
            }
        }
    }
}

impl UnderWay {
    fn spent(&self, passage: &Passage, sent: Instant) -> TimeSpent {
        let Passage { received, turn, answered, .. } = *passage;
        let reply = sent.since(answered);
        if let Some(handed_over) = self.handed_over {
            // The work was done on arrival; what came after it was waiting.
            let waiting_since = turn.max(handed_over);
            return TimeSpent {
                queued: waiting_since.since(handed_over),
                handler: handed_over.since(received),
                storage: answered.since(waiting_since),
                data: Duration::ZERO,
                reply,
            };
        }
        let elsewhere = self.waited_for_data + self.waited_for_storage;
        TimeSpent {
            queued: turn.since(received),
            handler: answered.since(turn).saturating_sub(elsewhere),
            storage: self.waited_for_storage,
            data: self.waited_for_data,
            reply,
        }
    }
}

impl Drop for RequestsUnderWay {
    fn drop(&mut self) {
        for entry in self.entries.take() {
            self.left(&entry);
        }
    }
}

/// By which a handler says how its request is doing.
pub struct Progress {
    connection: Rc<RequestsUnderWay>,
    number: u64,
}

impl Progress {
    /// The work is done but for waiting until batches are safe.
    pub fn handed_over(&self, now: Instant) {
        self.update(|entry| entry.handed_over = Some(now));
    }

    /// It waited for something to happen that has nothing to do with the broker's speed: new records, other members
    /// of a group.
    pub fn waited_for_data(&self, duration: Duration) {
        self.update(|entry| entry.waited_for_data += duration);
    }

    /// It waited for logs, on this shard or others.
    pub fn waited_for_storage(&self, duration: Duration) {
        self.update(|entry| entry.waited_for_storage += duration);
    }

    fn update(&self, change: impl FnOnce(&mut UnderWay)) {
        let index = self.number.checked_sub(self.connection.oldest.get()).map(|index| index as usize);
        let mut entries = self.connection.entries.borrow_mut();
        if let Some(entry) = index.and_then(|index| entries.get_mut(index)) {
            change(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::default() + Duration::from_millis(milliseconds)
    }

    fn connection(counts: &Rc<ShardCounts>) -> Rc<RequestsUnderWay> {
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
        Rc::new(RequestsUnderWay::new(counts.clone(), peer))
    }

    fn begin(connection: &Rc<RequestsUnderWay>, api_key: ApiKey, request_bytes: usize) -> Progress {
        let header = RequestHeader {
            api_key: api_key as i16,
            api_version: 9,
            correlation_id: 1,
            client_id: Some("test"),
        };
        connection.begin(api_key, &header, request_bytes)
    }

    fn passage(received: u64, turn: u64, answered: u64) -> Passage {
        Passage { received: at(received), turn: at(turn), answered: at(answered), reply_bytes: 50 }
    }

    fn slow_count(counts: &ShardCounts, api_key: ApiKey) -> u64 {
        let mut slow = 0;
        counts.apis.each(|key, count| slow += if key == api_key { count.slow } else { 0 });
        slow
    }

    #[test]
    fn requests_are_counted_by_api_when_they_are_answered() {
        let counts = Rc::new(ShardCounts::new(None));
        let connection = connection(&counts);
        begin(&connection, ApiKey::Produce, 100);
        begin(&connection, ApiKey::Fetch, 30);
        assert_eq!((counts.requests_in_flight.get(), counts.request_bytes_in_flight.get()), (2, 130));
        connection.answered(&passage(0, 0, 2));
        let mut seen = Vec::new();
        counts
            .apis
            .each(|key, count| seen.push((key, count.requests, count.request_bytes, count.response_bytes)));
        assert_eq!(seen, [(ApiKey::Produce, 1, 100, 50)]);
        drop(connection);
        assert_eq!((counts.requests_in_flight.get(), counts.request_bytes_in_flight.get()), (0, 0));
    }

    #[test]
    fn a_long_poll_is_not_slow_because_it_waited() {
        let counts = Rc::new(ShardCounts::new(Some(Duration::from_millis(100))));
        let connection = connection(&counts);
        let patient = begin(&connection, ApiKey::Fetch, 30);
        patient.waited_for_data(Duration::from_millis(5_000));
        begin(&connection, ApiKey::Metadata, 30);
        connection.answered(&passage(0, 0, 5_050));
        connection.answered(&passage(4_900, 5_050, 5_051));
        connection.sent(at(5_060));
        assert_eq!(slow_count(&counts, ApiKey::Fetch), 0, "60 ms of its own");
        assert_eq!(slow_count(&counts, ApiKey::Metadata), 1, "160 ms, most of them behind the fetch");
        assert_eq!(counts.fetch_wait_ns.get(), 5_000_000_000);
    }

    #[test]
    fn the_time_of_a_request_is_split_into_where_it_went() {
        let counts = Rc::new(ShardCounts::new(None));
        let connection = connection(&counts);
        let fetch = begin(&connection, ApiKey::Fetch, 30);
        fetch.waited_for_data(Duration::from_millis(20));
        fetch.waited_for_storage(Duration::from_millis(7));
        begin(&connection, ApiKey::Produce, 30).handed_over(at(33));
        let spent = |index: usize, passage| connection.entries.borrow()[index].spent(&passage, at(60));
        let ms = |spent: TimeSpent| {
            [spent.queued, spent.handler, spent.storage, spent.data, spent.reply].map(|part| part.as_millis())
        };
        assert_eq!(ms(spent(0, passage(0, 10, 40))), [10, 3, 7, 20, 20]);
        assert_eq!(
            ms(spent(1, passage(30, 40, 55))),
            [7, 3, 15, 0, 5],
            "behind the fetch, then behind the disk"
        );
        assert_eq!(
            ms(spent(1, passage(30, 31, 55))),
            [0, 3, 22, 0, 5],
            "its turn came while it was worked on"
        );
    }

    #[test]
    fn what_a_handler_says_late_harms_nobody() {
        let counts = Rc::new(ShardCounts::new(None));
        let connection = connection(&counts);
        let first = begin(&connection, ApiKey::Fetch, 1);
        connection.answered(&passage(0, 0, 1));
        begin(&connection, ApiKey::Fetch, 1);
        first.waited_for_data(Duration::from_secs(1));
        assert_eq!(connection.entries.borrow()[0].waited_for_data, Duration::ZERO);
    }
}
