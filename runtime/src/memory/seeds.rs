//! Which seeds a test runs: as many as it says itself, or what the environment variables ask for.
//!
//! ```text
//!   RINGLOG_SEED=147           that one, to replay it
//!   RINGLOG_SEEDS=1000         so many, from zero on
//!   RINGLOG_SEEDS=5000..9000   these
//! ```
//!
//! Always true: without the variables the seeds are the same on every machine.

use std::ops::Range;

/// The seeds to run, `count` of them if nobody asks for others.
///
/// # Panics
/// If a variable is set to something that names no seeds.
pub fn seeds(count: u64) -> Range<u64> {
    let variable = |name| Some((name, std::env::var(name).ok()?));
    let asked = variable("RINGLOG_SEED").map(|(name, text)| (name, one(&text), text));
    let asked = asked.or_else(|| variable("RINGLOG_SEEDS").map(|(name, text)| (name, some(&text), text)));
    match asked {
        Some((name, seeds, text)) => seeds.unwrap_or_else(|| panic!("{name}={text} names no seeds")),
        None => 0..count,
    }
}

fn one(text: &str) -> Option<Range<u64>> {
    let seed: u64 = text.parse().ok()?;
    Some(seed..seed.checked_add(1)?)
}

fn some(text: &str) -> Option<Range<u64>> {
    let (start, end) = text.split_once("..").unwrap_or(("0", text));
    let seeds = start.parse().ok()?..end.parse().ok()?;
    (!seeds.is_empty()).then_some(seeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_a_count_and_a_range_can_be_asked_for() {
        assert_eq!(one("147"), Some(147..148));
        assert_eq!(some("1000"), Some(0..1_000));
        assert_eq!(some("5000..9000"), Some(5_000..9_000));
    }

    #[test]
    fn what_names_no_seeds_is_refused() {
        let nonsense = ["", "x", "-1", "1.5", "7..3", "0", "1..", "..", "0x10"];
        assert_eq!(nonsense.map(some), [const { None }; 9]);
        assert_eq!([one(""), one("1..2"), one("18446744073709551615")], [const { None }; 3]);
    }
}
