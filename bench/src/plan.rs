//! The plan of an open loop: when each request is due, on which connection, for which partition.
//!
//! ```text
//!   request   0    1    2    3    4    5        3 connections, 2 partitions
//!   due       |    |    |    |    |    |  ...   evenly spaced, whatever the broker does
//!   sends     c0   c1   c2   c0   c1   c2
//!   to        p0   p1   p0   p1   p0   p1       connections begin at different partitions and go round
//! ```
//!
//! Always true: the plan depends on nothing but its numbers. It never waits, it is never shifted; where a request is late,
//! the lateness counts.

/// When what is sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plan {
    /// Requests a second, over all connections.
    pub requests_per_second: f64,
    /// Connections.
    pub connections: u64,
    /// Partitions.
    pub partitions: u64,
    /// How many requests there are.
    pub requests: u64,
}

/// One request of the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Its number in the plan.
    pub number: u64,
    /// Who sends it.
    pub connection: u64,
    /// To which partition.
    pub partition: u64,
    /// How many this connection has sent to this partition before.
    pub round: u64,
}

impl Plan {
    /// A plan for so many seconds.
    pub fn new(requests_per_second: f64, seconds: f64, connections: u64, partitions: u64) -> Plan {
        let requests = (requests_per_second * seconds).ceil().max(1.0) as u64;
        Plan { requests_per_second, connections, partitions, requests }
    }

    /// When a request is due, in nanoseconds after the plan's beginning.
    pub fn due_ns(&self, number: u64) -> u64 {
        (number as f64 * (1e9 / self.requests_per_second)) as u64
    }

    /// The first request that is due at this time or later.
    pub fn first_due_at(&self, ns: u64) -> u64 {
        let mut number = (ns as f64 / 1e9 * self.requests_per_second) as u64;
        while number > 0 && self.due_ns(number - 1) >= ns {
            number -= 1;
        }
        while self.due_ns(number) < ns {
            number += 1;
        }
        number.min(self.requests)
    }

    /// What a request is.
    pub fn request(&self, number: u64) -> Planned {
        let connection = number % self.connections;
        let turn = number / self.connections;
        let partition = (connection + turn) % self.partitions;
        Planned { number, connection, partition, round: turn / self.partitions }
    }

    /// The number of the request that a connection sends to a partition as its `round`th.
    pub fn number_of(&self, connection: u64, partition: u64, round: u64) -> u64 {
        let first = (partition + self.partitions - connection % self.partitions) % self.partitions;
        (round * self.partitions + first) * self.connections + connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_evenly_and_no_second_has_more_than_its_share() {
        let plan = Plan::new(5000.0, 12.0, 7, 3);
        assert_eq!(plan.requests, 60_000);
        for second in 0..12 {
            let (from, to) = (second * 1_000_000_000, (second + 1) * 1_000_000_000);
            assert_eq!(plan.first_due_at(to) - plan.first_due_at(from), 5000, "second {second}");
        }
        let gaps = (1..10_000).map(|number| plan.due_ns(number) - plan.due_ns(number - 1));
        assert!(gaps.into_iter().all(|gap| (199_999..=200_001).contains(&gap)));
    }

    #[test]
    fn the_time_of_a_request_is_found_by_who_sent_it_where_as_which() {
        for (connections, partitions) in [(1, 1), (3, 2), (2, 3), (10, 64), (64, 10), (5, 5)] {
            let plan = Plan::new(1000.0, 5.0, connections, partitions);
            let mut rounds = std::collections::BTreeMap::new();
            for number in 0..plan.requests {
                let planned = plan.request(number);
                let seen: &mut u64 = rounds.entry((planned.connection, planned.partition)).or_default();
                assert_eq!(planned.round, *seen, "request {number}: rounds are dense");
                *seen += 1;
                assert_eq!(plan.number_of(planned.connection, planned.partition, planned.round), number);
            }
            assert_eq!(rounds.len() as u64, connections * partitions, "everybody sends everywhere");
        }
    }

    #[test]
    fn a_slow_plan_has_its_first_request_at_once() {
        let plan = Plan::new(0.1, 1.0, 1, 1);
        assert_eq!((plan.requests, plan.due_ns(0), plan.first_due_at(1)), (1, 0, 1));
    }
}
