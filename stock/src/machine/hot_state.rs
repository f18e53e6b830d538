//! Snapshots of the machine: what the events do not carry of its state.
//!
//! Events carry the orders and the holds, so a snapshot need not: its size goes with the products
//! and the stored outcomes. Owns the encoding, which is a disk format: a state that an older build
//! can have is written as that build wrote it. Called by `raft`, which keeps it in a file.

use super::Machine;
use super::catalog::Catalog;
use crate::cursors::Cursor;
use crate::keys::Note;
use crate::stored::{Outcomes, Share, StoredOutcome};
use crate::{CursorName, CursorTarget, Product, Rules, Seq, Sku};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What the events do not carry of a machine's state, and what they must add up to.
///
/// Encoded into snapshots. The first layout, of [`Rules::One`], has the fields up to `stored`; the
/// second begins with what the first cannot; the third has keys and cursors besides, and is written
/// when there are any or from [`Rules::Three`] on; the fourth is that of [`Rules::Four`] and of
/// cursors that say what they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotState {
    /// The number of changes, and so of events, behind this state.
    pub seq: Seq,
    /// The machine's clock, in milliseconds since the Unix epoch.
    pub log_time_ms: u64,
    /// The hash of the whole state, orders included.
    pub state_hash: u128,
    /// All products, by id.
    pub products: Vec<Product>,
    /// Users' stored outcomes by request fingerprint, oldest first; with those of shares that there
    /// are not under the rules.
    pub(crate) stored: Vec<(u128, StoredOutcome)>,
    /// The rules that the machine goes by.
    pub(crate) rules: Rules,
    /// The last change whose request is forgotten although it was done.
    pub(crate) done_after: Seq,
    /// The last change that ended a hold which is forgotten.
    pub(crate) settled_after: Seq,
    /// Operators' stored outcomes, as `stored`.
    pub(crate) operator_stored: Vec<(u128, StoredOutcome)>,
    /// What is noted of products as counters.
    pub(crate) keys: Vec<(Sku, Note)>,
    /// All cursors.
    pub(crate) cursors: Vec<(CursorName, Cursor)>,
    /// Counters' stored outcomes, as `stored`.
    pub(crate) counter_stored: Vec<(u128, StoredOutcome)>,
    /// What cursors are for, where that was said.
    pub(crate) cursor_targets: Vec<(CursorName, CursorTarget)>,
}

/// What a [`HotState`] comes of: a copy of the machine's that still shares the products and the
/// stored outcomes with it. It is encoded as the state itself would be, without becoming one.
///
/// While it is kept, the machine copies what it changes of them, so it should soon be encoded.
#[derive(Debug)]
pub struct HotCopy {
    /// Without the products and the stored outcomes.
    hot: HotState,
    products: Catalog,
    /// Of users, operators and counters.
    stored: [Outcomes; 3],
}

impl HotCopy {
    /// The number of changes behind the state.
    pub fn seq(&self) -> Seq {
        self.hot.seq
    }

    /// The complete state. Costs time and memory with the products and the stored outcomes.
    fn finish(self) -> HotState {
        let products = self.products.values().map(|slot| slot.product.clone()).collect();
        let [stored, operator_stored, counter_stored] =
            self.stored.map(|outcomes| outcomes.iter().cloned().collect());
        HotState { products, stored, operator_stored, counter_stored, ..self.hot }
    }
}

impl Machine {
    /// A copy of what the events do not carry. Costs time and memory with the number of products
    /// and stored outcomes, not of orders or holds.
    pub fn hot_state(&self) -> HotState {
        self.hot_copy().finish()
    }

    /// The same, sharing what is large with the machine. It costs a moment for some dozens of
    /// products and one for some hundred stored outcomes; keys and cursors are copied.
    pub fn hot_copy(&self) -> HotCopy {
        let hot = HotState {
            seq: self.seq,
            log_time_ms: self.log_time_ms,
            state_hash: self.state_hash(),
            products: Vec::new(),
            stored: Vec::new(),
            rules: self.rules,
            done_after: self.requests.done_after(),
            settled_after: self.holds.forgotten(),
            operator_stored: Vec::new(),
            keys: self.keys.iter().map(|(sku, note)| (sku.clone(), note)).collect(),
            cursors: self.cursors.iter().map(|(name, at)| (name.clone(), at)).collect(),
            counter_stored: Vec::new(),
            cursor_targets: {
                let targets = self.cursors.targets();
                targets.map(|(name, target)| (name.clone(), target.clone())).collect()
            },
        };
        let stored = [Share::Users, Share::Operators, Share::Counters]
            .map(|share| self.requests.stored(share).clone());
        HotCopy { hot, products: self.products.clone(), stored }
    }
}

