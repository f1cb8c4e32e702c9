//! What a client asked to be configured, was granted, and was told: evidence for the checker.
//!
//! ```text
//!   begins ──► asked ──► granted | refused | nothing: it holds whole or not at all
//!                └──► described, at any time
//! ```
//!
//! Always true: one client changes and describes, one thing after the other, so the order here is that of the broker; it
//! asks for the next change of a resource when the one before was granted or refused.

use std::collections::BTreeMap;

/// What is configured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Resource {
    /// The client's own topic.
    Topic,
    /// The broker.
    Broker,
    /// Every broker.
    EveryBroker,
}

/// Values that were given, by key.
pub type Values = BTreeMap<String, String>;

/// New values, none where the default shall hold again.
pub type Change = Vec<(&'static str, Option<String>)>;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum ConfigNews {
    /// The resource is made with these values.
    Begins(Resource, Values),
    /// A change is asked for, perhaps again.
    Asked(Resource, Change),
    /// The change asked for last is granted.
    Granted(Resource),
    /// The change asked for last is refused.
    Refused(Resource),
    /// The broker says what is given.
    Described(Resource, Values),
    /// The broker did not act by a value that was granted.
    Ignored {
        /// Whose value.
        resource: Resource,
        /// Of which key.
        key: &'static str,
        /// The value.
        value: String,
        /// What the broker did.
        seen: String,
    },
}

/// All of it, in order.
#[derive(Clone, Default, Debug)]
pub struct ConfigHistory {
    news: Vec<ConfigNews>,
}

impl ConfigHistory {
    /// Something happens.
    pub fn note(&mut self, news: ConfigNews) {
        self.news.push(news);
    }

    /// All that happened.
    pub fn news(&self) -> &[ConfigNews] {
        &self.news
    }

    /// How many changes were granted.
    pub fn changes_granted(&self) -> usize {
        self.news.iter().filter(|news| matches!(news, ConfigNews::Granted(_))).count()
    }
}

/// What a change makes of values.
pub fn changed(values: &Values, change: &Change) -> Values {
    let mut next = values.clone();
    for (key, value) in change {
        match value {
            Some(value) => next.insert((*key).to_owned(), value.clone()),
            None => next.remove(*key),
        };
    }
    next
}
