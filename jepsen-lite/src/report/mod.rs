//! The files of a run, for people and for other checkers.
//!
//! Owns: their names and what is in them. Never does: judge. Called by `run`.
//!
//! | file | what it is |
//! |---|---|
//! | `report.html` | everything at a glance, plots inside |
//! | `timeline.html` | every operation as a bar, to look into |
//! | `results.json` | the same for programs |
//! | `history.jsonl`, `history.edn` | what clients saw, and the faults, in Jepsen's form |
//! | `ledgers.json` | what every replica held at the end |
//! | `latency.svg`, `rate.svg` | plots with the faults shaded |
//! | `node-N.log` | what each node said |

mod axes;
mod history;
mod latency;
mod page;
mod rate;
pub mod reasons;
mod results;
mod timeline;

pub use page::repeat;

use crate::run::{Evidence, Plan, RunError, RunReport};
use checker::flashnode::Ledgers;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes all files into the plan's directory; gives their paths, the page for people first.
///
/// # Errors
/// [`RunError::Write`] naming the file.
pub fn write(
    plan: &Plan,
    evidence: &Evidence,
    report: &RunReport,
) -> Result<Vec<PathBuf>, RunError> {
    let plots = Plots { latency: latency::plot(evidence), rate: rate::plot(evidence) };
    let mut files = vec![plan.dir.join("report.html"), plan.dir.join("timeline.html")];
    let written = timeline::write(&files[1], plan, evidence, report);
    written.map_err(|error| RunError::Write { path: files[1].clone(), error })?;
    let mut put = |name: &str, content: &str| {
        let path = plan.dir.join(name);
        let written = std::fs::write(&path, content);
        written.map_err(|error| RunError::Write { path: path.clone(), error })?;
        files.push(path);
        Ok::<(), RunError>(())
    };
    put("results.json", &results::json(plan, evidence, report)?)?;
    put("latency.svg", &plots.latency)?;
    put("rate.svg", &plots.rate)?;
    for (name, form) in
        [("history.jsonl", history::Form::Jsonl), ("history.edn", history::Form::Edn)]
    {
        let path = plan.dir.join(name);
        let written = history::write(&path, &evidence.log, &evidence.faults, form);
        written.map_err(|error| RunError::Write { path: path.clone(), error })?;
        files.push(path);
    }
    let ledgers = plan.dir.join("ledgers.json");
    let written = write_ledgers(&ledgers, &evidence.ledgers);
    written.map_err(|error| RunError::Write { path: ledgers.clone(), error })?;
    files.push(ledgers);
    files.extend((1..=plan.nodes).map(|node| plan.dir.join(format!("node-{node}.log"))));
    let page = page::html(plan, evidence, report, (&plots, &files));
    let written = std::fs::write(&files[0], page);
    written.map_err(|error| RunError::Write { path: files[0].clone(), error })?;
    Ok(files)
}

fn write_ledgers(path: &Path, ledgers: &Ledgers) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    ledgers.write(&mut file)?;
    file.flush()
}

/// The plots, as they stand in files and in the page.
struct Plots {
    latency: String,
    rate: String,
}

impl From<serde_json::Error> for RunError {
    fn from(error: serde_json::Error) -> Self {
        Self::Write { path: "results.json".into(), error: io::Error::other(error) }
    }
}
