//! ApiVersions: what this broker serves (KIP-511), and the cluster's feature levels (KIP-584).

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::MetadataImage;
use ringlog_core::metadata::features::FEATURES;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ringlog_net::protocol::{ApiKey, DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::{Request, SERVED};

/// The first version in which a client names its software.
const SOFTWARE_NAME_VERSION_MIN: i16 = 3;

/// The first version in which a feature's range may begin at zero.
const ZERO_LEVEL_VERSION_MIN: i16 = 4;

/// Answers one ApiVersions request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = ApiVersionsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let named = request.version >= SOFTWARE_NAME_VERSION_MIN;
    let well_named =
        is_software_word(asked.client_software_name) && is_software_word(asked.client_software_version);
    if named && !well_named {
        // The connection stays: librdkafka asks again in version 0 (W5).
        let response = ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.number(),
            ..ApiVersionsResponse::default()
        };
        return Ok(request.respond(&shard, &response).await);
    }
    tracing::debug!(
        peer = %request.peer, software = asked.client_software_name, version = asked.client_software_version,
        "a client introduced itself"
    );
    let image = shard.image();
    let response = ApiVersionsResponse {
        api_keys: SERVED
            .iter()
            .map(|served| ApiVersion {
                api_key: served.api_key as i16,
                min_version: served.version_min,
                max_version: served.version_max,
            })
            .collect(),
        supported_features: supported_features(request.version),
        finalized_features_epoch: epoch(&image),
        finalized_features: finalized_features(&image),
        ..ApiVersionsResponse::default()
    };
    Ok(request.respond(&shard, &response).await)
}

/// A range that begins at zero is left out for those who would not understand it (KAFKA-17011, W7).
fn supported_features(version: i16) -> Vec<SupportedFeatureKey<'static>> {
    let understood =
        FEATURES.iter().filter(|feature| feature.level_min > 0 || version >= ZERO_LEVEL_VERSION_MIN);
    understood
        .map(|feature| SupportedFeatureKey {
            name: feature.name,
            min_version: feature.level_min,
            max_version: feature.level_max,
        })
        .collect()
}

/// The levels in force; what is not among them is at level 0.
fn finalized_features(image: &MetadataImage) -> Vec<FinalizedFeatureKey<'_>> {
    let levels = image.features().iter();
    levels
        .map(|(name, level)| FinalizedFeatureKey {
            name,
            max_version_level: *level,
            min_version_level: *level,
        })
        .collect()
}

/// The offset of the last metadata record: of two answers the one with the higher epoch is the newer.
fn epoch(image: &MetadataImage) -> i64 {
    i64::try_from(image.record_count()).unwrap_or(i64::MAX) - 1
}

/// Answers a version this broker does not know, in version 0, which every client reads (W1).
pub async fn refuse_version<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Outcome {
    let own = SERVED.iter().filter(|served| served.api_key == ApiKey::ApiVersions);
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.number(),
        api_keys: own
            .map(|served| ApiVersion {
                api_key: served.api_key as i16,
                min_version: served.version_min,
                max_version: served.version_max,
            })
            .collect(),
        ..ApiVersionsResponse::default()
    };
    request.respond_in_version(&shard, 0, &response).await
}

/// KIP-511: letters, digits, dots and dashes, the first and last of them a letter or digit.
fn is_software_word(word: &str) -> bool {
    let ends_well = |symbol: Option<char>| symbol.is_some_and(|symbol| symbol.is_ascii_alphanumeric());
    ends_well(word.chars().next())
        && ends_well(word.chars().next_back())
        && word.chars().all(|symbol| symbol.is_ascii_alphanumeric() || matches!(symbol, '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w5_a_software_name_is_a_word_of_letters_digits_dots_and_dashes() {
        for word in ["apache-kafka-java", "4.3.1", "a", "librdkafka", "v2.15.0-rc1"] {
            assert!(is_software_word(word), "{word}");
        }
        for word in ["", "-kafka", "kafka-", "a b", "kafka/1", "ü"] {
            assert!(!is_software_word(word), "{word}");
        }
    }

    #[test]
    fn the_apis_served_are_sorted_and_named_once() {
        assert!(SERVED.windows(2).all(|pair| (pair[0].api_key as i16) < (pair[1].api_key as i16)));
    }
}
