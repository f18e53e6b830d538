//! Which fault comes next, and when.
//!
//! Owns: all draws from the plan's seed. Every chosen kind comes once before any comes again, in
//! an order that is shuffled anew each time. What one fault draws does not shift what later ones
//! draw. When the planned time is over, kinds that were not seen to take hold come still, up to a
//! bound: on a slow machine a run takes longer rather than show less. Called by `drive`.

use super::{Kind, Plan};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A time is drawn from this much of the planned one, …
const LEAST_PART: f64 = 0.5;
/// … up to this much.
const MOST_PART: f64 = 1.5;

/// The faults to come.
pub(super) struct Schedule {
    kinds: Vec<Kind>,
    /// The rest of this cycle, the next one last.
    cycle: Vec<Kind>,
    times: BTreeMap<Kind, usize>,
    unseen: BTreeSet<Kind>,
    random: StdRng,
    plan: Plan,
}

/// One fault to inject.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) kind: Kind,
    /// How often this kind was injected before.
    pub(super) earlier: usize,
    /// How long the fault stays.
    pub(super) stay: Duration,
    /// For the draws of this fault alone.
    pub(super) random: StdRng,
    /// The same for all faults of a kind in one run.
    pub(super) kind_seed: u64,
}

impl Schedule {
    pub(super) fn new(kinds: &[Kind], plan: Plan) -> Self {
        let random = StdRng::seed_from_u64(plan.seed);
        let (cycle, times) = (Vec::new(), BTreeMap::new());
        let (unseen, kinds) = (kinds.iter().copied().collect(), kinds.to_vec());
        Self { kinds, cycle, times, unseen, random, plan }
    }

    /// The next fault; none when no kind is left.
    pub(super) fn next(&mut self, now: Instant) -> Option<Turn> {
        if now >= self.plan.until {
            self.kinds.retain(|kind| self.unseen.contains(kind));
            self.cycle.retain(|kind| self.unseen.contains(kind));
        }
        if self.cycle.is_empty() {
            self.cycle.clone_from(&self.kinds);
            self.cycle.shuffle(&mut self.random);
        }
        let kind = self.cycle.pop()?;
        let times = self.times.entry(kind).or_default();
        let earlier = *times;
        *times += 1;
        let stay = jittered(self.plan.fault, &mut self.random);
        let random = StdRng::from_rng(&mut self.random);
        let kind_seed = self.plan.seed ^ ((kind.0 as u64 + 1) << 32);
        Some(Turn { kind, earlier, stay, random, kind_seed })
    }

    /// This kind cannot be had here.
    pub(super) fn drop_kind(&mut self, kind: Kind) {
        self.kinds.retain(|other| *other != kind);
        self.cycle.retain(|other| *other != kind);
        self.unseen.remove(&kind);
    }

    /// A fault of this kind was seen to take hold.
    pub(super) fn took_hold(&mut self, kind: Kind) {
        self.unseen.remove(&kind);
    }

    /// Whether no fault may begin any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.end()
    }

    /// When the calm that begins now is over; at the end at the latest.
    pub(super) fn calm_until(&mut self, now: Instant) -> Instant {
        (now + jittered(self.plan.calm, &mut self.random)).min(self.end())
    }

    fn end(&self) -> Instant {
        if self.unseen.is_empty() { self.plan.until } else { self.plan.at_latest }
    }
}

fn jittered(about: Duration, random: &mut StdRng) -> Duration {
    about.mul_f64(random.random_range(LEAST_PART..MOST_PART))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64) -> Plan {
        let began = Instant::now();
        let (fault, calm) = (Duration::from_secs(2), Duration::from_secs(1));
        let (until, faults_max) = (began + Duration::from_secs(60), usize::MAX);
        Plan { seed, began, until, at_latest: until + fault, faults_max, fault, calm }
    }

    fn next(schedule: &mut Schedule) -> Option<Turn> {
        schedule.next(schedule.plan.began)
    }

    fn drawn(seed: u64, count: usize) -> Vec<(Kind, usize, Duration)> {
        let mut schedule = Schedule::new(&Kind::all(), plan(seed));
        let mut turns = Vec::new();
        for _ in 0..count {
            let turn = next(&mut schedule).unwrap();
            turns.push((turn.kind, turn.earlier, turn.stay));
        }
        turns
    }

    #[test]
    fn every_kind_comes_once_before_any_comes_again() {
        let all = Kind::all().len();
        for (cycle, turns) in drawn(3, 5 * all).chunks(all).enumerate() {
            let kinds: BTreeSet<Kind> = turns.iter().map(|(kind, ..)| *kind).collect();
            assert_eq!(kinds.len(), all);
            assert!(turns.iter().all(|(_, earlier, _)| *earlier == cycle));
        }
    }

    #[test]
    fn a_seed_is_a_schedule_and_another_seed_another_one() {
        assert_eq!(drawn(3, 40), drawn(3, 40));
        assert_ne!(drawn(3, 40), drawn(4, 40));
    }

    #[test]
    fn what_a_fault_draws_does_not_shift_the_next() {
        let mut schedule = Schedule::new(&Kind::all(), plan(3));
        let mut drawn_in_between = Vec::new();
        for _ in 0..10 {
            let mut turn = next(&mut schedule).unwrap();
            let _: u64 = turn.random.random();
            drawn_in_between.push((turn.kind, turn.earlier, turn.stay));
        }
        assert_eq!(drawn_in_between, drawn(3, 10));
    }

    #[test]
    fn a_kind_that_cannot_be_had_does_not_come_again() {
        let mut schedule = Schedule::new(&Kind::all(), plan(3));
        let first = next(&mut schedule).unwrap().kind;
        schedule.drop_kind(first);
        for _ in 0..20 {
            assert_ne!(next(&mut schedule).unwrap().kind, first);
        }
        for kind in Kind::all() {
            schedule.drop_kind(kind);
        }
        assert!(next(&mut schedule).is_none());
    }

    #[test]
    fn when_the_time_is_over_only_what_was_not_seen_comes_up_to_a_bound() {
        let all = Kind::all();
        let plan = plan(3);
        let mut schedule = Schedule::new(&all, plan);
        for kind in &all[2..] {
            schedule.took_hold(*kind);
        }
        schedule.drop_kind(all[1]);
        assert!(!schedule.is_over(plan.until), "one kind was not seen");
        for _ in 0..3 {
            assert_eq!(schedule.next(plan.until).unwrap().kind, all[0]);
        }
        assert!(schedule.is_over(plan.at_latest));
        schedule.took_hold(all[0]);
        assert!(schedule.is_over(plan.until) && !schedule.is_over(plan.began));
    }
}
