//! JoinGroup: somebody wants to be in the next generation.
//!
//! ```text
//!   no id ──► static name known?  ──► yes: takes over the place of who had it (KIP-345)
//!         │                       └─► no:  new member, or first only an id (KIP-394)
//!   an id ──► given before, pending ──► new member
//!         └─► a member ──► told the current generation if nothing changed, else a rebalance
//! ```
//!
//! Always true: a join that is not answered at once waits as its member's, and is answered when the join
//! phase ends or the member goes.

use crate::group::bounds::{NO_ROOM_TO_WAIT, limit, members_max};
use crate::group::classic_group::{Group, Phase};
use crate::group::deadlines::Alarm;
use crate::group::decision::GroupTicket;
use crate::group::member::{ID_SUFFIX_BYTES, Member, Waiting, protocols_bytes};
use crate::group::message::{Answer, InstanceId, Join, JoinAnswer, Joined, MemberId};
use crate::group::settings::GroupSettings;
use crate::group::turn::Turn;
use crate::refusal::Refusal;

/// What can be told of a join without knowing its group.
pub(super) fn check_join(join: &Join, settings: &GroupSettings) -> Result<(), Refusal> {
    let timeout = join.session_timeout;
    if timeout < settings.session_timeout_min || timeout > settings.session_timeout_max {
        return Err(Refusal::InvalidSessionTimeout);
    }
    let limits = &settings.limits;
    let instance_bytes = join.instance.as_ref().map_or(0, |instance| instance.len());
    if join.member.len().max(instance_bytes) > limits.name_bytes_max {
        return Err(Refusal::invalid_request("the name of a group's member is too long"));
    }
    // An empty group keeps it for as long as it has offsets.
    if join.protocol_type.len() > limits.protocol_type_bytes_max {
        return Err(Refusal::invalid_request("the name of a group's kind is too long"));
    }
    let (count, count_max) = (join.protocols.len(), limits.protocols_per_member_max);
    if count > count_max {
        return Err(limit(format!("a member may name {count_max} assignors, not {count}")));
    }
    let (bytes, bytes_max) = (protocols_bytes(&join.protocols), limits.member_bytes_max);
    if bytes > bytes_max {
        return Err(limit(format!("a member may tell its assignors {bytes_max} bytes, not {bytes}")));
    }
    Ok(())
}

impl Group {
    /// Takes a join that [`check_join`] found nothing wrong with.
    pub fn join(&mut self, join: &Join, ticket: GroupTicket, turn: &mut Turn) {
        if let Err(refusal) = self.admit(join, turn) {
            let answer = JoinAnswer { member: join.member.clone(), outcome: Err(refusal) };
            turn.reply_now(ticket, Answer::Join(answer));
            return;
        }
        if join.member.is_empty() {
            self.join_anew(join, ticket, turn);
        } else if self.remove_pending(&join.member, turn) {
            self.add_member(join.member.clone(), join, ticket, turn);
        } else {
            self.join_again(join, ticket, turn);
        }
    }

    /// Whether a join can be taken at all.
    fn admit(&mut self, join: &Join, turn: &mut Turn) -> Result<(), Refusal> {
        if turn.room.waiting_count == 0 {
            return Err(NO_ROOM_TO_WAIT);
        }
        if !self.has_room_for(join, turn) {
            if self.roster.get(&join.member).is_some() {
                self.remove_member(&join.member, turn);
                self.membership_changed(turn);
            }
            return Err(Refusal::GroupMaxSizeReached);
        }
        if !self.can_work_with(join) {
            return Err(Refusal::InconsistentGroupProtocol);
        }
        let earlier = self.roster.get(self.whose_place(join)).map_or(0, Member::bytes);
        self.check_bytes(Member::joining_bytes(join).saturating_sub(earlier), turn)?;
        if !join.member.is_empty() && !self.roster.is_pending(&join.member) {
            self.check_member(&join.member, join.instance.as_deref())?;
        } else if self.roster.is_pending(&join.member) && join.instance.is_some() {
            // Ids are given to dynamic members only.
            return Err(Refusal::UnknownMember);
        }
        Ok(())
    }

