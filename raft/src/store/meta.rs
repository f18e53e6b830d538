//! The small records beside the log: vote, committed and purged log ids, and the directory's
//! identity. Fixed layouts, little endian, each with a format byte in front and a crc32 behind.

use super::Identity;
use crate::types::{ClusterId, Incarnation, LogId, TypeConfig, Vote};
use openraft::type_config::alias::{CommittedLeaderIdOf, LeaderIdOf};
use openraft::vote::{RaftLeaderId, RaftVote};
use stock::NodeId;

/// The newest format of a data directory that this build reads and writes.
pub(super) const FORMAT: u8 = 1;

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetaError {
    /// The record has a format of a newer build.
    #[error("the {0} record has the unknown format {1}")]
    Format(&'static str, u8),
    /// The record has the wrong length or checksum.
    #[error("the {0} record fails its checksum")]
    Damaged(&'static str),
}

pub(super) fn encode_vote(vote: &Vote) -> Vec<u8> {
    let (term, node) = (vote.leader_id.term, vote.leader_id.node_id);
    seal(&[&term.to_le_bytes(), &node.0.to_le_bytes(), &[u8::from(vote.committed)]])
}

pub(super) fn decode_vote(bytes: &[u8]) -> Result<Vote, MetaError> {
    let body: [u8; 17] = open("vote", bytes)?;
    let leader = LeaderIdOf::<TypeConfig>::new(number(&body, 0), NodeId(number(&body, 8)));
    Ok(Vote::from_leader_id(leader, body[16] != 0))
}

pub(super) fn encode_log_id(log_id: &LogId) -> Vec<u8> {
    let (term, node) = (log_id.leader_id.term, log_id.leader_id.node_id);
    seal(&[&term.to_le_bytes(), &node.0.to_le_bytes(), &log_id.index.to_le_bytes()])
}

pub(super) fn decode_log_id(what: &'static str, bytes: &[u8]) -> Result<LogId, MetaError> {
    let body: [u8; 24] = open(what, bytes)?;
    let node = NodeId(number(&body, 8));
    let leader = CommittedLeaderIdOf::<TypeConfig>::new(number(&body, 0), node);
    Ok(LogId::new(leader, number(&body, 16)))
}

pub(super) fn encode_identity(identity: &Identity) -> Vec<u8> {
    let cluster = identity.cluster.map_or([0; 16], |cluster| cluster.0.to_le_bytes());
    seal(&[
        &identity.node.0.to_le_bytes(),
        &identity.incarnation.0.to_le_bytes(),
        &[u8::from(identity.cluster.is_some())],
        &cluster,
    ])
}

pub(super) fn decode_identity(bytes: &[u8]) -> Result<Identity, MetaError> {
    let body: [u8; 41] = open("identity", bytes)?;
    Ok(Identity {
        node: NodeId(number(&body, 0)),
        incarnation: Incarnation(wide_number(&body, 8)),
        cluster: (body[24] != 0).then(|| ClusterId(wide_number(&body, 25))),
    })
}

pub(super) fn encode_number(number: u64) -> Vec<u8> {
    seal(&[&number.to_le_bytes()])
}

pub(super) fn decode_number(what: &'static str, bytes: &[u8]) -> Result<u64, MetaError> {
    open::<8>(what, bytes).map(u64::from_le_bytes)
}

fn seal(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    for field in fields {
        bytes.extend_from_slice(field);
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

fn open<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], MetaError> {
    let damaged = MetaError::Damaged(what);
    let Some((sealed, crc)) = bytes.split_last_chunk::<4>() else {
        return Err(damaged);
    };
    if crc32fast::hash(sealed).to_le_bytes() != *crc {
        return Err(damaged);
    }
    match sealed.split_first() {
        Some((&FORMAT, body)) => body.try_into().map_err(|_| damaged),
        Some((&format, _)) => Err(MetaError::Format(what, format)),
        None => Err(damaged),
    }
}

fn number(body: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&body[at..at + 8]);
    u64::from_le_bytes(number)
}

fn wide_number(body: &[u8], at: usize) -> u128 {
    let mut number = [0; 16];
    number.copy_from_slice(&body[at..at + 16]);
    u128::from_le_bytes(number)
}
