//! `ringlog-bench report`: what a comparison came to.
//!
//! ```text
//!   run.json, result.json, *.hlog ──► rows ──► report.md ──► report.html, one file with all plots in it
//!                               └───► plots/*.svg ──┘
//! ```
//!
//! Always true: a ratio is the median of the ratios of pairs, told with its range; where the figures of both sides overlap there
//! is no difference; percentiles of several measurements come from their merged histograms.
//!
//! Reading order: [`evidence`] for what was measured, [`rows`] for what follows, [`markdown`], [`plots`], [`html`].

pub mod evidence;
pub mod html;
pub mod markdown;
pub mod plots;
pub mod rows;

use std::fs;
use std::path::Path;

use crate::command_line::ReportArguments;
use crate::failure::BenchFailure;
use evidence::Evidence;

/// Writes `report.md`, `report.html` and `plots/` beside what was measured, and prints the table.
///
/// # Errors
/// [`BenchFailure`] if there is nothing to report or nothing can be written.
pub fn run(arguments: &ReportArguments) -> Result<bool, BenchFailure> {
    let evidence = Evidence::read(&arguments.folder)?;
    let plots = plots::of(&evidence).map_err(BenchFailure::Host)?;
    let text = markdown::of(&evidence, &plots);
    let page = html::page(&text, &plots);
    let folder = arguments.folder.join("plots");
    fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
    for plot in &plots {
        write(&folder.join(plot.file()), &plot.svg)?;
    }
    write(&arguments.folder.join("report.md"), &text)?;
    write(&arguments.folder.join("report.html"), &page)?;
    print!("{}", markdown::table(&rows::of(&evidence)));
    println!("\nwritten: {0}/report.md, {0}/report.html", arguments.folder.display());
    Ok(true)
}

fn write(path: &Path, text: &str) -> Result<(), BenchFailure> {
    fs::write(path, text).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> BenchFailure {
    BenchFailure::Host(format!("cannot write {}: {error}", path.display()))
}
