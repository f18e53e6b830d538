//! How long an ask may wait here for its turn, and how many may wait so that none waits longer.
//!
//! A node with more to do than it can says so early, to those who would wait in vain, and keeps
//! the others' wait short. What counts is time and not length: the same queue is short on a fast
//! machine and endless on a slow one. The wait is bounded twice. Whoever has waited too long when
//! it would be its turn is late; that is sure, and knows of no rate. And while a queue stands,
//! it is known how many leave it in a second, so whoever comes behind too many need not begin.
//! A crowd that comes at once to an idle node is taken in: nobody knows yet that it is too large.
//!
//! An outage is no overload. While there is no leader, and while nothing is decided at all,
//! waiting is what keeps a failover from its buyers, so their time begins anew after it.
//!
//! Owns times and counts, and never what waits.

use std::time::Duration;
use tokio::time::Instant;

/// For how long it is counted who leaves, before it is a rate.
const WINDOW: Duration = Duration::from_millis(100);
/// When nothing is decided for so long, it is for another reason than too much work.
const STALL_MIN: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(super) struct Patience {
    wait_max: Duration,
    /// Time waited before this does not count.
    since: Instant,
    /// When something was decided last, or began to be.
    moved: Instant,
    window: Option<Window>,
    /// How many leave the queue in `wait_max`; none while it does not stand.
    most: Option<usize>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    left: usize,
}

impl Patience {
    pub(super) fn new(wait_max: Duration, now: Instant) -> Self {
        Self { wait_max, since: now, moved: now, window: None, most: None }
    }

    /// Whether somebody who came then has waited for too long.
    pub(super) fn is_over(&self, came: Instant, now: Instant) -> bool {
        self.moves(now) && now.saturating_duration_since(came.max(self.since)) > self.wait_max
    }

    /// Whether somebody who comes behind so many would wait for too long.
    pub(super) fn is_full(&self, waiting: usize, now: Instant) -> bool {
        self.moves(now) && self.most.is_some_and(|most| waiting >= most)
    }

    fn moves(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.moved) <= STALL_MIN
    }

    /// Everybody's time begins anew.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        (self.since, self.moved) = (now, now);
        (self.window, self.most) = (None, None);
    }

    /// Something is on its way, and was not before.
    pub(super) fn started(&mut self, now: Instant) {
        self.moved = now;
    }

    /// Something was decided.
    pub(super) fn landed(&mut self, now: Instant) {
        if !self.moves(now) {
            self.begin_anew(now);
        }
        self.moved = now;
    }

    /// So many left the queue, and so many still wait there.
    pub(super) fn left(&mut self, left: usize, waiting: usize, now: Instant) {
        if waiting == 0 {
            (self.window, self.most) = (None, None);
            return;
        }
        let window = self.window.get_or_insert(Window { began: now, left: 0 });
        // Who left as it began had waited before it.
        if window.began < now {
            window.left += left;
        }
        let lasted = now.saturating_duration_since(window.began);
        if lasted > STALL_MIN {
            (self.window, self.most) = (None, None);
            return;
        }
        // While others have their turn, nobody knows how fast those here will leave.
        if lasted < WINDOW || window.left == 0 {
            return;
        }
        let left = u128::try_from(window.left).unwrap_or(u128::MAX);
        let most = left.saturating_mul(self.wait_max.as_micros()) / lasted.as_micros().max(1);
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        self.most = Some(self.most.map_or(most, |before| before.midpoint(most)));
        self.window = Some(Window { began: now, left: 0 });
    }
}

#[cfg(test)]
mod tests;
