//! A fetcher that reads all partitions in a fetch session, as consumers do: it names only what changed.
//!
//! ```text
//!   session 0 epoch 0: partitions 0 1 2 from 0 0 0    ──► session 77: records of 0 and 2
//!   session 77 epoch 1: partitions 0, 2 from 5, 9     ──► records of 1: nobody named it, the session knows it
//! ```
//!
//! Always true: after any failure the next request begins a session anew, with all partitions.

use std::io;

use ringlog_net::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ringlog_runtime::memory::Random;

use crate::client::Client;
use crate::fetcher::{
    WAIT_MS_MAX, expect_success, is_damaged, is_out_of_range, skip_what_is_damaged, skip_what_is_gone, unpack,
};
use crate::history::FetcherNumber;
use crate::workload::{RETRY_AFTER, Workload};

/// Which request of a session asks for a new one.
const FIRST_EPOCH: i32 = 0;

/// Reads every partition of the topic from its beginning to its last end, across crashes.
pub fn follow(workload: Workload, random: Random) -> impl Future<Output = ()> {
    let partitions = workload.topic.partitions as usize;
    let reader = SessionReader {
        fetcher: workload.new_fetcher(),
        workload,
        random,
        next_offsets: vec![0; partitions],
        is_changed: vec![true; partitions],
        session_id: 0,
        session_epoch: FIRST_EPOCH,
    };
    reader.run()
}

struct SessionReader {
    workload: Workload,
    fetcher: FetcherNumber,
    random: Random,
    next_offsets: Vec<i64>,
    is_changed: Vec<bool>,
    session_id: i32,
    session_epoch: i32,
}

impl SessionReader {
    async fn run(mut self) {
        while !self.has_read_all() {
            let mut client = Client::connect(&self.workload.world, self.workload.address);
            self.begin_anew();
            // What ended the session does not matter: the next one begins where this one ended.
            while !self.has_read_all() && self.fetch(&mut client).await.is_ok() {}
            drop(client);
            self.workload.world.sleep(RETRY_AFTER).await;
        }
        self.workload.end_reading();
    }

    fn has_read_all(&self) -> bool {
        (0..).zip(&self.next_offsets).all(|(partition, next)| self.workload.is_read(partition, *next))
    }

    fn begin_anew(&mut self) {
        (self.session_id, self.session_epoch) = (0, FIRST_EPOCH);
        self.is_changed.fill(true);
    }

    async fn fetch(&mut self, client: &mut Client) -> io::Result<()> {
        let bytes_max = self.random.between(1..=100_000) as i32;
        let floors = self.floors();
        let answer = client.call(&self.request(bytes_max), self.workload.versions.session_fetch).await?;
        let response = answer.read(FetchResponse::decode);
        expect_success(response.error_code)?;
        self.is_changed.fill(false);
        for answer in response.responses.iter().flat_map(|topic| &topic.partitions) {
            if let Err(error) = expect_success(answer.error_code) {
                return self.look_after(client, answer.partition_index, error).await;
            }
            let parts = answer.records.iter().flat_map(|records| records.parts());
            let bytes: Vec<u8> = parts.flatten().copied().collect();
            if !bytes.is_empty() {
                self.note_read(answer.partition_index, &floors);
            }
            self.take(answer.partition_index, &bytes);
        }
        match response.session_id {
            // The broker keeps no session for this reader: everything is named again.
            0 => self.begin_anew(),
            id => (self.session_id, self.session_epoch) = (id, self.session_epoch + 1),
        }
        Ok(())
    }

    /// Goes on where the log begins if its error says that what comes next is gone, and behind what is damaged; the session is
    /// begun anew.
    async fn look_after(&mut self, client: &mut Client, partition: i32, error: io::Error) -> io::Result<()> {
        let next = self.next_offsets[partition as usize];
        if is_damaged(&error) {
            let behind = skip_what_is_damaged(&self.workload, partition, next);
            self.next_offsets[partition as usize] = behind.unwrap_or(next);
        }
        if is_out_of_range(&error) {
            let start = skip_what_is_gone(&self.workload, client, self.fetcher, partition, next).await?;
            self.next_offsets[partition as usize] = start;
        }
        Err(error)
    }

    fn request(&self, bytes_max: i32) -> FetchRequest<'_> {
        let partitions = (0..).zip(&self.next_offsets).zip(&self.is_changed);
        let named = partitions.filter(|(_, is_changed)| **is_changed);
        let wanted = named.map(|((partition, next), _)| FetchPartition {
            partition,
            fetch_offset: *next,
            // The same in every request: a partition that is not named keeps what it was named with.
            partition_max_bytes: 20_000,
            ..FetchPartition::default()
        });
        let topic = self.workload.topic.name;
        let topic = FetchTopic { topic, partitions: wanted.collect(), ..FetchTopic::default() };
        FetchRequest {
            max_wait_ms: WAIT_MS_MAX,
            min_bytes: 1,
            max_bytes: bytes_max,
            session_id: self.session_id,
            session_epoch: self.session_epoch,
            topics: if topic.partitions.is_empty() { Vec::new() } else { vec![topic] },
            ..FetchRequest::default()
        }
    }

    fn floors(&self) -> Vec<i64> {
        let history = self.workload.history.borrow();
        let partitions = 0..self.workload.topic.partitions;
        partitions.map(|partition| history.starts.floor(self.workload.number_of(partition))).collect()
    }

    fn note_read(&self, partition: i32, floors: &[i64]) {
        let (floor, next) = (floors[partition as usize], self.next_offsets[partition as usize]);
        let number = self.workload.number_of(partition);
        self.workload.history.borrow_mut().starts.read(number, floor, next);
    }

    fn take(&mut self, partition: i32, bytes: &[u8]) {
        let mut records = Vec::new();
        let next = &mut self.next_offsets[partition as usize];
        unpack(bytes, *next, &mut records);
        let mut history = self.workload.history.borrow_mut();
        for (offset, value) in records {
            history.read(self.fetcher, self.workload.number_of(partition), offset, &value);
            *next = offset + 1;
            self.is_changed[partition as usize] = true;
        }
    }
}
