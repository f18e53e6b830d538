//! What became of the buyers of a storm who held first, in numbers and in words.
//!
//! Called by `report`.

use super::report::per_second;
use super::{Fate, Latency, Tally, grouped};
use crate::audit::Audit;
use serde::Serialize;
use std::fmt;

/// What became of those who held first.
#[derive(Debug, Clone, Serialize)]
pub struct HoldReport {
    /// Holds that buyers were told of.
    pub held: u64,
    /// Those that became orders.
    pub confirmed: u64,
    /// Those that were given up.
    pub released: u64,
    /// Those whose buyers walked away.
    pub abandoned: u64,
    /// Those whose buyers came back too late to confirm or release them.
    pub too_late: u64,
    /// Those whose buyers no node could serve, or was willing to.
    pub unserved: u64,
    /// Confirms, and holds, whose outcome is unknown.
    pub in_doubt: u64,
    /// Holds that ran out, whatever the cause; absent when the cluster was not asked.
    pub expired: Option<u64>,
    /// Confirmed holds a second, from the first buyer to the last of them: each is two changes.
    pub confirmed_per_second: u64,
    /// From when a buyer came to having a hold.
    pub hold_latency_ms: Latency,
    /// Of each confirm.
    pub confirm_latency_ms: Latency,
}

impl HoldReport {
    pub(super) fn new(tally: &Tally, audit: Option<&Audit>) -> Self {
        let holds = &tally.holds;
        let confirmed = holds.count(Fate::Confirmed);
        Self {
            held: holds.made.len() as u64,
            confirmed,
            released: holds.count(Fate::Released),
            abandoned: holds.count(Fate::Abandoned),
            too_late: holds.count(Fate::TooLate),
            unserved: holds.count(Fate::Unserved),
            in_doubt: holds.count(Fate::InDoubt) + holds.in_doubt,
            expired: audit.map(|audit| audit.holds_expired),
            confirmed_per_second: per_second(confirmed, holds.confirming),
            hold_latency_ms: Latency::of_us(&holds.hold_us),
            confirm_latency_ms: Latency::of_us(&holds.confirm_us),
        }
    }
}

impl fmt::Display for HoldReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, confirmed, released, abandoned, too_late, unserved, in_doubt, .. } = self;
        let others = [("too late", too_late), ("unserved", unserved), ("in doubt", in_doubt)];
        let others: Vec<String> = others
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(name, count)| format!(", {} {name}", grouped(**count)))
            .collect();
        let others = others.concat();
        let expired =
            self.expired.map_or(String::new(), |count| format!("; {} ran out", grouped(count)));
        writeln!(
            f,
            "  {:<18} {} held: {} confirmed, {} released, {} abandoned{others}{expired}",
            "holds",
            grouped(*held),
            grouped(*confirmed),
            grouped(*released),
            grouped(*abandoned),
        )?;
        let a_second = grouped(self.confirmed_per_second);
        writeln!(f, "  {:<18} {a_second} confirmed/s", "")?;
        writeln!(f, "  {:<18} {}", "a hold, in ms", self.hold_latency_ms)?;
        writeln!(f, "  {:<18} {}", "a confirm, in ms", self.confirm_latency_ms)
    }
}
