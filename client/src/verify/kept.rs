//! A copy of the orders that somebody kept, beside the orders of the cluster.
//!
//! Owns: the two forms that such a copy has, read order by order, and what it says of itself: the
//! state that it is of, and that it is whole. Called by `flashctl order verify --file`.

use super::{Misfit, Verified, Walk, Why, same};
use crate::reads::{Consistency, Reads};
use crate::{Client, ClientError};
use reqwest::Method;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use stock::api::{ExportLine, OrderList, OrderView};
use stock::{Receipt, Seq};

/// Why a copy cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The file cannot.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no copy.
    #[error(
        "it is neither what `flashctl export` nor what `flashctl order list --all --json` prints: \
         {0}"
    )]
    Form(serde_json::Error),
    /// A line of an export is none.
    #[error("line {line}: {why}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        why: serde_json::Error,
    },
    /// An export is not whole.
    #[error("the export was cut off, or lines of it are gone: it has {lines}, and {told}")]
    Cut {
        /// Lines before its end.
        lines: u64,
        /// What it says of itself.
        told: String,
    },
    /// There is nothing in it that could fit or not.
    #[error("it holds no orders, so there is nothing to verify")]
    Empty,
}

/// Why a copy could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The cluster cannot.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A copy that somebody kept, read from its first order on.
#[derive(Debug)]
pub struct KeptCopy {
    /// The state that it is of, if it says that it has all orders up to there.
    whole_at: Option<Seq>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// What `order list --json` prints.
    List(std::vec::IntoIter<OrderView>),
    /// What `export` writes.
    Export(Lines),
}

#[derive(Debug)]
struct Lines {
    file: BufReader<File>,
    text: String,
    /// Read so far.
    count: u64,
    ended: bool,
}

impl Lines {
    /// The next line; none at the end of the file.
    fn read(&mut self) -> Result<Option<ExportLine>, CopyError> {
        self.text.clear();
        if self.file.read_line(&mut self.text)? == 0 {
            return Ok(None);
        }
        let line = self.count + 1;
        let read = serde_json::from_str(&self.text).map_err(|why| CopyError::Line { line, why })?;
        self.count = line;
        Ok(Some(read))
    }

    fn order(&mut self) -> Result<Option<OrderView>, CopyError> {
        while !self.ended {
            let before = self.count;
            match self.read()? {
                Some(ExportLine::Order(order)) => return Ok(Some(order)),
                Some(ExportLine::End { lines }) if lines == before => self.ended = true,
                Some(ExportLine::End { lines }) => {
                    let told = format!("its last line counts {lines}");
                    return Err(CopyError::Cut { lines: before, told });
                }
                Some(_) => {}
                None => {
                    let told = "its last line is missing".into();
                    return Err(CopyError::Cut { lines: before, told });
                }
            }
        }
        Ok(None)
    }
}

impl KeptCopy {
    /// Opens a copy: an export, or a list of orders.
    ///
    /// # Errors
    /// [`CopyError`] when it is neither.
    pub fn open(path: &Path) -> Result<Self, CopyError> {
        let (file, text) = (BufReader::new(File::open(path)?), String::new());
        let mut lines = Lines { file, text, count: 0, ended: false };
        // Only an export has a whole document, its head, on its first line.
        if let Ok(Some(ExportLine::Head { seq, .. })) = lines.read() {
            return Ok(Self { whole_at: Some(seq), source: Source::Export(lines) });
        }
        let mut bytes = lines.text.into_bytes();
        lines.file.read_to_end(&mut bytes)?;
        let list: OrderList = serde_json::from_slice(&bytes).map_err(CopyError::Form)?;
        let whole_at = list.next_after.is_none().then_some(list.seq);
        Ok(Self { whole_at, source: Source::List(list.orders.into_iter()) })
    }

    /// The next order; none after the last.
    ///
    /// # Errors
    /// [`CopyError`].
    fn next(&mut self) -> Result<Option<OrderView>, CopyError> {
        match &mut self.source {
            Source::List(orders) => Ok(orders.next()),
            Source::Export(lines) => lines.order(),
        }
    }

