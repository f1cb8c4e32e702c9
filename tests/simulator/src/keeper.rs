//! Somebody who looks after a group from outside: reads its offsets, commits some while nobody is in it, takes offsets or
//! the whole group away.
//!
//! Always true: it asks for one removal at a time, and for the next thing only when that was granted or refused, or cannot
//! be worked on any more.

use std::io;

use ringlog_net::protocol::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use ringlog_net::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use ringlog_runtime::memory::Random;

use crate::client::Client;
use crate::fetcher::expect_success;
use crate::group::{Group, Identity};
use crate::group_history::{Found, Moment, RemovalNumber};
use crate::workload::{NO_ERROR, RETRY_AFTER, UNCLEAR_FOR};

const NON_EMPTY_GROUP: i16 = 68;
const GROUP_ID_NOT_FOUND: i16 = 69;
const GROUP_SUBSCRIBED_TO_TOPIC: i16 = 86;
const PAUSES_MAX: u64 = 10;

/// Does so many things.
pub fn keep(group: Group, times: u64, random: Random) -> impl Future<Output = ()> {
    group.workload.begin();
    look_after(group, times, random)
}

async fn look_after(group: Group, times: u64, mut random: Random) {
    for _ in 0..times {
        group.workload.world.sleep(RETRY_AFTER * random.below(PAUSES_MAX) as u32).await;
        let mut client = group.connect();
        let partition = random.below(group.workload.topic.partitions as u64) as i32;
        // Not to be answered is no answer; what it leaves open is in the history.
        let _ = match random.below(12) {
            0 => remove(&group, &mut client, None).await,
            1 => remove(&group, &mut client, Some(partition)).await,
            2..=6 => commit(&group, &mut client, partition).await,
            _ => group.read(&mut client, &group.partitions()).await,
        };
    }
    group.workload.end();
}

async fn commit(group: &Group, client: &mut Client, partition: i32) -> io::Result<()> {
    group.find(client).await?;
    group.commit(client, Identity::NOBODY, &[partition]).await.map(|_| ())
}

/// Reads all offsets, however long it takes to be told.
pub async fn read_at_last(group: &Group) {
    loop {
        let mut client = group.connect();
        let found = group.find(&mut client).await;
        if found.is_ok() && group.read(&mut client, &group.partitions()).await.is_ok() {
            return;
        }
        group.workload.world.sleep(RETRY_AFTER).await;
    }
}

/// Takes one offset away, or all with the group.
async fn remove(group: &Group, client: &mut Client, partition: Option<i32>) -> io::Result<()> {
    let history = group.workload.history.clone();
    let (removal, asked) = {
        let groups = &mut history.borrow_mut().groups;
        (groups.removal_asked(group.number, partition), groups.tick())
    };
    let answered = match partition {
        Some(partition) => remove_offset(group, client, partition).await,
        None => remove_group(group, client).await,
    };
    match answered {
        Ok(NO_ERROR) => history.borrow_mut().groups.removal_granted(removal),
        Ok(NON_EMPTY_GROUP | GROUP_SUBSCRIBED_TO_TOPIC) => {
            history.borrow_mut().groups.removal_refused(removal);
        }
        Ok(GROUP_ID_NOT_FOUND) => note_not_found(group, removal, asked),
        Ok(code) => {
            settle_later(group, removal).await;
            return expect_success(code);
        }
        Err(error) => {
            settle_later(group, removal).await;
            return Err(error);
        }
    }
    Ok(())
}

/// It may still be done.
async fn settle_later(group: &Group, removal: RemovalNumber) {
    group.workload.world.sleep(UNCLEAR_FOR).await;
    group.workload.history.borrow_mut().groups.removal_settled(removal);
}

/// There is no such group, so it has no offsets, and did not have any to remove.
fn note_not_found(group: &Group, removal: RemovalNumber, asked: Moment) {
    let groups = &mut group.workload.history.borrow_mut().groups;
    groups.removal_refused(removal);
    for partition in group.partitions() {
        groups.offset_told(group.number, partition, asked, Found::Nothing);
    }
}

async fn remove_offset(group: &Group, client: &mut Client, partition: i32) -> io::Result<i16> {
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: partition }];
    let topic = OffsetDeleteRequestTopic { name: group.workload.topic.name, partitions };
    let request = OffsetDeleteRequest { group_id: group.name(), topics: vec![topic] };
    let answer = client.call(&request, 0).await?;
    let response = answer.read(OffsetDeleteResponse::decode);
    let of_partition = response.topics.iter().flat_map(|topic| &topic.partitions).next();
    Ok(match response.error_code {
        NO_ERROR => of_partition.map_or(NO_ERROR, |result| result.error_code),
        code => code,
    })
}

async fn remove_group(group: &Group, client: &mut Client) -> io::Result<i16> {
    let request = DeleteGroupsRequest { groups_names: vec![group.name()] };
    let answer = client.call(&request, group.versions.delete).await?;
    Ok(answer.read(DeleteGroupsResponse::decode).results[0].error_code)
}
