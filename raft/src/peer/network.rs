//! openraft's network: its RPCs as calls to one peer's directory.
//!
//! Timeouts follow openraft's limits where it enforces them. An append with entries gets a longer
//! one of its own: a follower that waits for its disk is slow, not dead, and its answers to the
//! heartbeats, which do not wait for that of the append, tell the two apart.

use super::link::{Call, Links, PeerError};
use crate::snapshot::{Encoded, Snapshot};
use crate::types::{Incarnation, Member, TypeConfig, Vote};
use openraft::OptionalSend;
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use serde::{Serialize, de::DeserializeOwned};
use std::future::Future;
use std::time::Duration;
use stock::NodeId;

/// How long a follower may take to make appended entries durable.
const APPEND_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a peer may take to fetch and install a snapshot.
pub(crate) const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(120);
/// Between tries to reach a peer that is down. Short: a returning node is served at once.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Makes a [`PeerNetwork`] for each member.
#[derive(Clone)]
pub(crate) struct Network {
    links: Links,
}

impl Network {
    pub(crate) fn new(links: Links) -> Self {
        Self { links }
    }
}

/// One member's directory, as openraft calls it.
pub(crate) struct PeerNetwork {
    links: Links,
    target: NodeId,
    incarnation: Incarnation,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> PeerNetwork {
        PeerNetwork { links: self.links.clone(), target, incarnation: node.incarnation }
    }
}

impl PeerNetwork {
    async fn rpc<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &'static str,
        timeout: Duration,
        request: &Q,
    ) -> Result<A, RPCError<TypeConfig>> {
        let incarnation = Some(self.incarnation);
        let call = Call { to: self.target, incarnation, path, timeout };
        self.links.call(call, request).await.map_err(|error| self.rpc_error(timeout, error))
    }

    fn rpc_error(&self, timeout: Duration, error: PeerError) -> RPCError<TypeConfig> {
        match error {
            PeerError::Broken { source, .. } if source.is_timeout() => RPCError::Timeout(Timeout {
                action: RPCTypes::AppendEntries,
                id: self.links.id(),
                target: self.target,
                timeout,
            }),
            other => RPCError::Unreachable(Unreachable::new(&other)),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = Encoded;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let timeout = if request.entries.is_empty() { option.soft_ttl() } else { APPEND_TIMEOUT };
        self.rpc("/raft/append", timeout, &request).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.rpc("/raft/vote", option.soft_ttl(), &request).await
    }

    // The trait's default grants, which would make pre-vote a formality.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.rpc("/raft/pre-vote", option.soft_ttl(), &request).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let request = (vote, snapshot.snapshot.bytes());
        tokio::select! {
            closed = cancel => Err(closed.into()),
            answer = self.rpc("/raft/snapshot", SNAPSHOT_TIMEOUT, &request) => Ok(answer?),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.rpc("/raft/transfer-leader", option.soft_ttl(), &request).await
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(RETRY_INTERVAL)))
    }
}
