//! All records of a run, by invocation.
//!
//! Owns: the merge of the lanes, and names for numbers again. Called by `run`, the report and the
//! checks.

use super::row::{Row, SaidNo, Send, Sends};
use super::{Function, Lane, Said};
use checker::flashnode::{Attempt, Ended, Record};
use std::collections::HashMap;

/// All records of a run, by invocation.
#[derive(Debug, Default)]
pub struct Log {
    rows: Vec<Row>,
    said: Vec<Said>,
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

    /// What clients asked, shortened.
    pub fn briefs(&self) -> impl Iterator<Item = Brief<'_>> + '_ {
        let asked = self.rows.iter().filter(|row| row.asked.function() != Function::Expire);
        asked.map(|row| Brief {
            function: row.asked.function(),
            invoked_ns: row.invoked.ns,
            ended_ns: row.closed.ns,
            ended: &row.ended,
            attempts: row.sends.as_slice().len(),
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
