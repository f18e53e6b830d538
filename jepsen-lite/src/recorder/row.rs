//! One operation: open while its attempts go on, a packed row once it ended.
//!
//! Owns: the packing. A row has no heap memory unless there were several attempts. Called by the
//! recorder's workers, one [`Lane`] each, so that nothing is locked.

use super::{Asked, Moment, Recorder, RequestNo};
use checker::flashnode::Ended;
use std::borrow::Cow;
use std::collections::HashMap;

/// The most different texts of one lane; what comes later is counted as one.
const SAID_MAX: usize = 10_000;

/// The number of a text in a lane, or in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaidNo(pub(super) u16);

/// What a node, or the connection to it, said to one attempt.
pub type Said = Cow<'static, str>;

/// One attempt, as a worker tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// From 1.
    pub number: u32,
    /// The node's id.
    pub node: u64,
    /// Nanoseconds since the run began.
    pub sent_ns: u64,
    /// Nanoseconds since the run began.
    pub ended_ns: u64,
    /// What came of it.
    pub said: Said,
}

/// An operation that has not ended.
#[derive(Debug)]
pub struct Open {
    pub(super) process: u32,
    pub(super) asked: Asked,
    pub(super) request: Option<RequestNo>,
    pub(super) invoked: Moment,
    pub(super) sends: Vec<Sent>,
}

impl Open {
    pub(super) fn new(
        process: u32,
        asked: Asked,
        request: Option<RequestNo>,
        invoked: Moment,
    ) -> Self {
        Self { process, asked, request, invoked, sends: Vec::with_capacity(1) }
    }

    /// What it asks.
    pub fn asked(&self) -> Asked {
        self.asked
    }

    /// Its request; none of a read.
    pub fn request(&self) -> Option<RequestNo> {
        self.request
    }

    /// Nanoseconds since the run began.
    pub fn invoked_ns(&self) -> u64 {
        self.invoked.ns
    }

    /// Writes down an attempt.
    pub fn attempted(&mut self, sent: Sent) {
        self.sends.push(sent);
    }

    /// The number of the last attempt; 0 when there was none.
    pub fn last_attempt(&self) -> u32 {
        self.sends.last().map_or(0, |sent| sent.number)
    }
}

/// An attempt, packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Send {
    pub(super) sent_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) number: u32,
    pub(super) node: u16,
    pub(super) said: SaidNo,
}

/// An operation that ended, or never will.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) invoked: Moment,
    /// The completion, or where it was given up.
    pub(super) closed: Moment,
    /// 0 is none.
    pub(super) request: u64,
    pub(super) process: u32,
    pub(super) asked: Asked,
    pub(super) ended: Ended,
    pub(super) sends: Sends,
}

/// Nearly every operation has one attempt.
#[derive(Debug)]
pub(super) enum Sends {
    One(Send),
    Other(Box<[Send]>),
}

impl Sends {
    pub(super) fn as_slice(&self) -> &[Send] {
        match self {
            Self::One(send) => std::slice::from_ref(send),
            Self::Other(sends) => sends,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Send] {
        match self {
            Self::One(send) => std::slice::from_mut(send),
            Self::Other(sends) => sends,
        }
    }
}

/// The records of one worker.
#[derive(Debug, Default)]
pub struct Lane {
    pub(super) rows: Vec<Row>,
    pub(super) said: Vec<Said>,
    numbers: HashMap<Said, SaidNo>,
}

impl Lane {
    /// Closes an operation whose outcome is known, whole answer read.
    pub fn complete(&mut self, recorder: &Recorder, open: Open, ended: Ended) {
        debug_assert!(ended != Ended::Unknown, "an unknown outcome is no completion");
        self.push(open, ended, recorder.moment());
    }

    /// Gives an operation up for good: its outcome stays unknown. This takes a place too, that of
    /// the `info` in Jepsen's files.
    pub fn leave_unknown(&mut self, recorder: &Recorder, open: Open) {
        self.push(open, Ended::Unknown, recorder.moment());
    }

    /// How many operations it holds.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn push(&mut self, open: Open, ended: Ended, closed: Moment) {
        let sends: Vec<Send> = open.sends.into_iter().map(|sent| self.pack(sent)).collect();
        let sends = match sends[..] {
            [only] => Sends::One(only),
            _ => Sends::Other(sends.into()),
        };
        self.rows.push(Row {
            invoked: open.invoked,
            closed,
            request: open.request.map_or(0, |request| request.0),
            process: open.process,
            asked: open.asked,
            ended,
            sends,
        });
    }

    fn pack(&mut self, sent: Sent) -> Send {
        Send {
            sent_ns: sent.sent_ns,
            ended_ns: sent.ended_ns,
            number: sent.number,
            node: u16::try_from(sent.node).unwrap_or(u16::MAX),
            said: self.number_of(sent.said),
        }
    }

    fn number_of(&mut self, said: Said) -> SaidNo {
        if let Some(number) = self.numbers.get(&said) {
            return *number;
        }
        let said = if self.said.len() < SAID_MAX { said } else { "(another text)".into() };
        let number = SaidNo(u16::try_from(self.said.len()).unwrap_or(u16::MAX));
        if self.said.len() <= SAID_MAX {
            self.said.push(said.clone());
            self.numbers.insert(said, number);
            return number;
        }
        SaidNo(SAID_MAX as u16)
    }
}
