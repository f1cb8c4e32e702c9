//! Values of metrics, on their way from the shards to the page.
//!
//! Always true: a sample has as many labels as its family; samples of several shards with the same labels add up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringlog_core::ids::ShardIndex;
use ringlog_core::latency::LatencySummary;
use smallvec::SmallVec;

use crate::broker::metrics::families::{Family, Kind};

/// One label's value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Label {
    /// A number.
    Number(i64),
    /// A word of the broker's own.
    Word(&'static str),
    /// A name that people gave.
    Name(Arc<str>),
}

impl From<ShardIndex> for Label {
    fn from(shard: ShardIndex) -> Label {
        Label::Number(i64::from(shard.0))
    }
}

impl From<&'static str> for Label {
    fn from(word: &'static str) -> Label {
        Label::Word(word)
    }
}

/// The labels of one sample, in the family's order.
pub type Labels = SmallVec<[Label; 2]>;

/// What was measured.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A number. Whole ones are exact up to 2^53.
    Number(f64),
    /// Durations.
    Latency(Box<LatencySummary>),
}

impl Value {
    fn add(&mut self, other: Value) {
        match (self, other) {
            (Value::Number(sum), Value::Number(more)) => *sum += more,
            (Value::Latency(sum), Value::Latency(more)) => sum.add(&more),
            (value, other) => panic!("{value:?} and {other:?} are of different kinds"),
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(number as f64)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::Number(number as f64)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number as f64)
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Value {
        Value::Number(f64::from(u8::from(is_so)))
    }
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Value {
        Value::Number(duration.as_secs_f64())
    }
}

impl From<LatencySummary> for Value {
    fn from(summary: LatencySummary) -> Value {
        Value::Latency(Box::new(summary))
    }
}

/// All samples of one family.
pub struct FamilySamples {
    /// Which family.
    pub family: &'static Family,
    /// Values by labels.
    pub values: BTreeMap<Labels, Value>,
}

/// Samples of many families, by name.
#[derive(Default)]
pub struct Samples {
    families: BTreeMap<&'static str, FamilySamples>,
}

impl Samples {
    /// Adds a sample, to one with the same labels if there is one.
    pub fn add<const N: usize>(
        &mut self,
        family: &'static Family,
        labels: [Label; N],
        value: impl Into<Value>,
    ) {
        let value = value.into();
        assert_eq!(N, family.labels.len(), "the labels of {}", family.name);
        let is_latency = matches!(value, Value::Latency(_));
        assert_eq!(is_latency, family.kind == Kind::Histogram, "a value of {}", family.name);
        self.add_value(family, Labels::from_iter(labels), value);
    }

    /// The samples of one family.
    pub fn of(&self, family: &'static Family) -> impl Iterator<Item = (&Labels, &Value)> {
        self.families.get(family.name).into_iter().flat_map(|samples| &samples.values)
    }

    /// One sample.
    pub fn value(&self, family: &'static Family, labels: &Labels) -> Option<&Value> {
        self.families.get(family.name)?.values.get(labels)
    }

    /// Adds what another shard said.
    pub fn merge(&mut self, other: Samples) {
        for (_, FamilySamples { family, values }) in other.families {
            for (labels, value) in values {
                self.add_value(family, labels, value);
            }
        }
    }

    /// Every family that has samples, by name.
    pub fn into_families(self) -> impl Iterator<Item = FamilySamples> {
        self.families.into_values()
    }

    fn add_value(&mut self, family: &'static Family, labels: Labels, value: Value) {
        let samples = self
            .families
            .entry(family.name)
            .or_insert_with(|| FamilySamples { family, values: BTreeMap::new() });
        match samples.values.get_mut(&labels) {
            Some(sum) => sum.add(value),
            None => {
                samples.values.insert(labels, value);
            }
        }
    }
}
