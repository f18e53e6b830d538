//! All records of a run, by invocation.
//!
//! Owns: the merge of the lanes, and names for numbers again. Called by `run`, the report and the
//! checks.

use super::row::{Row, SaidNo, Send, Sends};
use super::{Function, Lane, Said};
use checker::flashnode::{Attempt, Ended, Record};
use std::collections::{BTreeMap, HashMap};

/// All records of a run, by invocation.
#[derive(Debug, Default)]
pub struct Log {
    rows: Vec<Row>,
    said: Vec<Said>,
    /// When each hold that ran out was seen to have, by rank, in nanoseconds since the run began.
    expired_ns: BTreeMap<usize, u64>,
}

/// What plots and counts need of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Brief<'a> {
    /// What it does.
    pub function: Function,
    /// Nanoseconds since the run began.
    pub invoked_ns: u64,
    /// Nanoseconds since the run began.
    pub ended_ns: u64,
    /// How it ended.
    pub ended: &'a Ended,
    /// Its sends.
    pub attempts: usize,
}

/// An invocation or a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which record, by its rank among the invocations.
    pub rank: usize,
    /// Whether it is the invocation.
    pub begins: bool,
}

/// When each hold that ran out was seen to have: with the first answer of its `seq` or a higher
/// one. The change feed tells of it when all is over, and by the cluster's clock, which a fault may
/// have set.
fn expired_ns(rows: &[Row]) -> BTreeMap<usize, u64> {
    let mut expired: Vec<(u64, usize)> = Vec::new();
    let mut answered: Vec<(u64, u64)> = Vec::new();
    for (rank, row) in rows.iter().enumerate() {
        let Ended::Decided { answer, .. } = &row.ended else { continue };
        match row.asked.function() {
            Function::Expire => expired.push((answer.seq, rank)),
            _ => answered.push((answer.seq, row.closed.ns)),
        }
    }
    if expired.is_empty() {
        return BTreeMap::new();
    }
    expired.sort_unstable();
    answered.sort_unstable();
    let mut seen_ns = BTreeMap::new();
    let mut earliest_ns = u64::MAX;
    for (seq, rank) in expired.into_iter().rev() {
        while let Some((_, ns)) = answered.pop_if(|(answered, _)| *answered >= seq) {
            earliest_ns = earliest_ns.min(ns);
        }
        // Nothing was answered after the last ones: they stand where they were read.
        seen_ns.insert(rank, earliest_ns.min(rows[rank].closed.ns));
    }
    seen_ns
}

impl Log {
    /// Merges the workers' lanes.
    pub fn merge(lanes: Vec<Lane>) -> Self {
        let mut log = Self::default();
        let mut numbers: HashMap<Said, SaidNo> = HashMap::new();
        log.rows.reserve_exact(lanes.iter().map(Lane::len).sum());
        for lane in lanes {
            let renumbered: Vec<SaidNo> =
                lane.said.into_iter().map(|said| log.number_of(&mut numbers, said)).collect();
            for mut row in lane.rows {
                for send in row.sends.as_mut_slice() {
                    send.said = renumbered[usize::from(send.said.0)];
                }
                log.rows.push(row);
            }
        }
        log.rows.sort_unstable_by_key(|row| row.invoked.position);
        log.expired_ns = expired_ns(&log.rows);
        log
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The records, by invocation.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record> + '_ {
        self.rows.iter().map(|row| self.record_of(row))
    }

    /// One record, by its rank among the invocations.
    ///
    /// # Panics
    /// When there is no such record.
    pub fn record(&self, rank: usize) -> Record {
        self.record_of(&self.rows[rank])
    }

    /// All invocations and completions, in their order.
    pub fn places(&self) -> impl ExactSizeIterator<Item = Place> + '_ {
        let mut places: Vec<(u64, Place)> = Vec::with_capacity(self.rows.len() * 2);
        for (rank, row) in self.rows.iter().enumerate() {
            places.push((row.invoked.position, Place { rank, begins: true }));
            places.push((row.closed.position, Place { rank, begins: false }));
        }
        places.sort_unstable_by_key(|(position, _)| *position);
        places.into_iter().map(|(_, place)| place)
    }

    /// All records, shortened. A hold that ran out stands where the first answer shows that it
    /// had, and took no time; what ran out after the last answer stands where that was read.
    pub fn briefs(&self) -> impl Iterator<Item = Brief<'_>> + '_ {
        self.rows.iter().enumerate().map(|(rank, row)| {
            let expired_ns = self.expired_ns.get(&rank).copied();
            Brief {
                function: row.asked.function(),
                invoked_ns: expired_ns.unwrap_or(row.invoked.ns),
                ended_ns: expired_ns.unwrap_or(row.closed.ns),
                ended: &row.ended,
                attempts: row.sends.as_slice().len(),
            }
        })
    }

    /// Bytes in memory, about.
    pub fn bytes(&self) -> usize {
        let sends = |row: &Row| match &row.sends {
            Sends::One(_) => 0,
            Sends::Other(sends) => size_of_val::<[Send]>(sends),
        };
        self.rows.capacity() * size_of::<Row>() + self.rows.iter().map(sends).sum::<usize>()
    }

    fn number_of(&mut self, numbers: &mut HashMap<Said, SaidNo>, said: Said) -> SaidNo {
        if let Some(number) = numbers.get(&said) {
            return *number;
        }
        // The last number stands for all texts that found no place.
        let Ok(number) = u16::try_from(self.said.len()) else { return SaidNo(u16::MAX) };
        self.said.push(said.clone());
        numbers.insert(said, SaidNo(number));
        SaidNo(number)
    }

    fn record_of(&self, row: &Row) -> Record {
        Record {
            process: row.process.into(),
            input: row.asked.input(),
            request: (row.request != 0).then(|| super::RequestNo(row.request).request().into()),
            invoked: row.invoked.position,
            completed: (row.ended != Ended::Unknown).then_some(row.closed.position),
            invoked_ns: row.invoked.ns,
            ended_ns: row.closed.ns,
            ended: row.ended.clone(),
            attempts: row.sends.as_slice().iter().map(|send| self.attempt_of(send)).collect(),
        }
    }

    fn attempt_of(&self, send: &Send) -> Attempt {
        Attempt {
            number: send.number,
            node: send.node.into(),
            sent_ns: send.sent_ns,
            ended_ns: send.ended_ns,
            said: self.said[usize::from(send.said.0)].clone().into_owned(),
        }
    }
}
