//! Lines out of a stream of bytes, in room for one line and one chunk.
//!
//! Owns: what was read and not yet taken. Never does: IO, or look at a byte twice. Called by
//! `events` and `export`.

use std::ops::Range;

/// The longest line: an order of twenty products with the longest ids is below 8 KiB.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// The line that was taken last, without its end.
    line: Range<usize>,
    /// Where the next line begins.
    next: usize,
    /// Up to where no line ends.
    looked: usize,
}

/// A line that is longer than any of the contract.
#[derive(Debug, thiserror::Error)]
#[error("a line has over {LINE_BYTES_MAX} bytes")]
pub(crate) struct TooLong;

impl Lines {
    /// Takes more bytes in, and forgets the lines that were taken out.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.next);
        self.looked -= self.next;
        (self.line, self.next) = (0..0, 0);
        self.bytes.extend_from_slice(chunk);
    }

    /// Goes on to the next whole line. False when there is none yet.
    ///
    /// # Errors
    /// [`TooLong`] when none ends within [`LINE_BYTES_MAX`].
    pub(crate) fn advance(&mut self) -> Result<bool, TooLong> {
        let Some(length) = self.bytes[self.looked..].iter().position(|byte| *byte == b'\n') else {
            self.looked = self.bytes.len();
            let too_long = self.looked - self.next > LINE_BYTES_MAX;
            return if too_long { Err(TooLong) } else { Ok(false) };
        };
        let end = self.looked + length;
        self.line = self.next..end;
        (self.next, self.looked) = (end + 1, end + 1);
        Ok(true)
    }

    /// The line that [`Lines::advance`] went on to.
    pub(crate) fn line(&self) -> &[u8] {
        &self.bytes[self.line.clone()]
    }

    /// Whether a line was begun that has not ended.
    pub(crate) fn is_amid(&self) -> bool {
        self.next < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_are_cut_into_chunks() {
        let text = b"one\n\ntwo, longer\nthree\n";
        for size in 1..=text.len() {
            let (mut lines, mut taken) = (Lines::default(), Vec::new());
            for chunk in text.chunks(size) {
                lines.push(chunk);
                while lines.advance().unwrap() {
                    taken.push(String::from_utf8(lines.line().to_vec()).unwrap());
                }
            }
            assert_eq!(taken, ["one", "", "two, longer", "three"], "chunks of {size}");
            assert!(!lines.is_amid());
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; LINE_BYTES_MAX]);
        assert!(!lines.advance().unwrap() && lines.is_amid());
        lines.push(b"x");
        assert!(lines.advance().is_err());
    }
}
