//! SaslHandshake (API key 17): choose how to authenticate.

use super::prelude::*;

message! {
    /// Names the mechanism.
    request SaslHandshakeRequest<'a> of SaslHandshake, versions 0..=1, flexible never {
        mechanism: &'a str,
    }
}

message! {
    /// Whether it is enabled, and which are.
    response SaslHandshakeResponse<'a> of SaslHandshake, versions 0..=1, flexible never {
        error_code: i16,
        mechanisms: Vec<&'a str>,
    }
}
