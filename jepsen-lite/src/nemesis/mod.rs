//! The nemesis: injects faults from a seeded schedule. One file a kind of fault.
//!
//! Owns: the kinds, what was done when, and whether it was seen to take hold. Never does: judge
//! the history. Called by `run`, and by tests.
//!
//! The seed decides the order of the kinds, the variant of each (who is cut off from whom), the
//! victims among equals, and the times. What it cannot decide is who leads when a leader is to be
//! hit: two runs of one seed inject the same faults on nodes that may differ.

mod clock;
mod damage;
mod disk_full;
mod kill;
mod lossy;
mod partition;
mod pause;
mod purge;
mod rolling;
mod schedule;
mod slow;
mod stage;
mod unsynced;
mod wipe;

use crate::cluster::{Cluster, Patience};
use schedule::Schedule;
use serde::Serialize;
use stage::{Inject, Injection, Stage, Stay};
use std::time::{Duration, Instant};

/// Where a node writes, after each sync of its log, up to where that reaches. It is not synced.
const MARK_FILE: &str = "durable.mark";

/// A kind of fault, as `--nemesis` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(usize);

/// What nodes must be started with for a fault to be possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing out of the ordinary.
    Nothing,
    /// A wall clock that can be set.
    Clock,
    /// A disk whose room can be taken away.
    SmallDisk,
    /// A journal of what was not synced.
    Journal,
}

/// What there is to know of a kind.
struct Entry {
    name: &'static str,
    about: &'static str,
    needs: Need,
    node_args: &'static [&'static str],
    inject: Inject,
}

/// Every kind, in the order of the help text.
const KINDS: &[Entry] = &[
    Entry {
        name: "kill",
        about: "kill -9 of one node, a minority, a majority, the leader, or all",
        needs: Need::Nothing,
        node_args: &[],
        inject: |stage| Box::pin(kill::inject(stage)),
    },
    Entry {
        name: "pause",
        about: "SIGSTOP of the leader or a minority, then SIGCONT",
        needs: Need::Nothing,
        node_args: &[],
        inject: |stage| Box::pin(pause::inject(stage)),
    },
    Entry {
        name: "partition",
        about: "the leader alone, halves, a ring of majorities, a bridge, or one way only",
        needs: Need::Nothing,
        node_args: &[],
        inject: |stage| Box::pin(partition::inject(stage)),
    },
    Entry {
        name: "slow",
        about: "delay and jitter on the links of the leader, or on all",
        needs: Need::Nothing,
        node_args: &[],
        inject: |stage| Box::pin(slow::inject(stage)),
    },
    Entry {
        name: "lossy",
        about: "stalled and dropped connections on the links of the leader, or on all",
        needs: Need::Nothing,
        node_args: &[],
        inject: |stage| Box::pin(lossy::inject(stage)),
    },
    Entry {
        name: "clock",
        about: "wall clocks jump ahead or back, or strobe (takes libfaketime)",
        needs: Need::Clock,
        node_args: &[],
        inject: |stage| Box::pin(clock::inject(stage)),
    },
    Entry {
        name: "disk-full",
        about: "a disk without room (takes root, for a tmpfs)",
        needs: Need::SmallDisk,
        node_args: &[],
        inject: |stage| Box::pin(disk_full::inject(stage)),
    },
    Entry {
        name: "corrupt",
        about: "flipped bytes in the log of a killed follower",
        needs: Need::Nothing,
        node_args: &[],
        inject: |stage| Box::pin(damage::corrupt(stage)),
    },
    Entry {
        name: "truncate",
        about: "the log of a killed follower loses its end",
        needs: Need::Nothing,
        node_args: &[],
        inject: |stage| Box::pin(damage::truncate(stage)),
    },
    Entry {
        name: "purge",
        about: "a follower misses what is purged, and needs a snapshot",
        needs: Need::Nothing,
        node_args: purge::NODE_ARGS,
        inject: |stage| Box::pin(purge::inject(stage)),
    },
    Entry {
        name: "wipe",
        about: "a killed follower comes back with an empty directory",
        needs: Need::Nothing,
        node_args: &[],
        inject: |stage| Box::pin(wipe::inject(stage)),
    },
    Entry {
        name: "rolling",
        about: "SIGTERM and restart, one node after the other",
        needs: Need::Nothing,
        node_args: &[],
        inject: |stage| Box::pin(rolling::inject(stage)),
    },
    Entry {
        name: "unsynced",
        about: "a power cut: killed nodes, mostly a majority, lose what they had not synced",
        needs: Need::Journal,
        node_args: &[],
        inject: |stage| Box::pin(unsynced::inject(stage)),
    },
];

impl Kind {
    /// Every kind, in the order of the help text.
    pub fn all() -> Vec<Self> {
        (0..KINDS.len()).map(Self).collect()
    }

