//! How many rows are written at once, and how many in a second.
//!
//! Owns: the clock that a sink's writes are held to, whether what is written are changes of the
//! feed or a whole state in their place. Called by `run` after each batch, and by a target after
//! each page of a state.

use crate::progress::Progress;
use crate::retry::Backoff;
use crate::run::Options;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How often in a row a page is delivered in vain before the state is begun anew: some minutes.
const AGAIN_MAX: u32 = 60;

/// So many rows a second, and no burst of more than a quarter of that.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    due: Option<Instant>,
}

impl Pace {
    /// The most that is written at once.
    pub(crate) fn batch_max(options: &Options) -> usize {
        let paced = options.rows_per_second.map(|rows| (rows / 8).max(1) as usize);
        options.batch_max.max(1).min(paced.unwrap_or(usize::MAX))
    }

    /// Waits until the rows just written have had their time.
    pub(crate) async fn wrote(&mut self, options: &Options, rows: u64) {
        let Some(rate) = options.rows_per_second else { return };
        let now = Instant::now();
        let took = Duration::from_secs_f64(rows as f64 / f64::from(rate.max(1)));
        let due = self.due.filter(|due| *due > now - took).unwrap_or(now - took) + took;
        self.due = Some(due);
        // Before the first batch nothing was written: its time counts from its end.
        sleep_until(due.max(now)).await;
    }
}

/// The bounds of a state that is written page by page.
pub struct Pages<'a> {
    options: &'a Options,
    pace: &'a mut Pace,
    progress: &'a Progress,
    backoff: Backoff,
    failures: u32,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(options: &'a Options, pace: &'a mut Pace, progress: &'a Progress) -> Self {
        Self { options, pace, progress, backoff: Backoff::default(), failures: 0 }
    }

    /// The most rows, messages or lines of a page.
    pub fn rows_max(&self) -> usize {
        Pace::batch_max(self.options)
    }

    /// Waits until the page of so many rows has had its time.
    pub async fn wrote(&mut self, rows: usize) {
        if std::mem::take(&mut self.failures) > 0 {
            self.backoff.reset();
            self.progress.recovered();
        }
        self.pace.wrote(self.options, rows as u64).await;
    }

    /// After a page that may or may not have been taken: waits, and says whether to write it again.
    /// False after too many failures in a row.
    pub async fn again(&mut self, why: &str) -> bool {
        self.failures += 1;
        if self.failures > AGAIN_MAX {
            return false;
        }
        self.progress.failed(why);
        sleep(self.backoff.next()).await;
        true
    }
}
