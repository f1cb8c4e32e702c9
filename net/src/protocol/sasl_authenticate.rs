//! SaslAuthenticate (API key 36): prove who one is.

use super::prelude::*;

message! {
    /// The mechanism's bytes.
    request SaslAuthenticateRequest<'a> of SaslAuthenticate, versions 0..=2, flexible 2.. {
        auth_bytes: &'a [u8],
    }
}

message! {
    /// The mechanism's answer, and for how long the session lasts.
    response SaslAuthenticateResponse<'a> of SaslAuthenticate, versions 0..=2, flexible 2.. {
        error_code: i16,
        error_message: Option<&'a str>,
        auth_bytes: &'a [u8],
        session_lifetime_ms: i64 [1..],
    }
}
