//! Receipts: a chain of hashes over the orders, each of which commits to all before it.
//!
//! Owns what is hashed, which is frozen: receipts are shown to buyers, and recomputed by whoever
//! doubts an order. They are derived from the events alone, so they are in no snapshot and in no
//! state hash. Called by the machine, by readers of its history, and by `flashctl`.
//!
//! The receipt of an order is the first 128 bits, in hex, of BLAKE3 over these lines, each ended
//! by a newline (no id holds a space or a newline):
//! ```text
//! flashnode-receipt-1
//! <receipt of the order before; 32 zeros for the first>
//! <order id> <log time in ms> <user id> <request id> <hold id, or ->
//! <product id> <quantity> <remaining>        one line for each item, by product id
//! ```

use crate::{Event, InvalidId, Line, OrderContent, Seq};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

const FORMAT: &str = "flashnode-receipt-1";

/// The receipt of an order; in JSON a text of 32 hex digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Receipt(u128);

impl Receipt {
    /// What the first order follows.
    pub const START: Self = Self(0);

    /// The receipt of the order that follows the one of this receipt.
    #[must_use]
    pub fn next(self, order: Seq, at_ms: u64, content: &OrderContent<'_>) -> Self {
        let OrderContent { user, request_id, hold, lines } = content;
        let mut text = Text(Vec::with_capacity(512));
        text.word(FORMAT, b'\n');
        text.receipt(self);
        text.number(order.0, b' ');
        text.number(at_ms, b' ');
        text.word(user.as_str(), b' ');
        text.word(request_id.as_str(), b' ');
        match hold {
            Some(hold) => text.number(hold.0, b'\n'),
            None => text.word("-", b'\n'),
        }
        for Line { sku, quantity, available } in lines {
            text.word(sku.as_str(), b' ');
            text.number(quantity.get().into(), b' ');
            text.number(*available, b'\n');
        }
        let mut first = [0; 16];
        first.copy_from_slice(&blake3::hash(&text.0).as_bytes()[..16]);
        Self(u128::from_be_bytes(first))
    }
}

/// What is hashed. Written by hand: every order of a sale passes here, and `fmt` takes as long as
/// the hash.
struct Text(Vec<u8>);

impl Text {
    fn word(&mut self, word: &str, end: u8) {
        self.0.extend_from_slice(word.as_bytes());
        self.0.push(end);
    }

    fn number(&mut self, mut number: u64, end: u8) {
        // The longest has 20 digits.
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[first..]);
        self.0.push(end);
    }

    fn receipt(&mut self, receipt: Receipt) {
        let half_bytes = (0..32).rev().map(|place| (receipt.0 >> (place * 4)) as usize & 0xf);
        self.0.extend(half_bytes.map(|half| b"0123456789abcdef"[half]));
        self.0.push(b'\n');
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TryFrom<String> for Receipt {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(&text, 16).ok();
        number.filter(|_| digits && text.len() == 32).map(Self).ok_or(InvalidId {
            kind: "receipt",
            problem: "is none",
            rule: "use 32 of 0-9 a-f",
        })
    }
}

/// The orders up to a change: how many there are, and the receipt of the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The change; 0 before the first.
    pub seq: Seq,
    /// Orders up to it.
    pub orders: u64,
    /// The receipt of the last of them.
    pub receipt: Receipt,
}

impl Chain {
    /// Goes on by the next change; whether it was an order.
    ///
    /// # Panics
    /// When it is not the next.
    pub fn follow(&mut self, event: &Event) -> bool {
        self.follow_order(event).is_some()
    }

    /// The same; the order, if it was one.
    pub(crate) fn follow_order<'a>(&mut self, event: &'a Event) -> Option<OrderContent<'a>> {
        assert!(self.seq.0 + 1 == event.seq.0, "the change {} does not follow {self:?}", event.seq);
        self.seq = event.seq;
        let order = event.change.order();
        if let Some(content) = &order {
            self.orders += 1;
            self.receipt = self.receipt.next(event.seq, event.at_ms, content);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantity;

    fn line(sku: &str, units: u64, available: u64) -> Line {
        Line { sku: sku.parse().unwrap(), quantity: Quantity::new(units).unwrap(), available }
    }

    /// From `printf '…' | b3sum | cut -c -32`: anybody can recompute a receipt.
    #[test]
    fn receipts_are_frozen() {
        let (user, request_id) = ("ann".parse().unwrap(), "k-1".parse().unwrap());
        let lines = vec![line("tee", 2, 298)];
        let bought = OrderContent { user: &user, request_id: &request_id, hold: None, lines };
        let first = Receipt::START.next(Seq(2), 1_763_715_600_000, &bought);
        assert_eq!(first.to_string(), "3b09e850243e8d0986bbadddf88cfbca");
        let lines = vec![line("cap", 1, 9), line("tee", 1, 297)];
        let confirmed = OrderContent { hold: Some(Seq(3)), lines, ..bought };
        let second = first.next(Seq(4), 1_763_715_600_001, &confirmed);
        assert_eq!(second.to_string(), "2401d68b42519705bb098add20c4dd36");
        let json = format!("\"{second}\"");
        assert_eq!(serde_plain(&json), Ok(second));
        assert!(serde_plain("\"00\"").is_err());
        assert!(serde_plain(&json.to_uppercase()).is_err());
    }

    #[test]
    fn numbers_are_written_as_people_write_them() {
        let mut text = Text(Vec::new());
        for number in [0, 7, 10, 1_763_715_600_000, u64::MAX] {
            text.number(number, b' ');
        }
        text.receipt(Receipt(0x0123_4567_89ab_cdef));
        let want = "0 7 10 1763715600000 18446744073709551615 \
                    00000000000000000123456789abcdef\n";
        assert_eq!(String::from_utf8(text.0).unwrap(), want);
    }

    fn serde_plain(json: &str) -> Result<Receipt, InvalidId> {
        Receipt::try_from(json.trim_matches('"').to_owned())
    }
}