    /// `group.max.size` (KIP-389). In the join phase the places are those who have joined, so that a group
    /// too large shrinks to those who come first.
    fn has_room_for(&self, join: &Join, turn: &Turn) -> bool {
        let count_max = members_max(turn.settings);
        let known = self.roster.get(self.whose_place(join));
        match self.phase {
            Phase::Empty => true,
            Phase::Gathering { .. } | Phase::Preparing => {
                known.is_some_and(Member::is_joining) || self.roster.joining_count() < count_max
            }
            Phase::Completing { .. } | Phase::Stable { .. } => {
                known.is_some() || self.roster.len() < count_max
            }
        }
    }

    /// Who has the place in the group that a join asks for: the member itself, or a static member's earlier self.
    fn whose_place<'a>(&'a self, join: &'a Join) -> &'a MemberId {
        let holder = join.instance.as_ref().and_then(|instance| self.roster.holder_of(instance));
        if join.member.is_empty() { holder.unwrap_or(&join.member) } else { &join.member }
    }

    /// Whether all members and this one have an assignor in common.
    fn can_work_with(&self, join: &Join) -> bool {
        if self.roster.is_empty() && self.phase == Phase::Empty {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&join.protocol_type)
            && self.roster.has_assignor_in_common(&join.protocols)
    }

    fn join_anew(&mut self, join: &Join, ticket: GroupTicket, turn: &mut Turn) {
        let id = new_member_id(join, turn);
        match &join.instance {
            Some(instance) if self.roster.holder_of(instance).is_some() => {
                self.take_over(instance, id, join, ticket, turn);
            }
            None if join.requires_known_member => self.give_id(id, join, ticket, turn),
            Some(_) | None => self.add_member(id, join, ticket, turn),
        }
    }

    /// A client that gave up its first join would be a member nobody hears of: first it has to know its id.
    fn give_id(&mut self, id: MemberId, join: &Join, ticket: GroupTicket, turn: &mut Turn) {
        let is_full = self.roster.pending_count() >= turn.settings.limits.members_per_group_max
            || id.len() > turn.room.bytes;
        let outcome = Err(if is_full { NO_ROOM_TO_WAIT } else { Refusal::MemberIdRequired });
        if !is_full {
            turn.arm(&self.id, Alarm::PendingMember(id.clone()), join.session_timeout);
            self.roster.add_pending(id.clone());
        }
        turn.reply_now(ticket, Answer::Join(JoinAnswer { member: id, outcome }));
    }

    /// An id was given and did not come back.
    pub fn pending_member_timed_out(&mut self, id: &MemberId, turn: &mut Turn) {
        if self.remove_pending(id, turn) {
            self.membership_changed_by_pending(turn);
        }
    }

    /// One who was only pending is no reason for a rebalance, but may have been the last one waited for.
    pub fn membership_changed_by_pending(&mut self, turn: &mut Turn) {
        if self.phase == Phase::Preparing {
            self.membership_changed(turn);
        }
    }

    fn add_member(&mut self, id: MemberId, join: &Join, ticket: GroupTicket, turn: &mut Turn) {
        if self.roster.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Phase::Gathering { has_newcomers, .. } = &mut self.phase {
            *has_newcomers = true;
        }
        self.roster.add(Member::joining(id.clone(), join));
        self.roster.wait(&id, Waiting::Join(ticket));
        self.restart_session(&id, turn);
        self.membership_changed(turn);
    }