/// Stands where the first layout has `seq`; no machine comes so far.
const NO_SEQ: Seq = Seq(u64::MAX);
/// The second layout.
const FORMAT_TWO: u8 = 2;
/// The third layout.
const FORMAT_THREE: u8 = 3;
/// The fourth layout, the newest.
const FORMAT: u8 = 4;

/// All fields of the second layout, in its order.
type Fields<P, S> = (Seq, u64, u128, P, S, Rules, Seq, Seq, S);
/// What the third has after them.
type Further = (Vec<(Sku, Note)>, Vec<(CursorName, Cursor)>);
/// And the fourth after those.
type Newest = (Vec<(u128, StoredOutcome)>, Vec<(CursorName, CursorTarget)>);

impl Serialize for HotState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { products, stored, operator_stored, counter_stored, .. } = self;
        self.encode(products, [stored, operator_stored, counter_stored], serializer)
    }
}

/// As the [`HotState`] that it would become.
impl Serialize for HotCopy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.hot.encode(&self.products, self.stored.each_ref(), serializer)
    }
}

impl HotState {
    /// Encodes this state with these products and these stored outcomes of users, operators and
    /// counters.
    fn encode<P: Serialize, Q: Serialize, S: Serializer>(
        &self,
        products: &P,
        [stored, operator_stored, counter_stored]: [&Q; 3],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Self { seq, log_time_ms, state_hash, .. } = self;
        let has_further = !self.keys.is_empty() || !self.cursors.is_empty();
        if self.rules == Rules::One && !has_further {
            return (seq, log_time_ms, state_hash, products, stored).serialize(serializer);
        }
        let fields: Fields<&P, &Q> = (
            *seq,
            *log_time_ms,
            *state_hash,
            products,
            stored,
            self.rules,
            self.done_after,
            self.settled_after,
            operator_stored,
        );
        if self.rules < Rules::Three && !has_further {
            return (NO_SEQ, FORMAT_TWO, fields).serialize(serializer);
        }
        let further = (&self.keys, &self.cursors);
        if self.rules < Rules::Four && self.cursor_targets.is_empty() {
            return (NO_SEQ, FORMAT_THREE, fields, further).serialize(serializer);
        }
        let newest = (counter_stored, &self.cursor_targets);
        (NO_SEQ, FORMAT, fields, further, newest).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HotState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // At most: some have three or four.
        const PARTS_MAX: usize = 5;
        deserializer.deserialize_tuple(PARTS_MAX, HotStateVisitor)
    }
}

struct HotStateVisitor;

impl<'de> Visitor<'de> for HotStateVisitor {
    type Value = HotState;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the hot state of a machine")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<HotState, A::Error> {
        let seq: Seq = part(&mut parts)?;
        if seq != NO_SEQ {
            return Ok(HotState {
                seq,
                log_time_ms: part(&mut parts)?,
                state_hash: part(&mut parts)?,
                products: part(&mut parts)?,
                stored: part(&mut parts)?,
                rules: Rules::One,
                done_after: Seq(0),
                settled_after: Seq(0),
                operator_stored: Vec::new(),
                keys: Vec::new(),
                cursors: Vec::new(),
                counter_stored: Vec::new(),
                cursor_targets: Vec::new(),
            });
        }
        let format: u8 = part(&mut parts)?;
        if !(FORMAT_TWO..=FORMAT).contains(&format) {
            return Err(de::Error::custom(format_args!(
                "the hot state has format {format}; this build reads up to {FORMAT}"
            )));
        }
        let fields: Fields<Vec<Product>, Vec<(u128, StoredOutcome)>> = part(&mut parts)?;
        let (seq, log_time_ms, state_hash, products, stored, ..) = fields;
        let (.., rules, done_after, settled_after, operator_stored) = fields;
        let further: Further = match format {
            FORMAT_TWO => Further::default(),
            _ => part(&mut parts)?,
        };
        let newest: Newest = match format {
            FORMAT_TWO | FORMAT_THREE => Newest::default(),
            _ => part(&mut parts)?,
        };
        let ((keys, cursors), (counter_stored, cursor_targets)) = (further, newest);
        Ok(HotState {
            seq,
            log_time_ms,
            state_hash,
            products,
            stored,
            rules,
            done_after,
            settled_after,
            operator_stored,
            keys,
            cursors,
            counter_stored,
            cursor_targets,
        })
    }
}

fn part<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(parts: &mut A) -> Result<T, A::Error> {
    parts.next_element()?.ok_or_else(|| de::Error::custom("the hot state breaks off"))
}
