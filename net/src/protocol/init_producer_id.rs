//! InitProducerId (API key 22): give a producer its identity.

use super::prelude::*;

message! {
    /// Asks for a producer id, or for a new epoch of one. Version 6 is unstable.
    request InitProducerIdRequest<'a> of InitProducerId, versions 0..=6, flexible 2.. {
        transactional_id: Option<&'a str>,
        transaction_timeout_ms: i32,
        producer_id: i64 [3..] = -1,
        producer_epoch: i16 [3..] = -1,
        enable2_pc: bool [6..],
        keep_prepared_txn: bool [6..],
    }
}

message! {
    /// The producer id and epoch.
    response InitProducerIdResponse of InitProducerId, versions 0..=6, flexible 2.. {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id: i64 = -1,
        producer_epoch: i16,
        ongoing_txn_producer_id: i64 [6..] = -1,
        ongoing_txn_producer_epoch: i16 [6..] = -1,
    }
}
