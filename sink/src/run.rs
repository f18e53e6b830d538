//! The loop: ask the target where it stands, read on from there, write, and begin anew after any
//! failure.
//!
//! Owns: what follows a failure. It never guesses what became of a write: whatever went wrong, the
//! target is asked again, and the feed is read from what it says. So a kill of the target, of the
//! sink or of the node that it reads from is the same case. Never does: hold more than the queue
//! and one batch.
//!
//! **Two runners.** A target refuses a write that does not begin where it stands, so one of two
//! runners is refused. It then stands by: it looks every [`STANDBY`], and takes over once there is
//! something to write and nobody has moved the position between two looks. Where one runner keeps
//! the target under a lock, the other takes over once it is given the lock.

use crate::feed::Feed;
use crate::pace::{Pace, Pages};
use crate::progress::Progress;
use crate::retry::Backoff;
use crate::source::{Source, SourceError, Standing, State as _};
use crate::target::{Target, TargetError};
use std::sync::Arc;
use std::time::Duration;
use stock::Seq;
use stock::api::EventView;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Between two looks of a runner that stands by.
pub const STANDBY: Duration = Duration::from_secs(5);
/// How long one call of the target may take; a stopped server is given up then.
const CALL_MAX: Duration = Duration::from_secs(60);
/// How long the last write may take once the sink is to stop.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Between two questions how far the cluster is.
const STANDING_EVERY: Duration = Duration::from_secs(1);

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most changes, or lines of a state, that are written at once.
    pub batch_max: usize,
    /// The most rows written in a second, of a state too; none: as fast as it goes.
    pub rows_per_second: Option<u32>,
    /// Return once the target has every change that the cluster had when this was called, whoever
    /// wrote it.
    pub until_caught_up: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { batch_max: 2_000, rows_per_second: None, until_caught_up: false }
    }
}

/// Why a sink cannot go on, however often it tries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The target will not take it.
    #[error("the target refuses: {0}")]
    Target(String),
    /// The cluster will not give it.
    #[error("the cluster refuses: {0}")]
    Source(String),
}

/// Carries changes from the source into the target until `stop` becomes true.
///
/// # Errors
/// [`SinkError`] when trying again cannot help. Whatever else fails is tried again, for ever.
pub async fn run<S: Source, T: Target>(
    source: &Arc<S>,
    target: &mut T,
    options: &Options,
    progress: &Arc<Progress>,
    stop: watch::Receiver<bool>,
) -> Result<(), SinkError> {
    let _watcher = Watcher::start(source, progress);
    let mut sink = Sink { source, target, options, progress, stop, pace: Pace::default() };
    let mut backoff = Backoff::default();
    let mut goal = None;
    let mut rival = Rival::default();
    loop {
        let end = sink.session(&mut backoff, &mut goal, &mut rival).await;
        let pause = match end {
            End::Stopped => return Ok(()),
            End::Failed(error) => return Err(error),
            End::Contested => {
                if !progress.standby() {
                    tracing::warn!("another runner writes to this target: standing by");
                }
                progress.stands_by(true);
                STANDBY
            }
            End::Again(why) => {
                let pause = backoff.next();
                tracing::warn!("trying again in {} ms: {why}", pause.as_millis());
                progress.failed(&why);
                pause
            }
        };
        tokio::select! {
            () = stopped(&mut sink.stop) => return Ok(()),
            () = sleep(pause) => {}
        }
    }
}

/// What is known of a runner that is at work in this one's stead.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Rival {
    #[default]
    Unknown,
    /// It keeps the target under a lock.
    Keeps,
    /// It had moved the position there at the last look.
    At(Seq),
}

/// How a session ended.
enum End {
    Stopped,
    /// Begin anew.
    Again(String),
    /// Another runner is at work.
    Contested,
    Failed(SinkError),
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Refused(why) => Self::Failed(SinkError::Source(why)),
            SourceError::Unavailable(_) | SourceError::Gone(_) => Self::Again(error.to_string()),
        }
    }
}

impl From<TargetError> for End {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Lost(why) => Self::Again(format!("the target: {why}")),
            TargetError::Moved | TargetError::Taken(_) => Self::Contested,
            TargetError::Refused(why) => Self::Failed(SinkError::Target(why)),
            TargetError::Source(error) => error.into(),
        }
    }
}

struct Sink<'a, S, T> {
    source: &'a Arc<S>,
    target: &'a mut T,
    options: &'a Options,
    progress: &'a Arc<Progress>,
    stop: watch::Receiver<bool>,
    pace: Pace,
}

