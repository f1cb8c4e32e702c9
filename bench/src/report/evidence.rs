//! What was measured: a comparison with the results of its measurements.

use std::fs;
use std::path::{Path, PathBuf};

use crate::compare::record::{Comparison, Measurement, ScenarioReport, Which};
use crate::failure::BenchFailure;
use crate::result::{BenchResult, DiskSpace};

/// A comparison and all its results.
pub struct Evidence {
    /// What was compared.
    pub comparison: Comparison,
    /// Where everything is.
    pub folder: PathBuf,
    /// Results, by scenario and in the order of its measurements.
    results: Vec<Vec<Option<BenchResult>>>,
}

/// A measurement with its result.
#[derive(Clone, Copy)]
pub struct Measured<'a> {
    /// The measurement.
    pub measurement: &'a Measurement,
    /// What the command wrote down.
    pub result: Option<&'a BenchResult>,
}

impl Evidence {
    /// Reads all of a run.
    ///
    /// # Errors
    /// [`BenchFailure::Arguments`] if there is no run, or none that this program knows.
    pub fn read(folder: &Path) -> Result<Evidence, BenchFailure> {
        let path = folder.join("run.json");
        let blame = |words: String| BenchFailure::Arguments(format!("{}: {words}", path.display()));
        let text = fs::read_to_string(&path).map_err(|error| blame(error.to_string()))?;
        let mut comparison = Comparison::from_json(&text).map_err(blame)?;
        for report in &mut comparison.scenarios {
            report.scenario.name = report.name.clone();
        }
        let results = comparison.scenarios.iter().map(|report| {
            report.measurements.iter().map(|measurement| measurement.result_in(folder)).collect()
        });
        let results = results.collect();
        Ok(Evidence { comparison, folder: folder.to_owned(), results })
    }

    /// Scenarios with their measurements.
    pub fn scenarios(&self) -> impl Iterator<Item = (&ScenarioReport, Vec<Measured<'_>>)> {
        self.comparison.scenarios.iter().zip(&self.results).map(|(report, results)| {
            let measured = report.measurements.iter().zip(results);
            let measured =
                measured.map(|(measurement, result)| Measured { measurement, result: result.as_ref() });
            (report, measured.collect())
        })
    }

    /// What a durable acknowledgement waits for at least: a synced write of 4 KiB over written space.
    pub fn synced_write(&self) -> Option<&crate::latency::Latency> {
        let mut cells = self.comparison.disk.as_ref()?.cells.iter();
        let smallest = |cell: &&crate::result::DiskCell| {
            cell.synced && cell.depth == 1 && cell.write_bytes == 4096 && cell.space == DiskSpace::Written
        };
        cells.find(smallest).map(|cell| &cell.latency)
    }
}

impl Measured<'_> {
    /// Whether it is of this side and point, and counts.
    pub fn counts_for(&self, side: Which, point: Option<f64>) -> bool {
        let measurement = self.measurement;
        measurement.side == side && measurement.point == point && measurement.void.is_none()
    }
}
