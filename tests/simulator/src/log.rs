//! What the broker writes to its log of events: shown where `RINGLOG_LOG` asks for it, and searched for reports of
//! damage: whoever reports other damage than the simulator did took something else for it.
//!
//! Always true: what a run reported is kept for the thread that runs it, and no other.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The field every report of damage has.
const DAMAGE: &str = "damage";

thread_local! {
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Begins to listen, once in the process.
pub fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        let of_damage = filter_fn(|metadata| metadata.fields().field(DAMAGE).is_some());
        let shown = std::env::var("RINGLOG_LOG").ok().map(|filter| {
            let lines = tracing_subscriber::fmt::layer().without_time().with_test_writer();
            lines.with_filter(EnvFilter::new(filter))
        });
        tracing_subscriber::registry().with(DamageReports.with_filter(of_damage)).with(shown).init();
    });
}

/// Takes what was reported on this thread since the last time.
pub fn take_reports_of_damage() -> Vec<String> {
    REPORTS.take()
}

struct DamageReports;

impl<S: Subscriber> Layer<S> for DamageReports {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        REPORTS.with_borrow_mut(|reports| reports.push(text.0));
    }
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_damage_are_kept_and_nothing_else() {
        listen();
        tracing::error!(damage = "two bytes", "a log is refused");
        tracing::error!(failure = "full", "nothing is written");
        let reports = take_reports_of_damage();
        assert!(reports.len() == 1 && reports[0].contains("two bytes"), "{reports:?}");
        assert!(take_reports_of_damage().is_empty());
    }
}