impl<S: Source, T: Target> Sink<'_, S, T> {
    /// From asking where the target stands to the first failure.
    async fn session(
        &mut self,
        backoff: &mut Backoff,
        goal: &mut Option<Seq>,
        rival: &mut Rival,
    ) -> End {
        let Some(standing) = self.unless_stopped(self.source.standing()).await else {
            return End::Stopped;
        };
        let Standing { cluster_id, newest } = match standing {
            Ok(standing) => standing,
            Err(error) => return error.into(),
        };
        self.progress.hears_of(newest);
        let goal = *goal.get_or_insert(newest);
        let opened = within(&mut self.stop, self.target.open(&cluster_id)).await;
        let (mut position, taken) = match opened {
            None => return End::Stopped,
            Some(Ok(position)) => (position, false),
            Some(Err(TargetError::Taken(position))) => (position, true),
            Some(Err(error)) => return error.into(),
        };
        self.progress.stands(position);
        self.progress.warns(self.target.warning());
        if self.options.until_caught_up && position >= goal {
            return End::Stopped;
        }
        let before = std::mem::replace(rival, Rival::At(position));
        if taken {
            *rival = Rival::Keeps;
            return End::Contested;
        }
        if self.progress.standby() {
            let idle = before == Rival::At(position) && newest > position;
            if before != Rival::Keeps && !idle {
                return End::Contested;
            }
            tracing::warn!("nobody moves the position from {position}: taking over");
            self.progress.stands_by(false);
        }
        tracing::info!("the target stands at {position}, the cluster at {newest}");
        let mut feed = Feed::start(self.source, position);
        let mut batch: Vec<EventView> = Vec::new();
        loop {
            if self.options.until_caught_up && position >= goal {
                return End::Stopped;
            }
            let max = Pace::batch_max(self.options);
            let taken = tokio::select! {
                taken = feed.take(&mut batch, max) => taken,
                () = stopped(&mut self.stop) => return End::Stopped,
            };
            match taken {
                Ok(()) => {}
                Err(SourceError::Gone(why)) => {
                    tracing::warn!("taking the whole state, for the feed ends: {why}");
                    match self.rebase(position).await {
                        Ok(Some(now)) => position = now,
                        Ok(None) => return End::Stopped,
                        Err(end) => return end,
                    }
                    feed = Feed::start(self.source, position);
                    continue;
                }
                Err(error) => return error.into(),
            }
            let applied = within(&mut self.stop, self.target.apply(position, &batch)).await;
            let rows = match applied {
                None => return End::Stopped,
                Some(Ok(applied)) => applied.rows,
                Some(Err(error)) => return error.into(),
            };
            position = batch.last().map_or(position, |last| last.seq);
            self.progress.hears_of(position);
            self.progress.wrote(&batch, rows);
            backoff.reset();
            tokio::select! {
                () = self.pace.wrote(self.options, rows) => {}
                () = stopped(&mut self.stop) => return End::Stopped,
            }
        }
    }

    /// Takes the whole state. None when it is to stop.
    async fn rebase(&mut self, from: Seq) -> Result<Option<Seq>, End> {
        let Some(state) = self.unless_stopped(self.source.state()).await else {
            return Ok(None);
        };
        let mut state = state.map_err(End::from)?;
        let seq = state.seq();
        if seq <= from {
            let why = format!("the state is of {seq}, and the target stands at {from}");
            return Err(End::Again(why));
        }
        let mut pages = Pages::new(self.options, &mut self.pace, self.progress);
        tokio::select! {
            rebased = self.target.rebase(from, &mut state, &mut pages) => {
                self.progress.rebased(seq, rebased.map_err(End::from)?.rows);
                Ok(Some(seq))
            }
            () = stopped(&mut self.stop) => Ok(None),
        }
    }

    /// What comes of it, or none when the sink is to stop first.
    async fn unless_stopped<R>(&self, work: impl Future<Output = R>) -> Option<R> {
        let mut stop = self.stop.clone();
        tokio::select! {
            done = work => Some(done),
            () = stopped(&mut stop) => None,
        }
    }
}

/// What comes of a call of the target; none when the sink is to stop and it does not end soon.
async fn within<R>(
    stop: &mut watch::Receiver<bool>,
    call: impl Future<Output = Result<R, TargetError>>,
) -> Option<Result<R, TargetError>> {
    let too_long = || Err(TargetError::Lost(format!("no answer in {CALL_MAX:?}")));
    tokio::select! {
        done = timeout(CALL_MAX, call) => Some(done.unwrap_or_else(|_| too_long())),
        () = async { stopped(stop).await; sleep(STOP_MAX).await } => None,
    }
}

/// Returns when the sink is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Whoever could say so has gone without doing so.
        std::future::pending::<()>().await;
    }
}

/// Asks how far the cluster is while the target may be stuck.
struct Watcher(JoinHandle<()>);

impl Watcher {
    fn start<S: Source>(source: &Arc<S>, progress: &Arc<Progress>) -> Self {
        let (source, progress) = (Arc::clone(source), Arc::clone(progress));
        Self(tokio::spawn(async move {
            loop {
                sleep(STANDING_EVERY).await;
                // The loop itself says when the cluster does not answer.
                if let Ok(standing) = source.standing().await {
                    progress.hears_of(standing.newest);
                }
            }
        }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}
