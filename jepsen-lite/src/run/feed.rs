//! The change feed of a cluster that is quiet: which holds ran out, and whether two nodes tell one
//! history.
//!
//! Owns: reading server-sent events. Nobody is answered when a hold runs out, so an expiry is what
//! the feed logs. Never does: judge whether it could be; the model does. Called by `evidence`.

use crate::recorder::{Asked, Lane, ProductNo, Recorder};
use checker::flashnode::{Answer, Ended, Outcome};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;
use stock::Seq;
use stock::api::{ChangeView, EventView};

const CONNECT: Duration = Duration::from_secs(2);
/// The longest silence of a node that has more to tell.
const SILENCE: Duration = Duration::from_secs(20);

/// Why a feed shows nothing, or what it shows that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It could not be read to its end, or is not understood.
    Unread(String),
    /// It has a gap or a repeat, or two nodes tell of different changes.
    Broken(String),
}

/// A hold that ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    product: ProductNo,
    hold: Seq,
    answer: (u64, u64),
    /// Log time.
    at_ms: u64,
}

/// What one node's feed tells, from the first change on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    expiries: Vec<Expiry>,
    /// One of each change, in order: the first is of change 1.
    digests: Vec<u64>,
}

/// Reads the feeds of the first two of these nodes up to `until`, and compares them.
pub(super) async fn read(addresses: &[String], until: u64) -> Result<Vec<Expiry>, Trouble> {
    let http = http().map_err(|error| Trouble::Unread(error.to_string()))?;
    let mut told = Vec::new();
    for (address, node) in addresses.iter().take(2).zip(1_u64..) {
        let read = read_one(&http, address, until).await;
        told.push(read.map_err(|trouble| trouble.of(node))?);
    }
    let [one, other] = &mut told[..] else {
        return Err(Trouble::Unread("there are not two nodes to compare".into()));
    };
    match first_difference(&one.digests, &other.digests) {
        Some(seq) => {
            Err(Trouble::Broken(format!("the feeds of nodes 1 and 2 differ in change {seq}")))
        }
        None => Ok(std::mem::take(&mut one.expiries)),
    }
}

/// A client of answers without a bound on their length.
pub(super) fn http() -> reqwest::Result<reqwest::Client> {
    let client = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT);
    client.read_timeout(SILENCE).build()
}

/// Expiries as records. They have no place in real time: they are told of when all is over.
pub(super) fn lane(recorder: &Recorder, process: u32, expiries: &[Expiry]) -> Lane {
    let mut lane = Lane::default();
    for Expiry { product, hold, answer: (seq, remaining), at_ms } in expiries {
        let open = recorder.invoke(process, Asked::Expire { product: *product, hold: *hold });
        let outcome = Outcome::Hold { hold: hold.0, remaining: *remaining, log_ms: Some(*at_ms) };
        let answer = Answer { seq: *seq, outcome };
        lane.complete(recorder, open, Ended::Decided { answer, replayed: false });
    }
    lane
}

async fn read_one(http: &reqwest::Client, address: &str, until: u64) -> Result<Told, Trouble> {
    let unread = |error: reqwest::Error| Trouble::Unread(error.to_string());
    let url = format!("http://{address}/v1/events");
    let asked = http.get(url).header("Last-Event-ID", "0");
    let mut answer = asked.send().await.map_err(unread)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(Trouble::Unread(format!("it answers {}", answer.status())));
    }
    let mut reader = Reader { until, rest: Vec::new(), told: Told::default() };
    while !reader.is_done() {
        match answer.chunk().await.map_err(unread)? {
            Some(text) => reader.push(&text)?,
            None => return Err(Trouble::Unread(format!("it ends after {}", reader.last()))),
        }
    }
    Ok(reader.told)
}

fn first_difference(one: &[u64], other: &[u64]) -> Option<usize> {
    let longest = one.len().max(other.len());
    (0..longest).find(|&at| one.get(at) != other.get(at)).map(|at| at + 1)
}

impl Trouble {
    fn of(self, node: u64) -> Self {
        let words = |what: String| format!("the feed of node {node}: {what}");
        match self {
            Self::Unread(what) => Self::Unread(words(what)),
            Self::Broken(what) => Self::Broken(words(what)),
        }
    }
}

/// A feed that is being read.
struct Reader {
    until: u64,
    /// The beginning of an event.
    rest: Vec<u8>,
    told: Told,
}

impl Reader {
    fn is_done(&self) -> bool {
        self.last() >= self.until
    }

    fn last(&self) -> u64 {
        self.told.digests.len() as u64
    }