    /// Checks it for itself: whether each receipt follows from its order and those before.
    ///
    /// # Errors
    /// [`CopyError`], also when it holds no orders.
    pub fn verify_alone(mut self) -> Result<Verified, CopyError> {
        let mut walk = Walk::default();
        while let Some(order) = self.next()? {
            if let Err(misfit) = walk.step(&order) {
                return Ok(Verified::Misfit(misfit));
            }
        }
        if walk.orders == 0 { Err(CopyError::Empty) } else { Ok(walk.end()) }
    }
}

/// What comparing a copy with the cluster came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// The cluster has every order of the copy, in its place.
    Same(Beside),
    /// The first that it has not, or that does not fit.
    Differs(Misfit),
}

/// A copy beside the cluster that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beside {
    /// Orders in the copy.
    pub orders: u64,
    /// The receipt of the last of them.
    pub receipt: Receipt,
    /// Orders in the cluster: the copy's, and those after them.
    pub of: u64,
    /// Orders of the copy that are cancelled in the cluster, and not in the copy.
    pub cancelled_since: u64,
}

/// Takes the orders of a copy, each beside the cluster's in that place.
#[derive(Debug, Clone, Copy, Default)]
struct Comparison {
    walk: Walk,
    cancelled_since: u64,
}

impl Comparison {
    fn step(&mut self, order: &OrderView, theirs: Option<&OrderView>) -> Result<(), Misfit> {
        self.walk.step(order)?;
        let misfit =
            |why| Err(Misfit { node: None, order: order.order_id, place: order.place, why });
        let Some(theirs) = theirs else { return misfit(Why::Beyond) };
        if !same(order, theirs) {
            let OrderView { order_id, receipt, .. } = *theirs;
            return misfit(Why::Another { order: order_id, receipt });
        }
        match (order.cancelled, theirs.cancelled) {
            (true, false) => return misfit(Why::Mark),
            (false, true) => self.cancelled_since += 1,
            _ => {}
        }
        Ok(())
    }

    /// After the copy's last order: the next of the cluster, which must be of a later state than
    /// the one that all of the copy is said to be of.
    fn left(&self, whole_at: Option<Seq>, next: Option<&OrderView>) -> Result<(), Misfit> {
        match (whole_at, next) {
            (Some(at), Some(&OrderView { order_id: order, .. })) if order <= at => {
                let (place, why) = (self.walk.orders + 1, Why::Left { at });
                Err(Misfit { node: None, order, place, why })
            }
            _ => Ok(()),
        }
    }
}

/// The cluster's orders, one after the other.
struct Theirs {
    client: Client,
    page: VecDeque<OrderView>,
    /// After which order the next page begins.
    next_after: Option<Seq>,
}

impl Theirs {
    async fn next(&mut self) -> Result<Option<OrderView>, ClientError> {
        loop {
            if let Some(order) = self.page.pop_front() {
                return Ok(Some(order));
            }
            let Some(after) = self.next_after else { return Ok(None) };
            let list = self.client.orders_after(after).await?;
            (self.page, self.next_after) = (list.orders.into(), list.next_after);
        }
    }
}

