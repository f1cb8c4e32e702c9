//! What the kernel offers beyond the least that is needed, each with a fallback that costs speed only.

use std::fmt;
use std::str::FromStr;

/// Something a host may lack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Feature {
    /// A table of registered files. Fallback: plain descriptors.
    RegisteredFiles,
    /// A sparse table of registered buffers. Fallback: unregistered memory.
    RegisteredBuffers,
    /// Buffers provided to receives by a ring. Fallback: wait until readable, then receive.
    ProvidedBuffers,
    /// Messages from ring to ring. Fallback: an eventfd.
    RingMessages,
    /// Sends without a copy. Fallback: copying sends.
    ZeroCopySend,
}

impl Feature {
    /// All features, in the order of their names in the banner.
    pub const ALL: [Feature; 5] = [
        Feature::RegisteredFiles,
        Feature::RegisteredBuffers,
        Feature::ProvidedBuffers,
        Feature::RingMessages,
        Feature::ZeroCopySend,
    ];

    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Feature::RegisteredFiles => "registered-files",
            Feature::RegisteredBuffers => "registered-buffers",
            Feature::ProvidedBuffers => "provided-buffers",
            Feature::RingMessages => "ring-messages",
            Feature::ZeroCopySend => "zero-copy-send",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no feature has.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownFeature(pub String);

impl fmt::Display for UnknownFeature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Feature::ALL.map(Feature::name).join(", ");
        write!(formatter, "there is no feature {:?}; there are {names}", self.0)
    }
}

impl std::error::Error for UnknownFeature {}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(name: &str) -> Result<Feature, UnknownFeature> {
        let found = Feature::ALL.into_iter().find(|feature| feature.name() == name);
        found.ok_or_else(|| UnknownFeature(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_found_by_its_name() {
        for feature in Feature::ALL {
            assert_eq!(feature.name().parse(), Ok(feature));
        }
        assert!("registered-socks".parse::<Feature>().unwrap_err().to_string().contains("registered-files"));
    }
}
