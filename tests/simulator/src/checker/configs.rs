//! What must hold of configuration: what was granted is told and acted by, what was not is there whole or not at all.

use std::collections::BTreeMap;

use super::Violation;
use crate::config_history::{Change, ConfigNews, Resource, Values, changed};
use crate::history::History;

/// What is known of a resource.
#[derive(Default)]
struct Known {
    values: Values,
    /// What may hold as well.
    asked: Option<Change>,
}

pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let mut known: BTreeMap<Resource, Known> = BTreeMap::new();
    for news in history.configs.news() {
        match news {
            ConfigNews::Begins(resource, values) => {
                known.insert(*resource, Known { values: values.clone(), asked: None });
            }
            ConfigNews::Asked(resource, change) => {
                known.entry(*resource).or_default().asked = Some(change.clone());
            }
            ConfigNews::Granted(resource) => known.entry(*resource).or_default().granted(),
            ConfigNews::Refused(resource) => known.entry(*resource).or_default().asked = None,
            ConfigNews::Described(resource, values) => {
                violations.extend(known.entry(*resource).or_default().described(*resource, values));
            }
            ConfigNews::Ignored { resource, key, value, seen } => {
                let (resource, key, value, seen) = (*resource, *key, value.clone(), seen.clone());
                violations.push(Violation::ConfigNotFollowed { resource, key, value, seen });
            }
        }
    }
}

impl Known {
    fn granted(&mut self) {
        if let Some(change) = self.asked.take() {
            self.values = changed(&self.values, &change);
        }
    }

    /// Judges what the broker tells. What it told of a change stays so, granted or not.
    fn described(&mut self, resource: Resource, found: &Values) -> Option<Violation> {
        let before = std::mem::replace(&mut self.values, found.clone());
        if *found == before {
            return None;
        }
        match self.asked.as_ref().map(|change| changed(&before, change)) {
            Some(after) if *found == after => None,
            Some(after) => Some(Violation::ConfigTorn { resource, before, after, found: found.clone() }),
            None => Some(Violation::ConfigLost { resource, expected: before, found: found.clone() }),
        }
    }
}