    fn push(&mut self, text: &[u8]) -> Result<(), Trouble> {
        self.rest.extend_from_slice(text);
        let rest = std::mem::take(&mut self.rest);
        let mut read = 0;
        while let Some(length) = rest[read..].windows(2).position(|pair| pair == b"\n\n") {
            if self.is_done() {
                return Ok(());
            }
            let event = std::str::from_utf8(&rest[read..read + length]);
            self.event(event.map_err(|error| Trouble::Unread(error.to_string()))?)?;
            read += length + 2;
        }
        self.rest = rest[read..].to_vec();
        Ok(())
    }

    /// Takes one event; what has no id is a comment.
    fn event(&mut self, text: &str) -> Result<(), Trouble> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let (Some(id), Some(data)) = (field("id: "), field("data: ")) else { return Ok(()) };
        let next = self.last() + 1;
        if id.parse() != Ok(next) {
            return Err(Trouble::Broken(format!("change {id} comes where {next} would")));
        }
        let mut digest = DefaultHasher::new();
        data.hash(&mut digest);
        self.told.digests.push(digest.finish());
        if field("event: ") == Some("expired") {
            let odd = || Trouble::Unread(format!("this expiry is not understood: {data}"));
            self.told.expiries.push(expiry(data).filter(|it| it.answer.0 == next).ok_or_else(odd)?);
        }
        Ok(())
    }
}

fn expiry(data: &str) -> Option<Expiry> {
    let EventView { seq, at_ms, change } = serde_json::from_str(data).ok()?;
    let ChangeView::Expired { hold_id: hold, items, .. } = change else { return None };
    // Clients here hold one product at a time.
    let [line] = &items[..] else { return None };
    let product = ProductNo::of(&line.product_id)?;
    Some(Expiry { product, hold, answer: (seq.0, line.remaining), at_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restocked(seq: u64) -> String {
        let data = format!(
            "{{\"seq\":{seq},\"at_ms\":5,\"change\":\"restocked\",\"product_id\":\"p-3\",\
             \"quantity\":1,\"remaining\":{seq}}}"
        );
        format!("id: {seq}\nevent: restocked\ndata: {data}\n\n")
    }

    fn expired(seq: u64) -> String {
        let data = format!(
            "{{\"seq\":{seq},\"at_ms\":5,\"change\":\"expired\",\"hold_id\":1,\"user_id\":\"u-1\",\
             \"items\":[{{\"product_id\":\"p-3\",\"quantity\":2,\"remaining\":9}}]}}"
        );
        format!("id: {seq}\nevent: expired\ndata: {data}\n\n")
    }

    fn told(text: &str, until: u64, piece: usize) -> Result<Told, Trouble> {
        let mut reader = Reader { until, rest: Vec::new(), told: Told::default() };
        text.as_bytes().chunks(piece).try_for_each(|piece| reader.push(piece))?;
        assert!(reader.is_done(), "{}", reader.last());
        Ok(reader.told)
    }

    #[test]
    fn a_feed_is_read_in_pieces_of_any_size_up_to_where_it_is_to_end() {
        let greeting = ": flashnode\nretry: 500\n\n: still here\n\n";
        let text = [greeting, &restocked(1), &expired(2), &restocked(3), &expired(4)].concat();
        let whole = told(&text, 3, text.len()).unwrap();
        let expiry = Expiry { product: ProductNo(3), hold: Seq(1), answer: (2, 9), at_ms: 5 };
        assert_eq!((&*whole.expiries, whole.digests.len()), (&[expiry][..], 3));
        for piece in 1..40 {
            assert_eq!(told(&text, 3, piece), Ok(told(&text, 3, text.len()).unwrap()));
        }
    }

    #[test]
    fn a_gap_a_repeat_and_another_history_are_seen() {
        let gap = [restocked(1), restocked(3)].concat();
        let repeat = [restocked(1), restocked(1), restocked(2)].concat();
        for text in [gap, repeat] {
            assert!(matches!(told(&text, 2, 64), Err(Trouble::Broken(_))), "{text}");
        }
        let [one, other] = [restocked(2), expired(2)].map(|second| [restocked(1), second].concat());
        let digests = |text: &str| told(text, 2, 64).unwrap().digests;
        assert_eq!(first_difference(&digests(&one), &digests(&one)), None);
        assert_eq!(first_difference(&digests(&one), &digests(&other)), Some(2));
    }

    #[test]
    fn what_is_not_understood_is_no_expiry() {
        let text = expired(1).replace("p-3", "sneaker");
        assert!(matches!(told(&text, 1, 64), Err(Trouble::Unread(_))));
    }
}
