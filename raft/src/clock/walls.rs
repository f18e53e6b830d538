//! What a node knows of every node's wall clock. Pure: readings of clocks come in as arguments.
//!
//! A wall clock is kept as its *lead* over this node's monotonic clock, so what was learned once
//! says what that clock shows at any later moment, as long as nobody sets it and both crystals
//! agree. The median of the leads is what the nodes together take for the time: with three nodes,
//! no single clock can move it beyond the other two.

use std::collections::BTreeMap;
use std::time::Duration;
use stock::NodeId;

/// A clock this far from the median is reported, and counts for nothing.
pub(crate) const OFF_MS_MAX: u64 = 500;
/// How long what was learned of a clock is used. Two crystals drift by at most 200 ppm, which is
/// 120 ms in this time.
const LEARNED_AGE_MAX: Duration = Duration::from_secs(600);

/// One moment on a node's own two clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Microseconds on the monotonic clock, from an origin of this process.
    pub(crate) mono_us: u64,
    /// Milliseconds since the Unix epoch, as this node's wall clock has it.
    pub(crate) wall_ms: u64,
}

/// What the nodes' wall clocks say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Median {
    lead_us: i64,
    /// Whether a majority of all nodes is within [`OFF_MS_MAX`] of it. Else nobody can tell which
    /// clocks are right.
    pub(crate) agreed: bool,
}

impl Median {
    /// The time, in microseconds since the Unix epoch, at this moment.
    pub(crate) fn at_us(self, mono_us: u64) -> u64 {
        mono_us.saturating_add_signed(self.lead_us)
    }
}

/// The wall clocks of all nodes, as far as this one knows them.
#[derive(Debug)]
pub(crate) struct WallClocks {
    me: NodeId,
    /// The configured nodes, this one too.
    nodes: usize,
    learned: BTreeMap<NodeId, Learned>,
}

#[derive(Debug, Clone, Copy)]
struct Learned {
    lead_us: i64,
    at_us: u64,
}

impl Learned {
    fn is_fresh(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.at_us) <= LEARNED_AGE_MAX.as_micros() as u64
    }
}

impl WallClocks {
    pub(crate) fn new(me: NodeId, nodes: usize) -> Self {
        Self { me, nodes, learned: BTreeMap::new() }
    }

    /// At this monotonic time, that node's wall clock showed this.
    pub(crate) fn learn(&mut self, node: NodeId, seen: Moment) {
        self.learned.insert(node, Learned { lead_us: lead_us(seen), at_us: seen.mono_us });
    }

    /// Whether anything is known of that node's clock.
    pub(crate) fn knows(&self, node: NodeId, now_us: u64) -> bool {
        self.learned.get(&node).is_some_and(|learned| learned.is_fresh(now_us))
    }

    /// The median clock; none while fewer than a majority are known. Of an even number the lower
    /// of the middle two: log time may step forward to it and never back, so of two clocks the
    /// faster must not win.
    pub(crate) fn median(&self, now: Moment) -> Option<Median> {
        let mut leads: Vec<i64> = self.leads(now).map(|(_, lead_us)| lead_us).collect();
        let majority = self.nodes / 2 + 1;
        if leads.len() < majority {
            return None;
        }
        leads.sort_unstable();
        let lead_us = leads[(leads.len() - 1) / 2];
        let near = leads.iter().filter(|lead| lead.abs_diff(lead_us) <= OFF_MS_MAX * 1_000);
        Some(Median { lead_us, agreed: near.count() >= majority })
    }

    /// By how many milliseconds each known clock is ahead of the median (negative: behind); empty
    /// while there is no median.
    pub(crate) fn off_ms(&self, now: Moment) -> BTreeMap<NodeId, i64> {
        let Some(median) = self.median(now) else {
            return BTreeMap::new();
        };
        let off = |(id, lead_us): (NodeId, i64)| (id, (lead_us - median.lead_us) / 1_000);
        self.leads(now).map(off).collect()
    }

