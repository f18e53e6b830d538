//! Log time, as a leader keeps it. Pure: time is an argument.
//!
//! Deadlines and sale windows are decided by log time, so it must not jump because somebody set a
//! clock. Between elections it runs on the leader's monotonic clock, at most a tenth faster or
//! slower so as to near the median of the nodes' wall clocks. Once in each term, at its start, it
//! may step, and only forward, to that median: this makes up for the time between the last entry
//! of the old leader and the first of the new one.

use super::walls::{Median, Moment};
use std::time::Duration;

/// The slew: a tenth of the time that passes.
const SLEW_PARTS: u64 = 10;
/// How long a new leader waits for a majority's clocks before it goes on without them. A leader
/// that can commit anything can hear a majority, unless those nodes run an older build.
const STEP_WAIT: Duration = Duration::from_secs(1);

/// What a leader must know to read log time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leadership {
    /// Its term.
    pub(crate) term: u64,
    /// The machine's log time as this node has applied it, in milliseconds since the Unix epoch.
    pub(crate) applied_ms: u64,
}

/// The clock of one leader after another, as far as this node was one.
#[derive(Debug, Default)]
pub(crate) struct LogClock {
    term: Option<Term>,
    /// The monotonic time of the last reading.
    read_us: u64,
    /// Log time then.
    log_us: u64,
}

#[derive(Debug, Clone, Copy)]
struct Term {
    number: u64,
    began_us: u64,
    /// Whether its one step is taken, or given up.
    stepped: bool,
}

impl LogClock {
    /// Log time now, in microseconds since the Unix epoch; none while a new leader still waits
    /// for the clocks of a majority.
    pub(crate) fn read(
        &mut self,
        now: Moment,
        leads: Leadership,
        median: Option<Median>,
    ) -> Option<u64> {
        let applied_us = leads.applied_ms.saturating_mul(1_000);
        let mut term = match self.term {
            Some(term) if term.number == leads.term => term,
            _ => {
                (self.read_us, self.log_us) = (now.mono_us, applied_us);
                Term { number: leads.term, began_us: now.mono_us, stepped: false }
            }
        };
        self.advance(now.mono_us, median.filter(|median| median.agreed));
        // What was applied meanwhile may be an earlier leader's.
        self.log_us = self.log_us.max(applied_us);
        if !term.stepped {
            term.stepped = self.step(now, &term, median);
        }
        self.term = Some(term);
        term.stepped.then_some(self.log_us)
    }

    /// Runs on by what the monotonic clock says, slewed towards the median.
    fn advance(&mut self, mono_us: u64, median: Option<Median>) {
        let elapsed_us = mono_us.saturating_sub(self.read_us);
        let unslewed_us = self.log_us + elapsed_us;
        let slew_us_max = elapsed_us / SLEW_PARTS;
        let target_us = median.map_or(unslewed_us, |median| median.at_us(mono_us));
        self.log_us =
            target_us.clamp(unslewed_us - slew_us_max, unslewed_us.saturating_add(slew_us_max));
        self.read_us = mono_us;
    }

    /// The step at the beginning of a term; true when it is done with.
    fn step(&mut self, now: Moment, term: &Term, median: Option<Median>) -> bool {
        if let Some(median) = median {
            self.log_us = self.log_us.max(median.at_us(now.mono_us));
            return true;
        }
        let waited_us = now.mono_us.saturating_sub(term.began_us);
        let gave_up = waited_us >= STEP_WAIT.as_micros() as u64;
        if gave_up && self.log_us <= waited_us {
            // Nothing was ever stamped: this clock is better than the year 1970.
            self.log_us = now.wall_ms.saturating_mul(1_000);
        }
        gave_up
    }
}

#[cfg(test)]
mod tests {
    use super::super::walls::WallClocks;
    use super::*;
    use stock::NodeId;

    const HOUR_MS: i64 = 3_600_000;
    const NOW_MS: u64 = 1_800_000_000_000;

    /// A leader of three nodes, whose wall clocks are off by so much.
    struct Leader {
        clock: LogClock,
        walls: WallClocks,
        off_ms: [i64; 3],
        leads: Leadership,
    }

    impl Leader {
        fn new(off_ms: [i64; 3]) -> Self {
            let leads = Leadership { term: 1, applied_ms: 0 };
            let walls = WallClocks::new(NodeId(1), 3);
            Self { clock: LogClock::default(), walls, off_ms, leads }
        }

        fn moment(mono_ms: u64, off_ms: i64) -> Moment {
            let wall_ms = (NOW_MS + mono_ms).saturating_add_signed(off_ms);
            Moment { mono_us: mono_ms * 1_000, wall_ms }
        }

        /// Hears the others' clocks, and reads.
        fn hear(&mut self, mono_ms: u64) -> Option<u64> {
            for (id, off_ms) in (2..).map(NodeId).zip(&self.off_ms[1..]) {
                self.walls.learn(id, Self::moment(mono_ms, *off_ms));
            }
            self.read(mono_ms)
        }

