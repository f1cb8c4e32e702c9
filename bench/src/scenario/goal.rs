//! What a quotient of two sides shall reach.

use serde::{Deserialize, Serialize};

use super::figure::Figure;

/// A bound for ours / theirs, or for ours alone.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// What is compared.
    pub figure: Figure,
    /// ours / theirs is at most this.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// ours / theirs is at least this.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Ours alone is at most this, in the figure's unit.
    #[serde(default)]
    pub ours_at_most: Option<f64>,
    /// Reported, with nothing to reach.
    #[serde(default)]
    pub told_only: bool,
}

impl Goal {
    /// # Errors
    /// That it has no bound.
    pub(super) fn check(&self) -> Result<(), String> {
        let bounds = [self.at_most, self.at_least, self.ours_at_most];
        let sound = bounds.iter().flatten().all(|bound| bound.is_finite() && *bound > 0.0);
        let bounded = bounds.iter().any(Option::is_some) != self.told_only;
        match sound && bounded {
            true => Ok(()),
            false => Err(format!(
                "reach {}: at_most, at_least or ours_at_most above 0, or told_only = true",
                self.figure
            )),
        }
    }

    /// Whether a quotient and our own figure reach it; nothing if there is nothing to reach.
    pub fn is_reached(&self, ratio: Option<f64>, ours: f64) -> Option<bool> {
        if self.told_only {
            return None;
        }
        let of_ratio = |holds: &dyn Fn(f64) -> bool| ratio.is_some_and(holds);
        Some(
            self.at_most.is_none_or(|bound| of_ratio(&|ratio| ratio <= bound))
                && self.at_least.is_none_or(|bound| of_ratio(&|ratio| ratio >= bound))
                && self.ours_at_most.is_none_or(|bound| ours <= bound),
        )
    }

    /// For a table.
    pub fn words(&self) -> String {
        let shown = |ratio: f64| {
            if ratio < 1.0 { format!("1/{}", trimmed((10.0 / ratio).round() / 10.0)) } else { trimmed(ratio) }
        };
        let mut parts = Vec::new();
        parts.extend(self.at_most.map(|bound| format!("≤ {}", shown(bound))));
        parts.extend(self.at_least.map(|bound| format!("≥ {}", shown(bound))));
        parts.extend(self.ours_at_most.map(|bound| format!("≤ {}", self.figure.shown(bound))));
        if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
    }
}

/// With two digits behind the point, and without those that say nothing.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(at_most: Option<f64>, at_least: Option<f64>) -> Goal {
        Goal { figure: Figure::Resident, at_most, at_least, ours_at_most: None, told_only: false }
    }

    #[test]
    fn a_bound_holds_or_does_not_and_without_a_ratio_it_does_not() {
        let small = goal(Some(0.125), None);
        assert_eq!(small.words(), "≤ 1/8");
        assert_eq!(small.is_reached(Some(0.125), 1.0), Some(true));
        assert_eq!(small.is_reached(Some(0.126), 1.0), Some(false));
        assert_eq!(small.is_reached(None, 1.0), Some(false));
        let large = goal(None, Some(4.0));
        assert_eq!((large.words(), large.is_reached(Some(3.9), 1.0)), ("≥ 4".to_owned(), Some(false)));
        let told = Goal { told_only: true, ..goal(None, None) };
        assert_eq!((told.words(), told.is_reached(Some(9.0), 1.0)), ("–".to_owned(), None));
    }

    #[test]
    fn a_goal_without_a_bound_is_none() {
        assert!(goal(None, None).check().is_err());
        assert!(goal(Some(0.0), None).check().is_err());
        assert!(Goal { told_only: true, ..goal(Some(1.0), None) }.check().is_err());
        assert!(goal(Some(1.3), None).check().is_ok());
    }
}