    /// A member joins again: the current generation will do for it, or all have to agree on another.
    fn join_again(&mut self, join: &Join, ticket: GroupTicket, turn: &mut Turn) {
        let id = &join.member;
        let is_same = self.roster.get(id).is_some_and(|member| member.knows_the_same(&join.protocols));
        let is_told_at_once = match self.phase {
            Phase::Completing { .. } => is_same,
            // A leader may know of something that members' subscriptions do not show, such as a new partition.
            Phase::Stable { .. } => is_same && !self.roster.is_leader(id),
            Phase::Empty | Phase::Gathering { .. } | Phase::Preparing => false,
        };
        if is_told_at_once {
            let answer = JoinAnswer { member: id.clone(), outcome: Ok(self.joined(id)) };
            turn.reply_now(ticket, Answer::Join(answer));
            return;
        }
        self.roster.update(id, join);
        self.let_wait(id, Waiting::Join(ticket), turn);
        self.membership_changed(turn);
    }

    /// Lets a request wait. An earlier one of the same member is told to join again: nobody reads that.
    pub fn let_wait(&mut self, id: &MemberId, waiting: Waiting, turn: &mut Turn) {
        if let Some(earlier) = self.roster.wait(id, waiting) {
            let (ticket, answer) = earlier.refused(id, Refusal::RebalanceInProgress);
            turn.reply_now(ticket, answer);
        }
    }

    /// A static member has started again: it gets the place of its earlier self, whose requests are refused
    /// from now on.
    fn take_over(
        &mut self,
        instance: &InstanceId,
        id: MemberId,
        join: &Join,
        ticket: GroupTicket,
        turn: &mut Turn,
    ) {
        let earlier_leader = self.roster.leader().cloned();
        self.fence(instance, &id, turn);
        self.roster.update(&id, join);
        self.restart_session(&id, turn);
        let keeps_generation =
            matches!(self.phase, Phase::Stable { .. }) && self.roster.choose_protocol() == self.protocol;
        if !keeps_generation {
            self.let_wait(&id, Waiting::Join(ticket), turn);
            self.membership_changed(turn);
            return;
        }
        let mut joined = self.joined(&id);
        if join.supports_skipping_assignment {
            joined.skip_assignment = self.roster.is_leader(&id);
        } else {
            // Told that it leads, it would assign anew in a generation that has its assignment: it is told of
            // its earlier self, so that it takes what it is given.
            joined = Joined { leader: earlier_leader.unwrap_or_default(), members: Vec::new(), ..joined };
        }
        self.subscribed = self.topics_read();
        self.write_generation(turn);
        turn.reply_committed(ticket, Answer::Join(JoinAnswer { member: id, outcome: Ok(joined) }));
    }

    fn fence(&mut self, instance: &InstanceId, id: &MemberId, turn: &mut Turn) {
        let Some(earlier) = self.roster.holder_of(instance).cloned() else { return };
        turn.disarm(&self.id, Alarm::Session(earlier.clone()));
        if let Some(waiting) = self.roster.replace_static(instance, id) {
            let (ticket, answer) = waiting.refused(&earlier, Refusal::FencedInstanceId);
            turn.reply_now(ticket, answer);
        }
        if let Phase::Completing { unsynced } | Phase::Stable { unsynced } = &mut self.phase
            && unsynced.remove(&earlier)
        {
            unsynced.insert(id.clone());
        }
    }
}

/// A name nobody has: the client's or static member's own name and a random UUID (version 4).
fn new_member_id(join: &Join, turn: &Turn) -> MemberId {
    let name = join.instance.as_ref().unwrap_or(&join.client_id);
    let name_bytes_max = turn.settings.limits.name_bytes_max.saturating_sub(ID_SUFFIX_BYTES);
    let mut end = name.len().min(name_bytes_max);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let random = turn.moment.random;
    let (version, variant) = (0x4 << 76 | 0x2 << 62, !(0xf << 76 | 0x3 << 62));
    let digits = format!("{:032x}", (random & variant) | version);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    format!("{}-{}", &name[..end], parts.join("-")).into()
}
