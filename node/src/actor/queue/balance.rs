//! How many buyers wait at each node, and how many of this node's own may go into the next batch.
//!
//! Who asks the leader is nearer to the log than who asks a follower: that one's buy first waits
//! for a frame, then travels, and meanwhile batch after batch would take whoever came to the
//! leader. So while batches are under way, each command that a follower sends lets go of as many
//! of this node's own as keep both in proportion to how many wait at each: all wait equally long.
//! While nothing is under way, everybody goes; where followers have more to send, that is a debt,
//! and paid before others go. Few buyers elsewhere hold up nobody.
//!
//! Owns counts alone, and never what waits.

use raft::ForwardedFrame;
use std::collections::BTreeMap;
use stock::NodeId;

/// A follower's buyers hold up this node's own when there is at least one of them for so many.
const FEW: i64 = 4;
/// A follower of which nothing came for so many batches has no buyers any more, or is gone.
const SILENT_MAX: usize = 3;
/// How much of a crowd is taken to have left when the next look sees less: a part of so many.
const LEFT_PARTS: usize = 32;
/// One command, in an allowance, which has fractions of them.
const ONE: i64 = 1 << 16;

/// What a batch holds, for whoever counts what is under way.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) commands: usize,
    /// Of those, this node's own.
    pub(crate) own: usize,
    /// The frames in it: whose they are, and how many commands each has.
    pub(crate) frames: Vec<(NodeId, usize)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Balance {
    under_way: usize,
    own_under_way: usize,
    /// This node's own buyers who are not answered.
    own: Crowd,
    /// Those that something came of lately.
    followers: BTreeMap<NodeId, Follower>,
    /// Own commands that may go, times [`ONE`]; negative: that went before their turn.
    allowance: i64,
}

#[derive(Debug, Default)]
struct Follower {
    /// Those that are here, waiting or under way.
    frames: usize,
    /// Those who are not answered there, as it tells with each frame.
    waiting: Crowd,
    /// How many of those have come here.
    here: usize,
    /// Batches that landed since its newest frame came.
    silent: usize,
}

/// How many buyers wait, at the most in the last time: who has just been answered asks again.
#[derive(Debug, Default, Clone, Copy)]
struct Crowd(usize);

impl Crowd {
    fn see(&mut self, waiting: usize) {
        self.0 = waiting.max(self.0 - self.0.div_ceil(LEFT_PARTS));
    }
}

impl Balance {
    /// Commands that are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// How many of this node's own commands are not answered, of which so many wait.
    pub(super) fn own(&self, waiting: usize) -> usize {
        waiting + self.own_under_way
    }

    /// The same, at the most in the last time.
    pub(super) fn own_crowd(&self, waiting: usize) -> usize {
        self.own(waiting).max(self.own.0)
    }

    /// How many are not answered at a follower.
    pub(super) fn of(&self, follower: NodeId) -> usize {
        self.followers.get(&follower).map_or(0, |follower| follower.waiting.0)
    }

    /// How many are not answered at all followers.
    fn theirs(&self) -> usize {
        self.followers.values().map(|follower| follower.waiting.0).sum()
    }

    /// How many of the own commands that wait may go.
    pub(super) fn may_go(&self, waiting: usize, framed: usize) -> usize {
        let is_idle = self.under_way == 0 && framed == 0;
        let theirs = whole(self.theirs());
        if is_idle || theirs == 0 || theirs * FEW < whole(self.own(waiting)) {
            return waiting;
        }
        usize::try_from(self.allowance / ONE).map_or(0, |allowed| waiting.min(allowed))
    }

    /// Notes a follower's frame, while so many own commands wait.
    pub(super) fn came(&mut self, frame: &ForwardedFrame, own_waiting: usize) {
        let follower = self.followers.entry(frame.from).or_default();
        follower.frames += 1;
        follower.silent = 0;
        follower.here += frame.commands.len();
        follower.waiting.see(frame.waiting.max(follower.here));
        self.own.see(own_waiting + self.own_under_way);
        let own = whole(self.own.0) * ONE;
        let more = whole(frame.commands.len()) * own / whole(self.theirs()).max(1);
        self.allowance = (self.allowance + more).min(own);
    }

    /// Notes a batch that goes.
    pub(super) fn goes(&mut self, load: &Load) {
        self.under_way += load.commands;
        self.own_under_way += load.own;
        // Who is alone owes nobody anything.
        let most = if self.followers.is_empty() { 0 } else { whole(self.own.0) * ONE };
        self.allowance = (self.allowance - whole(load.own) * ONE).max(-most);
    }

    /// Notes that a batch is answered.
    pub(super) fn landed(&mut self, load: &Load) {
        self.under_way -= load.commands;
        self.own_under_way -= load.own;
        for (id, commands) in &load.frames {
            let Some(follower) = self.followers.get_mut(id) else {
                continue;
            };
            follower.frames -= 1;
            follower.here -= commands;
        }
        self.followers.retain(|_, follower| {
            follower.silent += 1;
            follower.frames > 0 || follower.silent < SILENT_MAX
        });
    }
}

fn whole(commands: usize) -> i64 {
    i64::try_from(commands).unwrap_or(i64::MAX / ONE)
}
