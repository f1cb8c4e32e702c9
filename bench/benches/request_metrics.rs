//! What it costs to count one request: from its begin to the look whether it was slow, without its clock readings.

use std::hint::black_box;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ringlog::broker::metrics::counts::ShardCounts;
use ringlog::broker::metrics::requests::RequestsUnderWay;
use ringlog_core::latency::LatencyHistogram;
use ringlog_core::time::Instant;
use ringlog_net::connection::{Observer, Passage};
use ringlog_net::protocol::{ApiKey, RequestHeader};

fn one_request(criterion: &mut Criterion) {
    let counts = Rc::new(ShardCounts::new(Some(Duration::from_millis(500))));
    let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let connection = Rc::new(RequestsUnderWay::new(counts, peer));
    let header = RequestHeader {
        api_key: ApiKey::Produce as i16,
        api_version: 9,
        correlation_id: 1,
        client_id: Some("producer-1"),
    };
    let mut now_ns = 1_000_000;
    criterion.bench_function("count one request", |bencher| {
        bencher.iter(|| {
            now_ns += 130_711;
            let (received, answered) = (Instant(now_ns), Instant(now_ns + 90_000 + now_ns % 50_000));
            let progress = connection.begin(ApiKey::Produce, black_box(&header), 1_100);
            progress.handed_over(received);
            connection.answered(&Passage { received, turn: received, answered, reply_bytes: 60 });
            connection.sent(answered);
        });
    });
    let mut histogram = LatencyHistogram::new();
    criterion.bench_function("record one duration", |bencher| {
        bencher.iter(|| {
            now_ns += 130_711;
            histogram.record(Duration::from_nanos(90_000 + black_box(now_ns) % 50_000));
        });
    });
}

criterion_group!(benches, one_request);
criterion_main!(benches);