    fn leads(&self, now: Moment) -> impl Iterator<Item = (NodeId, i64)> + '_ {
        let others = self
            .learned
            .iter()
            .filter(move |(id, learned)| **id != self.me && learned.is_fresh(now.mono_us))
            .map(|(id, learned)| (*id, learned.lead_us));
        others.chain(std::iter::once((self.me, lead_us(now))))
    }
}

fn lead_us(seen: Moment) -> i64 {
    // Both are far below 2^62 for any clock that a computer can be set to.
    let wall_us = i64::try_from(seen.wall_ms.saturating_mul(1_000)).unwrap_or(i64::MAX / 2);
    wall_us - i64::try_from(seen.mono_us).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const NOW_MS: u64 = 1_800_000_000_000;

    fn moment(mono_ms: u64, off_ms: i64) -> Moment {
        let wall_ms = (NOW_MS + mono_ms).saturating_add_signed(off_ms);
        Moment { mono_us: mono_ms * 1_000, wall_ms }
    }

    /// Node 1 of three, with the others' clocks off by this.
    fn clocks(others_off_ms: &[i64]) -> WallClocks {
        let mut clocks = WallClocks::new(NodeId(1), 3);
        for (id, off_ms) in (2..).map(NodeId).zip(others_off_ms) {
            clocks.learn(id, moment(0, *off_ms));
        }
        clocks
    }

    fn median_off_ms(clocks: &WallClocks, now: Moment) -> Option<(i64, bool)> {
        let true_ms = (NOW_MS + now.mono_us / 1_000).cast_signed();
        clocks.median(now).map(|median| {
            let shown_ms = (median.at_us(now.mono_us) / 1_000).cast_signed();
            (shown_ms - true_ms, median.agreed)
        })
    }

    #[test]
    fn one_clock_of_three_does_not_move_the_median() {
        for off in [-HOUR_MS, HOUR_MS] {
            let other = clocks(&[off, 3]);
            assert_eq!(median_off_ms(&other, moment(5_000, 0)), Some((3.min(off.max(0)), true)));
            let own = clocks(&[0, 3]);
            let (found, agreed) = median_off_ms(&own, moment(5_000, off)).unwrap();
            assert!((0..=3).contains(&found) && agreed, "{found}");
        }
    }

    #[test]
    fn two_clocks_that_differ_agree_on_nothing_and_the_slower_counts() {
        assert_eq!(median_off_ms(&clocks(&[HOUR_MS]), moment(1, 0)), Some((0, false)));
        assert_eq!(median_off_ms(&clocks(&[-HOUR_MS]), moment(1, 0)), Some((-HOUR_MS, false)));
        assert_eq!(median_off_ms(&clocks(&[400]), moment(1, 0)), Some((0, true)));
    }

    #[test]
    fn a_minority_of_clocks_has_no_median() {
        assert_eq!(clocks(&[]).median(moment(1, 0)), None);
        assert!(clocks(&[]).off_ms(moment(1, 0)).is_empty());
        let alone = WallClocks::new(NodeId(1), 1);
        assert_eq!(median_off_ms(&alone, moment(1, 7)), Some((7, true)));
    }

    #[test]
    fn what_was_learned_is_used_for_a_while() {
        let clocks = clocks(&[100]);
        assert_eq!(median_off_ms(&clocks, moment(600_000, 0)), Some((0, true)));
        assert_eq!(clocks.median(moment(600_001, 0)), None);
    }

    #[test]
    fn each_clock_is_held_against_the_median() {
        let clocks = clocks(&[HOUR_MS, 20]);
        let off = clocks.off_ms(moment(1_000, 0));
        let expected = [(1, -20), (2, HOUR_MS - 20), (3, 0)];
        assert_eq!(off.into_iter().map(|(id, off)| (id.0, off)).collect::<Vec<_>>(), expected);
    }
}