impl Client {
    /// Compares a copy with the cluster, order by order: each must have the same content, place
    /// and receipt there. An order may have been cancelled since.
    ///
    /// # Errors
    /// [`CopyError`] when the copy cannot be read or holds no orders, [`ClientError::Unavailable`].
    pub async fn verify_copy(&self, mut copy: KeptCopy) -> Result<Compared, VerifyError> {
        // Linearizable: what any node has applied up to here is no older than the copy.
        let newest: OrderList = self.ask(Method::GET, "v1/orders?limit=1", None).await?;
        let reads = Reads { consistency: Consistency::Stale, min_seq: newest.seq };
        let (page, next_after) = (VecDeque::new(), Some(Seq(0)));
        let mut theirs = Theirs { client: self.reading(reads), page, next_after };
        let mut comparison = Comparison::default();
        while let Some(order) = copy.next()? {
            let beside = theirs.next().await?;
            if let Err(misfit) = comparison.step(&order, beside.as_ref()) {
                return Ok(Compared::Differs(misfit));
            }
        }
        let Comparison { walk: Walk { orders, receipt, .. }, cancelled_since } = comparison;
        if orders == 0 {
            return Err(CopyError::Empty.into());
        }
        let next = theirs.next().await?;
        if let Err(misfit) = comparison.left(copy.whole_at, next.as_ref()) {
            return Ok(Compared::Differs(misfit));
        }
        let of = match next {
            None => orders,
            // Counted by the node, which walks over none of them.
            Some(next) => self.explain(&next.user_id, &next.request_id, None).await?.orders,
        };
        Ok(Compared::Same(Beside { orders, receipt, of, cancelled_since }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::chain;
    use super::*;
    use std::io::Write as _;

    /// The copy for itself.
    fn alone(orders: &[OrderView]) -> Verified {
        let mut walk = Walk::default();
        match orders.iter().try_for_each(|order| walk.step(order)) {
            Ok(()) => walk.end(),
            Err(misfit) => Verified::Misfit(misfit),
        }
    }

    /// The copy, of the whole state at this seq, beside what the cluster has.
    fn beside(copy: &[OrderView], at: u64, cluster: &[OrderView]) -> Result<(u64, u64), Misfit> {
        let mut comparison = Comparison::default();
        for (place, order) in copy.iter().enumerate() {
            comparison.step(order, cluster.get(place))?;
        }
        comparison.left(Some(Seq(at)), cluster.get(copy.len()))?;
        Ok((comparison.walk.orders, comparison.cancelled_since))
    }

    #[test]
    fn a_sound_copy_ends_with_its_last_receipt() {
        let orders = chain(5);
        let receipt = orders[4].receipt;
        assert_eq!(alone(&orders), Verified::Sound { orders: 5, receipt });
    }

    /// Every byte of the copy's JSON, flipped in its lowest bit: what is still a copy of orders is
    /// found out, at the order that it is in, but for the mark of a cancel, which is no part of it.
    #[test]
    fn one_flipped_byte_is_found() {
        let orders = chain(3);
        let sound = serde_json::to_vec(&orders).unwrap();
        let ends: Vec<usize> =
            (1..=3).map(|count| serde_json::to_vec(&orders[..count]).unwrap().len() - 1).collect();
        let mut found = 0;
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            let Ok(flipped) = serde_json::from_slice::<Vec<OrderView>>(&bytes) else { continue };
            if flipped == orders {
                continue;
            }
            let Verified::Misfit(misfit) = alone(&flipped) else {
                panic!("not found at {at}: {}", String::from_utf8_lossy(&bytes))
            };
            let place = ends.iter().filter(|end| **end <= at).count() as u64 + 1;
            assert_eq!(misfit.place, place, "{}", String::from_utf8_lossy(&bytes));
            found += 1;
        }
        assert!(found > 100, "only {found} flips left orders");
    }

    #[test]
    fn a_missing_or_moved_order_is_found() {
        let orders = chain(4);
        for (copy, place) in [
            ([&orders[..1], &orders[2..]].concat(), 2),
            (orders[1..].to_vec(), 1),
            (vec![orders[0].clone(), orders[2].clone(), orders[1].clone()], 2),
            (vec![orders[0].clone(), orders[0].clone()], 2),
        ] {
            assert!(matches!(alone(&copy), Verified::Misfit(misfit) if misfit.place == place));
        }
    }

    #[test]
    fn a_copy_must_be_the_clusters() {
        let orders = chain(5);
        assert_eq!(beside(&orders, 10, &orders), Ok((5, 0)));
        assert_eq!(beside(&orders[..3], 7, &orders), Ok((3, 0)), "it ends before the fourth");
        let misfit = |copy: &[OrderView], at, cluster: &[OrderView]| {
            let misfit = beside(copy, at, cluster).unwrap_err();
            (misfit.order, misfit.place, misfit.why)
        };
        // Of state 8, in which there was a fourth.
        let left = Why::Left { at: Seq(8) };
        assert_eq!(misfit(&orders[..3], 8, &orders), (Seq(8), 4, left));
        assert_eq!(misfit(&orders, 10, &orders[..4]), (Seq(10), 5, Why::Beyond));
        // Altered from the third on, with receipts that fit it.
        let mut forged = orders.clone();
        forged[2].user_id = "mallory".parse().unwrap();
        let mut before = forged[1].receipt;
        for order in &mut forged[2..] {
            order.receipt = order.receipt_after(before);
            before = order.receipt;
        }
        assert!(matches!(alone(&forged), Verified::Sound { orders: 5, .. }), "it fits for itself");
        let another = Why::Another { order: Seq(6), receipt: orders[2].receipt };
        assert_eq!(misfit(&forged, 10, &orders), (Seq(6), 3, another));
    }

    #[test]
    fn an_order_may_be_cancelled_since_and_not_before() {
        let orders = chain(3);
        let mut cancelled = orders.clone();
        cancelled[1].cancelled = true;
        assert_eq!(beside(&orders, 6, &cancelled), Ok((3, 1)));
        assert_eq!(beside(&cancelled, 6, &cancelled), Ok((3, 0)));
        let misfit = beside(&cancelled, 6, &orders).unwrap_err();
        assert_eq!((misfit.order, misfit.place, misfit.why), (Seq(4), 2, Why::Mark));
    }

    /// As `export` writes it.
    fn export(orders: &[OrderView], counted: Option<u64>) -> String {
        let head = ExportLine::Head { seq: Seq(10), log_time_ms: 0, state_hash: "0".into() };
        let mut lines = vec![head];
        lines.extend(orders.iter().cloned().map(ExportLine::Order));
        lines.extend(counted.map(|lines| ExportLine::End { lines }));
        lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
    }

    fn open(text: &str) -> Result<KeptCopy, CopyError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        KeptCopy::open(file.path())
    }

    #[test]
    fn both_forms_are_read() {
        let orders = chain(5);
        let sound = Verified::Sound { orders: 5, receipt: orders[4].receipt };
        let list = |next_after| OrderList { orders: orders.clone(), next_after, seq: Seq(11) };
        for (text, whole_at) in [
            (export(&orders, Some(6)), Some(Seq(10))),
            (serde_json::to_string(&list(None)).unwrap(), Some(Seq(11))),
            (serde_json::to_string_pretty(&list(None)).unwrap(), Some(Seq(11))),
            // One page of several.
            (serde_json::to_string_pretty(&list(Some(Seq(10)))).unwrap(), None),
        ] {
            let copy = open(&text).unwrap();
            assert_eq!(copy.whole_at, whole_at, "{text}");
            assert_eq!(copy.verify_alone().unwrap(), sound, "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_copy_says_so() {
        let orders = chain(5);
        let nothing = OrderList { orders: Vec::new(), next_after: None, seq: Seq(4) };
        let (nothing, whole) = (serde_json::to_string(&nothing).unwrap(), export(&orders, Some(6)));
        let without_head = whole.split_once('\n').unwrap().1;
        for (text, told) in [
            ("", "it is neither"),
            ("{}", "it is neither"),
            (&whole[..whole.len() / 2], "line "),
            (without_head, "it is neither"),
            (export(&orders, None).as_str(), "its last line is missing"),
            (export(&orders[..4], Some(6)).as_str(), "its last line counts 6"),
            (export(&[], Some(1)).as_str(), "no orders"),
            (nothing.as_str(), "no orders"),
        ] {
            let why = open(text).and_then(KeptCopy::verify_alone).unwrap_err().to_string();
            assert!(why.contains(told), "{text}: {why}");
        }
    }
}
