//! The features this software has, by which clients and tools know what they may rely on (KIP-584).
//!
//! A feature is *supported* by a broker in a range of levels and *finalised* for the cluster at one of them. Only
//! what is complete is named: clients take the absence of `transaction.version`, `group.version` and their like
//! for level 0, which is what is served.

use super::image::MetadataImage;
use super::record::MetadataRecord;

/// A feature and the levels this software can work at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature {
    /// Kafka's name for it.
    pub name: &'static str,
    /// The lowest level it can work at.
    pub level_min: i16,
    /// The highest, which a new cluster gets.
    pub level_max: i16,
}

/// All of them.
///
/// The levels of `metadata.version` are Kafka's 3.3-IV3 and 4.3-IV0. They speak of the record formats of its own
/// controllers, which nobody outside sees; tools read them as "behaves as a broker of Kafka 4.3".
pub const FEATURES: [Feature; 1] = [Feature { name: "metadata.version", level_min: 7, level_max: 30 }];

/// What a broker that joins must write down so that every feature has a level. A level that there is stays: raising
/// it is its operators' decision.
pub(super) fn missing_levels(image: &MetadataImage) -> impl Iterator<Item = MetadataRecord> {
    let missing = FEATURES.iter().filter(|feature| !image.features().contains_key(feature.name));
    missing.map(|feature| MetadataRecord::FeatureLevel {
        name: feature.name.to_owned(),
        level: feature.level_max,
    })
}
