//! What a connection has sent and was not answered yet, and how long a request may take.
//!
//! Owns the bytes and the instant at which the request at their front began. Time is an argument. A
//! client that is idle has begun nothing, however long; what it sends then has its whole time.
//! Called by the connection.

use super::connection::READ_BYTES;
use super::wire::{self, Malformed, Request};
use std::time::Duration;
use tokio::time::Instant;

/// Requests that are answered together; those behind them wait here.
pub(super) const PIPELINE_MAX: usize = 1_024;
/// How long a request may take from its first byte.
pub(super) const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);

/// See the module. Invariant: `began` is there exactly while `unread` is not empty.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    unread: Vec<u8>,
    began: Option<Instant>,
}

impl Inbox {
    /// Where further bytes are put; [`Inbox::arrived`] comes after.
    pub(super) fn room(&mut self, bytes: usize) -> &mut Vec<u8> {
        self.unread.reserve(bytes);
        &mut self.unread
    }

    /// Bytes that were not taken yet.
    pub(super) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Notes when bytes came, if any did.
    pub(super) fn arrived(&mut self, now: Instant) {
        if self.began.is_none() && !self.unread.is_empty() {
            self.began = Some(now);
        }
    }

    /// By when the request at the front has to be whole; none while there is none.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.began.map(|began| began + REQUEST_TIME_MAX)
    }

    /// The whole requests that are here, and what is none behind them.
    pub(super) fn take(&mut self, now: Instant) -> (Vec<Request>, Option<Malformed>) {
        let (mut requests, mut at, mut end) = (Vec::new(), 0, None);
        while requests.len() < PIPELINE_MAX {
            match wire::request(&self.unread[at..]) {
                Ok(Some((request, len))) => {
                    at += len;
                    // An empty array asks for nothing and is answered by nothing.
                    if !request.is_empty() {
                        requests.push(request);
                    }
                }
                Ok(None) => break,
                Err(malformed) => {
                    end = Some(malformed);
                    break;
                }
            }
        }
        self.unread.drain(..at);
        if at > 0 {
            self.began = (!self.unread.is_empty()).then_some(now);
        }
        // Thousands of connections are idle most of the time.
        if self.unread.len() <= READ_BYTES {
            self.unread.shrink_to(READ_BYTES);
        }
        (requests, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

    fn sent(inbox: &mut Inbox, bytes: &[u8], now: Instant) -> usize {
        inbox.room(bytes.len()).extend_from_slice(bytes);
        inbox.arrived(now);
        let (requests, end) = inbox.take(now);
        assert_eq!(end, None);
        requests.len()
    }

    #[test]
    fn an_idle_client_that_sends_byte_by_byte_has_the_whole_time() {
        let (mut inbox, opened) = (Inbox::default(), Instant::now());
        assert_eq!(inbox.deadline(), None);
        for hours in 1..4 {
            let began = opened + Duration::from_secs(3_600 * hours);
            for (at, byte) in PING.iter().enumerate() {
                let now = began + Duration::from_millis(at as u64 * 500);
                let whole = sent(&mut inbox, &[*byte], now);
                let is_last = at + 1 == PING.len();
                assert_eq!(whole, usize::from(is_last), "byte {at}");
                let deadline = (!is_last).then_some(began + REQUEST_TIME_MAX);
                assert_eq!(inbox.deadline(), deadline, "byte {at}");
            }
        }
    }

    /// What follows a request in one piece has its own time, and no byte of it gives it more.
    #[test]
    fn a_request_begins_when_the_one_before_it_is_taken() {
        let (mut inbox, first) = (Inbox::default(), Instant::now());
        let second = first + Duration::from_secs(10);
        assert_eq!(sent(&mut inbox, &PING[..5], first), 0);
        assert_eq!(inbox.deadline(), Some(first + REQUEST_TIME_MAX));
        assert_eq!(sent(&mut inbox, &[&PING[5..], &PING[..3]].concat(), second), 1);
        assert_eq!(inbox.deadline(), Some(second + REQUEST_TIME_MAX));
        assert_eq!(sent(&mut inbox, &PING[3..5], second + Duration::from_secs(9)), 0);
        assert_eq!(inbox.deadline(), Some(second + REQUEST_TIME_MAX));
        // Nothing came: nothing began.
        let (mut idle, now) = (Inbox::default(), second);
        idle.arrived(now);
        assert_eq!((idle.take(now), idle.deadline()), ((Vec::new(), None), None));
    }

    /// However much it has sent: there may be thousands of them.
    #[test]
    fn an_idle_client_keeps_little_memory() {
        let (mut inbox, now) = (Inbox::default(), Instant::now());
        let many = PIPELINE_MAX / 2;
        assert_eq!(sent(&mut inbox, &PING.repeat(many), now), many);
        assert!(inbox.unread.capacity() <= READ_BYTES, "{}", inbox.unread.capacity());
        // Nor does one that has begun its next request.
        assert_eq!(sent(&mut inbox, &[&PING.repeat(many), &PING[..5]].concat(), now), many);
        assert!(inbox.unread.capacity() <= READ_BYTES, "{}", inbox.unread.capacity());
    }

    #[test]
    fn more_requests_than_are_answered_together_wait() {
        let (mut inbox, now) = (Inbox::default(), Instant::now());
        assert_eq!(sent(&mut inbox, &PING.repeat(PIPELINE_MAX + 1), now), PIPELINE_MAX);
        assert_eq!(inbox.deadline(), Some(now + REQUEST_TIME_MAX));
        assert_eq!(inbox.take(now).0.len(), 1);
        assert_eq!(inbox.deadline(), None);
    }
}