    /// Its name, such as `partition`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// One line on what it does, for the help text.
    pub fn about(self) -> &'static str {
        self.entry().about
    }

    /// What `--nemesis` says: names, comma separated, or `all`, or `none`.
    ///
    /// # Errors
    /// In words, naming the name that is not one and listing those that are.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        match text.trim() {
            "all" => return Ok(Self::all()),
            "none" => return Ok(Vec::new()),
            _ => {}
        }
        let mut kinds = Vec::new();
        for name in text.split(',').map(str::trim) {
            let Some(kind) = Self::all().into_iter().find(|kind| kind.name() == name) else {
                let names: Vec<&str> = KINDS.iter().map(|entry| entry.name).collect();
                let names = names.join(", ");
                return Err(format!(
                    "there is no fault called {name:?}; say all, none, or some of {names}, with \
                     commas between them"
                ));
            };
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Ok(kinds)
    }

    /// Whether nodes must run under the unsynced-writes library for it.
    pub fn needs_unsynced(self) -> bool {
        self.needs() == Need::Journal
    }

    /// What nodes must be started with for it.
    pub(crate) fn needs(self) -> Need {
        self.entry().needs
    }

    /// Arguments that every node must have for this fault to be possible within a run.
    pub fn node_args(self) -> &'static [&'static str] {
        self.entry().node_args
    }

    fn entry(self) -> &'static Entry {
        &KINDS[self.0]
    }
}

/// Whether a fault took hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It was put in place, and seen to be.
    Installed,
    /// It could not be put in place here, and was not.
    Skipped,
    /// It may or may not have taken hold.
    Indeterminate,
}

/// One fault, from its injection to its end.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// The kind's name.
    pub kind: &'static str,
    /// What exactly, such as `node 2, the leader`.
    pub what: String,
    /// Whether it took hold; of a skipped one, `what` says why.
    pub effect: Effect,
    /// Nanoseconds since the run began.
    pub began_ns: u64,
    /// Nanoseconds since the run began, when it was healed; none when the cluster did not come
    /// back from it, and `what` says how.
    pub ended_ns: Option<u64>,
}

/// When faults come and go.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Decides which faults, on whom, when.
    pub seed: u64,
    /// Time zero of the run.
    pub began: Instant,
    /// From here on only kinds come that were not seen to take hold so far.
    pub until: Instant,
    /// No fault begins after this, whatever was not seen.
    pub at_latest: Instant,
    /// The most faults.
    pub faults_max: usize,
    /// About how long each fault stays.
    pub fault: Duration,
    /// About how long the cluster is left alone between two.
    pub calm: Duration,
}

/// Injects faults until the plan's end, each healed before the next; tells of each twice: when
/// it was injected and when it was healed. (Of a fault that cannot be had here it tells once, and
/// does not try it again.) Returns all of them once it is over, and early when no kind is left or
/// the cluster does not come back.
pub async fn drive(
    cluster: &mut Cluster,
    kinds: &[Kind],
    plan: Plan,
    tell: &mut (dyn FnMut(&Fault) + Send),
) -> Vec<Fault> {
    let mut schedule = Schedule::new(kinds, plan);
    let mut faults: Vec<Fault> = Vec::new();
    loop {
        tokio::time::sleep_until(schedule.calm_until(Instant::now()).into()).await;
        let now = Instant::now();
        if schedule.is_over(now) || faults.len() >= plan.faults_max {
            return faults;
        }
        let Some(turn) = schedule.next(now) else { return faults };
        let began_ns = since(plan.began);
        // Before a kill reaps whoever ended by itself.
        cluster.notice_deaths().await;
        let stage = Stage { cluster: &mut *cluster, turn: turn.clone() };
        let injection = (turn.kind.entry().inject)(stage).await;
        let Injection { what, effect, stay } = injection.unwrap_or_else(|error| Injection {
            what: error.to_string(),
            effect: Effect::Indeterminate,
            stay: Stay::Over,
        });
        let mut fault = Fault { kind: turn.kind.name(), what, effect, began_ns, ended_ns: None };
        if effect == Effect::Skipped {
            schedule.drop_kind(turn.kind);
            fault.ended_ns = Some(began_ns);
            tell(&fault);
            faults.push(fault);
            continue;
        }
        if effect == Effect::Installed {
            schedule.took_hold(turn.kind);
        }
        tell(&fault);
        if stay == Stay::ForAWhile {
            tokio::time::sleep(turn.stay).await;
        }
        let healed = cluster.heal(Patience::RUN).await;
        match &healed {
            Ok(()) => fault.ended_ns = Some(since(plan.began)),
            Err(error) => fault.what = format!("{}; not healed: {error}", fault.what),
        }
        tell(&fault);
        faults.push(fault);
        if healed.is_err() {
            return faults;
        }
    }
}

fn since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