        /// Log time in milliseconds, after the true time at the origin.
        fn read(&mut self, mono_ms: u64) -> Option<u64> {
            let now = Self::moment(mono_ms, self.off_ms[0]);
            let log_us = self.clock.read(now, self.leads, self.walls.median(now))?;
            self.leads.applied_ms = log_us / 1_000;
            Some(self.leads.applied_ms.saturating_sub(NOW_MS))
        }
    }

    #[test]
    fn an_election_steps_forward_to_the_median() {
        let mut leader = Leader::new([0, 0, 0]);
        leader.leads.applied_ms = NOW_MS - 5_000;
        assert_eq!(leader.hear(100), Some(100));
        leader.leads.term = 2;
        assert_eq!(leader.hear(90_000), Some(90_000));
    }

    #[test]
    fn an_election_never_steps_back() {
        let mut leader = Leader::new([0, 0, 0]);
        leader.leads.applied_ms = NOW_MS + 60_000;
        assert_eq!(leader.hear(0), Some(60_000));
        // It is slewed: nine tenths of the time pass.
        assert_eq!(leader.hear(10_000), Some(69_000));
    }

    #[test]
    fn a_clock_one_hour_off_does_nothing() {
        for off in [-HOUR_MS, HOUR_MS] {
            for who in 0..3 {
                let mut leader = Leader::new([0, 0, 0]);
                leader.off_ms[who] = off;
                for mono_ms in (0..600_000).step_by(500) {
                    assert_eq!(leader.hear(mono_ms), Some(mono_ms), "clock {who} off by {off}");
                }
                leader.leads.term += 1;
                assert_eq!(leader.hear(600_000), Some(600_000));
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_within_a_term_does_nothing() {
        let mut leader = Leader::new([0, 0, 0]);
        assert_eq!(leader.hear(0), Some(0));
        for (mono_ms, off) in [(100, HOUR_MS), (200, -HOUR_MS), (300, HOUR_MS), (400, 0)] {
            leader.off_ms[0] = off;
            assert_eq!(leader.hear(mono_ms), Some(mono_ms));
        }
    }

    #[test]
    fn it_never_runs_more_than_a_tenth_fast_or_slow() {
        // All clocks are set, together: the median jumps, log time must not.
        for off in [-HOUR_MS, HOUR_MS] {
            let mut leader = Leader::new([0, 0, 0]);
            assert_eq!(leader.hear(0), Some(0));
            leader.off_ms = [off; 3];
            let expected = if off > 0 { 11_000 } else { 9_000 };
            for mono_ms in (500..10_000).step_by(500) {
                leader.hear(mono_ms);
            }
            assert_eq!(leader.hear(10_000), Some(expected));
        }
    }

    #[test]
    fn a_small_difference_is_made_up_and_then_held() {
        let mut leader = Leader::new([0, 0, 0]);
        assert_eq!(leader.hear(0), Some(0));
        leader.off_ms = [200; 3];
        assert_eq!(leader.hear(1_000), Some(1_100));
        assert_eq!(leader.hear(2_000), Some(2_200));
        assert_eq!(leader.hear(3_000), Some(3_200));
    }

    #[test]
    fn two_clocks_that_differ_leave_the_monotonic_clock() {
        let mut leader = Leader::new([HOUR_MS, 0, 0]);
        let learned = Leader::moment(0, 0);
        leader.walls.learn(NodeId(2), learned);
        // The slower of the two, and no slew towards either.
        assert_eq!(leader.read(0), Some(0));
        assert_eq!(leader.read(300_000), Some(300_000));
    }

    #[test]
    fn a_leader_without_a_majoritys_clocks_waits_and_then_goes_on() {
        let mut leader = Leader::new([0, 0, 0]);
        leader.leads.applied_ms = NOW_MS - 5_000;
        assert_eq!(leader.read(0), None);
        assert_eq!(leader.read(999), None);
        let log_ms = |leader: &Leader| leader.leads.applied_ms;
        assert!(leader.read(1_000).is_some());
        assert_eq!(log_ms(&leader), NOW_MS - 4_000, "it runs on from the last entry");
        // Clocks that come later are slewed to: the term's step is given up.
        leader.hear(2_000);
        leader.hear(12_000);
        assert_eq!(log_ms(&leader), NOW_MS - 4_000 + 11_000 + 1_100);
        let mut founder = Leader::new([7, 0, 0]);
        assert_eq!(founder.read(0), None);
        assert_eq!(founder.read(1_000), Some(1_007), "an empty machine takes the own clock");
    }

    #[test]
    fn another_leaders_entries_are_never_undercut() {
        let mut leader = Leader::new([0, 0, 0]);
        assert_eq!(leader.hear(0), Some(0));
        leader.leads.applied_ms = NOW_MS + 900;
        assert_eq!(leader.hear(10), Some(900));
        assert_eq!(leader.hear(20), Some(909), "slewed: nine of ten milliseconds");
    }
}
