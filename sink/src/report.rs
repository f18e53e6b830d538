//! Where a target stands that keeps its position itself, told to the cluster as well.
//!
//! PostgreSQL and files say where they stand, so nobody needs a cursor to begin from. But whoever
//! asks the cluster how far its sinks are would not hear of them. So what writes to them reports
//! their position, once a second at most, as a cursor that nobody begins from: its name begins with
//! [`REPORTED`]. Owns: that record. Never does: hold up a sink, or end it; a report that fails is
//! made later.

use crate::cursor::{Cursors, fnv1a, target};
use crate::progress::Progress;
use crate::source::SourceError;
use std::time::Duration;
use stock::{CURSORS_MAX, CursorName, CursorTarget, Seq};
use tokio::time::sleep;

/// What the name of a cursor begins with that is a report.
pub const REPORTED: &str = "reported.";
/// Reports leave the other half of the places to cursors that sinks begin from.
const REPORTS_MAX: usize = CURSORS_MAX / 2;
/// Between two reports; none is made while nothing has changed.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Before the next one when one failed.
const PAUSE: Duration = Duration::from_secs(10);

/// Whether a cursor of this name is a report.
pub fn is_report(name: &CursorName) -> bool {
    name.as_str().starts_with(REPORTED)
}

/// Whether there is room for a cursor of this name beside so many.
pub fn has_room(name: &CursorName, beside: usize) -> bool {
    beside < if is_report(name) { REPORTS_MAX } else { CURSORS_MAX }
}

/// The record of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    name: CursorName,
    target: CursorTarget,
}

impl Report {
    /// Of the target with this identity, a URL without what is secret.
    pub fn new(identity: &str) -> Self {
        let target = target(identity);
        let (kind, _) = identity.split_once(':').unwrap_or(("sink", ""));
        // Two targets of one kind have two records.
        let hash = fnv1a(target.as_str());
        let name = CursorName::new(format!("{REPORTED}{kind}-{hash:016x}"));
        let name = name.unwrap_or_else(|why| unreachable!("the scheme of {identity}: {why}"));
        Self { name, target }
    }

    /// The name of its cursor.
    pub fn name(&self) -> &CursorName {
        &self.name
    }

    /// Reports for as long as it is polled.
    pub async fn keep<C: Cursors>(&self, cursors: &C, progress: &Progress) {
        self.keep_every(REPORT_EVERY, cursors, progress).await;
    }

    async fn keep_every<C: Cursors>(&self, every: Duration, cursors: &C, progress: &Progress) {
        let mut told = None;
        loop {
            sleep(every).await;
            if progress.standby() {
                // Whoever is at work reports, and will have moved it.
                told = None;
                continue;
            }
            match self.tell(cursors, progress.position(), told).await {
                Ok(now) => told = now,
                Err(why) => {
                    tracing::debug!("where {} stands is not reported: {why}", self.target);
                    told = None;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Reports once where it stands at the end.
    ///
    /// # Errors
    /// As the cluster's.
    pub async fn end<C: Cursors>(
        &self,
        cursors: &C,
        progress: &Progress,
    ) -> Result<(), SourceError> {
        if progress.standby() {
            return Ok(());
        }
        self.tell(cursors, progress.position(), None).await.map(drop)
    }

    /// Where it is known to stand then.
    async fn tell<C: Cursors>(
        &self,
        cursors: &C,
        position: Seq,
        told: Option<Seq>,
    ) -> Result<Option<Seq>, SourceError> {
        if position == Seq(0) || told == Some(position) {
            return Ok(told);
        }
        let key = (&self.name, &self.target);
        let from = match told {
            Some(from) => Some(from),
            None => cursors.read(key).await?,
        };
        let stands = from == Some(position) || cursors.advance(key, (from, position)).await?;
        Ok(stands.then_some(position))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

    use super::*;
    use std::sync::Mutex;

    #[test]
    fn each_target_has_a_record_of_its_own_kind() {
        let [one, other] = ["postgres://db:5432/a/flashnode", "postgres://db:5432/b/flashnode"]
            .map(|identity| Report::new(identity).name().to_string());
        assert!(one.starts_with("reported.postgres-") && other.starts_with("reported.postgres-"));
        assert_ne!(one, other);
    }

    #[test]
    fn reports_leave_room_for_cursors() {
        let report = Report::new("files://host/dir");
        let cursor = CursorName::new("shop").unwrap();
        assert!(is_report(report.name()) && !is_report(&cursor));
        assert!(has_room(report.name(), REPORTS_MAX - 1) && !has_room(report.name(), REPORTS_MAX));
        assert!(has_room(&cursor, CURSORS_MAX - 1) && !has_room(&cursor, CURSORS_MAX));
    }

    /// A cluster's only cursor, and how often it was moved.
    #[derive(Default)]
    struct One(Mutex<(Option<Seq>, u64)>);

    impl Cursors for One {
        async fn read(&self, _: (&CursorName, &CursorTarget)) -> Result<Option<Seq>, SourceError> {
            Ok(self.0.lock().map(|one| one.0).unwrap_or_default())
        }

        async fn advance(
            &self,
            _: (&CursorName, &CursorTarget),
            (from, to): (Option<Seq>, Seq),
        ) -> Result<bool, SourceError> {
            let mut one = self.0.lock().map_err(|why| SourceError::Refused(why.to_string()))?;
            let stands = one.0 == from;
            if stands {
                *one = (Some(to), one.1 + 1);
            }
            Ok(stands)
        }
    }

    #[tokio::test]
    async fn a_position_is_reported_once_and_a_runner_that_stands_by_reports_nothing() {
        const OFTEN: Duration = Duration::from_millis(1);
        let (cluster, progress) = (One::default(), Progress::new("postgres"));
        let report = Report::new("postgres://db:5432/a/flashnode");
        let told = || cluster.0.lock().map(|one| *one).unwrap_or_default();
        let steps = async {
            progress.stands(Seq(7));
            while told() != (Some(Seq(7)), 1) {
                sleep(OFTEN).await;
            }
            // Neither what was reported nor what another runner does is reported again.
            sleep(20 * OFTEN).await;
            progress.stands_by(true);
            progress.stands(Seq(9));
            sleep(20 * OFTEN).await;
            progress.stands(Seq(11));
            progress.stands_by(false);
            while told().0 != Some(Seq(11)) {
                sleep(OFTEN).await;
            }
            told().1
        };
        let moves = tokio::select! {
            () = report.keep_every(OFTEN, &cluster, &progress) => 0,
            moves = steps => moves,
        };
        assert_eq!(moves, 2);
    }
}
