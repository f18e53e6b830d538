//! How current a client's reads are: the query that every read of the contract takes.
//!
//! Owns: the two parameters, and how they go onto a path. Never does: send. Called by `api` for
//! each read that goes from node to node.

use crate::Client;
use std::borrow::Cow;
use std::sync::Arc;
use stock::Seq;

/// How current a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// At least as new as every answer given before it was asked.
    #[default]
    Linearizable,
    /// What the node has applied, at once, even without a quorum.
    Stale,
}

/// What all reads of a client ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    /// How current.
    pub consistency: Consistency,
    /// And of no older a state than the one after this change: with [`Consistency::Stale`] the
    /// cheap way to read one's own writes at any node. 0 asks for nothing.
    pub min_seq: Seq,
}

impl Client {
    /// The same client, on the same connections, with reads of another kind.
    #[must_use]
    pub fn reading(&self, reads: Reads) -> Self {
        let (http, nodes) = (self.http.clone(), Arc::clone(&self.nodes));
        Self { http, nodes, timeouts: self.timeouts, reads }
    }
}

impl Reads {
    /// The path of a read, with what it must say.
    pub(crate) fn on(self, path: &str) -> Cow<'_, str> {
        let Self { consistency, min_seq } = self;
        let stale = (consistency == Consistency::Stale).then(|| "consistency=stale".to_owned());
        let min_seq = (min_seq > Seq(0)).then(|| format!("min_seq={min_seq}"));
        let asked: Vec<String> = stale.into_iter().chain(min_seq).collect();
        if asked.is_empty() {
            return path.into();
        }
        let joint = if path.contains('?') { '&' } else { '?' };
        format!("{path}{joint}{}", asked.join("&")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_says_how_current_it_must_be() {
        let stale = Reads { consistency: Consistency::Stale, ..Reads::default() };
        let own = Reads { min_seq: Seq(7), ..stale };
        for (reads, path, asked) in [
            (Reads::default(), "v1/orders?limit=1", "v1/orders?limit=1"),
            (stale, "v1/orders?limit=1", "v1/orders?limit=1&consistency=stale"),
            (own, "v1/products/p", "v1/products/p?consistency=stale&min_seq=7"),
            (Reads { min_seq: Seq(7), ..Reads::default() }, "v1/products", "v1/products?min_seq=7"),
        ] {
            assert_eq!(reads.on(path), asked);
        }
    }
}
