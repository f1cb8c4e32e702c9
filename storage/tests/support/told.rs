//! What a store tells those who run it, kept for a test to look at.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

/// The warnings and errors of this thread from [`Told::listen`] on.
#[derive(Clone, Default)]
pub struct Told {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Told {
    /// Listens as long as the guard lives.
    pub fn listen() -> (Told, DefaultGuard) {
        let told = Told::default();
        let guard = tracing::subscriber::set_default(told.clone());
        (told, guard)
    }

    /// How many lines contain this.
    pub fn count(&self, words: &str) -> usize {
        self.lines.lock().expect("one thread").iter().filter(|line| line.contains(words)).count()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines.lock().expect("one thread").push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
