//! Takes what other nodes ask, over HTTP or a line, checks whom it is for, and acts on it.

use super::body::{BodyMax, bounded};
use super::clicks::{Click, ClickFrame, ClicksAnswer};
use super::desk::Outcome;
use super::frames::{Route, Status};
use super::link::{Call, wall_clock_ms};
use super::network::SNAPSHOT_TIMEOUT;
use super::wire::{
    ClockAnswer, Envelope, FORMAT, FRAME_BYTES_MAX, FenceRequest, FormatAnswer, ForwardAnswer,
    Hello, JoinAnswer, JoinRequest, PeerRefusal, ReadIndexAnswer,
};
use crate::propose::NEWEST_FORMAT;
use crate::shared::{Forwarded, ForwardedFrame, RaftHandle, Shared};
use crate::snapshot::{Encoded, MANIFEST_BYTES_MAX, Snapshot};
use crate::types::{TypeConfig, Vote};
use crate::{barrier, check, rollback};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use openraft::raft::{AppendEntriesRequest, SnapshotResponse, TransferLeaderRequest, VoteRequest};
use serde::{Serialize, de::DeserializeOwned};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use stock::{NodeId, Seq, codec};
use tokio::sync::oneshot;

/// How long a frame may take to arrive over HTTP: longer than its sender waits for an answer.
const FRAME_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the fetch of one segment may take.
const SEGMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the leader may take to confirm that it leads.
const READ_INDEX_TIMEOUT: Duration = Duration::from_millis(900);

type Desk = State<Arc<Shared>>;
type Taken<A> = Result<A, PeerRefusal>;

/// Acts on what came over a line.
pub(super) async fn act(shared: Arc<Shared>, route: u8, body: Bytes) -> Outcome {
    let desk = State(shared);
    let answer = match Route::from_byte(route) {
        Some(Route::Append) => append(desk, body).await,
        Some(Route::Forward) => forward(desk, body).await,
        Some(Route::Clicks) => clicks(desk, body).await,
        Some(Route::ReadIndex) => read_index(desk, body).await,
        Some(Route::ForwardWaiting) => forward_waiting(desk, body).await,
        None => return Outcome { status: Status::NoRoute, body: Vec::new() },
    };
    match answer {
        Ok(body) => Outcome { status: Status::Answered, body },
        Err((_, why)) => Outcome { status: Status::Failed, body: why.into_bytes() },
    }
}

/// The routes of the peer listener, over HTTP.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let frames = Router::new()
        .route("/raft/append", post(append))
        .route("/raft/vote", post(vote))
        .route("/raft/pre-vote", post(pre_vote))
        .route("/raft/transfer-leader", post(transfer_leader))
        .route("/peer/hello", post(hello))
        .route("/peer/clock", post(clock))
        .route("/peer/format", post(newest_format))
        .route("/peer/state-hash", post(state_hash))
        .route("/peer/fence", post(fence))
        .route("/peer/acknowledged", post(acknowledged))
        .route("/peer/join", post(join))
        .route("/peer/forward", post(forward))
        .route("/peer/forward-waiting", post(forward_waiting))
        .route("/peer/clicks", post(clicks))
        .route("/peer/counts-clicks", post(counts_clicks))
        .route("/peer/read-index", post(read_index))
        .route("/peer/segment", post(segment));
    let frames = bounded(frames, BodyMax { bytes: FRAME_BYTES_MAX, time: FRAME_TIME_MAX });
    let snapshot = Router::new().route("/raft/snapshot", post(snapshot));
    let snapshot_bytes_max = MANIFEST_BYTES_MAX + FRAME_BYTES_MAX;
    let snapshot_max = BodyMax { bytes: snapshot_bytes_max, time: SNAPSHOT_TIMEOUT };
    frames.merge(bounded(snapshot, snapshot_max)).with_state(shared)
}

/// Opens a frame, checks its envelope, lets `act` work on the request, and encodes the answer.
async fn take<Q, A, F>(
    shared: Arc<Shared>,
    body: Bytes,
    act: impl FnOnce(Arc<Shared>, Envelope, Q) -> F,
) -> Result<Vec<u8>, (StatusCode, String)>
where
    Q: DeserializeOwned,
    A: Serialize,
    F: Future<Output = Taken<A>>,
{
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let Some((format, frame)) = body.split_at_checked(2) else {
        return Err(bad("an empty frame".into()));
    };
    let answer: Taken<A> = if format == FORMAT.to_le_bytes() {
        let (envelope, request): (Envelope, Q) =
            codec::decode(frame, MANIFEST_BYTES_MAX + FRAME_BYTES_MAX)
                .map_err(|error| bad(error.to_string()))?;
        match check(&shared, &envelope).await {
            Ok(()) => {
                shared.clocks.heard(envelope.from, envelope.clock_ms);
                act(shared, envelope, request).await
            }
            Err(refusal) => Err(refusal),
        }
    } else {
        Err(PeerRefusal::Format { theirs: FORMAT })
    };
    codec::encode(&answer, FRAME_BYTES_MAX)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Is this frame for this node, this cluster and this directory?
///
/// A directory without a cluster joins the one whose membership names its incarnation: only a
/// node that read it in a committed membership can address it so.
async fn check(shared: &Shared, envelope: &Envelope) -> Result<(), PeerRefusal> {
    let links = &shared.links;
    if envelope.to != links.id() {
        return Err(PeerRefusal::OtherNode { theirs: links.id() });
    }
    match envelope.to_incarnation {
        Some(meant) if meant != links.incarnation() => {
            return Err(PeerRefusal::OtherIncarnation { theirs: links.incarnation() });
        }
        _ => {}
    }
    match (links.cluster(), envelope.cluster) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            Err(PeerRefusal::OtherCluster { theirs: ours })
        }
        (None, Some(theirs)) if envelope.to_incarnation.is_some() => {
            let unable = |error: std::io::Error| PeerRefusal::Unable(error.to_string());
            shared.store.adopt_cluster(Some(theirs)).await.map_err(unable)?;
            links.set_cluster(theirs);
            tracing::info!(cluster = %theirs, "joined the cluster");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Raft, as long as its replica may take part: a fenced one counts as down.
fn raft(shared: &Shared) -> Taken<&RaftHandle> {
    if shared.fence.is_fenced() {
        return Err(PeerRefusal::Unable("it is fenced".into()));
    }
    shared.raft().ok_or_else(starting)
}

fn starting() -> PeerRefusal {
    PeerRefusal::Unable("it is starting".into())
}

fn unable(error: impl std::fmt::Display) -> PeerRefusal {
    PeerRefusal::Unable(error.to_string())
}

type Answer = Result<Vec<u8>, (StatusCode, String)>;

async fn append(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, request: AppendEntriesRequest<TypeConfig>| async move {
        shared.heard_from_leader();
        // What does not fit must not reach the log: a store whose write failed is given up. The
        // node goes on reading, and takes entries again once there is room.
        if !request.entries.is_empty() && !shared.has_room() {
            return Err(PeerRefusal::Unable("its disk is nearly full".into()));
        }
        raft(&shared)?.append_entries(request).await.map_err(unable)
    })
    .await
}

async fn vote(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, request: VoteRequest<TypeConfig>| async move {
        raft(&shared)?.vote(request).await.map_err(unable)
    })
    .await
}

async fn pre_vote(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, request: VoteRequest<TypeConfig>| async move {
        raft(&shared)?.pre_vote(request).await.map_err(unable)
    })
    .await
}

async fn transfer_leader(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, request: TransferLeaderRequest<TypeConfig>| async move {
        raft(&shared)?.handle_transfer_leader(request).await.map_err(unable)
    })
    .await
}

async fn snapshot(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, envelope, (vote, manifest): (Vote, Bytes)| async move {
        install(&shared, envelope.from, vote, manifest).await
    })
    .await
}

/// Fetches the segments that this node lacks from the sender, then installs the snapshot.
async fn install(
    shared: &Shared,
    sender: NodeId,
    vote: Vote,
    manifest: Bytes,
) -> Taken<SnapshotResponse<TypeConfig>> {
    let _one_at_a_time = shared.installing.lock().await;
    // Decoded here for its segments, and again by the install: openraft hands on the bytes.
    let read = move || Encoded::read(manifest).map(|(read, of)| (read, of.segments));
    let (snapshot, segments) =
        tokio::task::spawn_blocking(read).await.map_err(unable)?.map_err(unable)?;
    let held = shared.snapshots.segments.list();
    for wanted in segments.iter().filter(|wanted| !held.contains(wanted)) {
        let call =
            Call { to: sender, incarnation: None, path: "/peer/segment", timeout: SEGMENT_TIMEOUT };
        let bytes: Bytes = shared.links.call(call, &wanted.first_seq).await.map_err(unable)?;
        let segments = Arc::clone(&shared.snapshots.segments);
        let wanted = wanted.clone();
        tokio::task::spawn_blocking(move || segments.install_raw(&wanted, &bytes))
            .await
            .map_err(unable)?
            .map_err(unable)?;
        shared.heard_from_leader();
    }
    let snapshot = Snapshot { meta: snapshot.meta.clone(), snapshot };
    let installed = raft(shared)?.install_full_snapshot(vote, snapshot);
    tokio::time::timeout(SNAPSHOT_TIMEOUT, installed).await.map_err(unable)?.map_err(unable)
}

async fn segment(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, first_seq: Seq| async move {
        let segments = Arc::clone(&shared.snapshots.segments);
        tokio::task::spawn_blocking(move || segments.raw(first_seq))
            .await
            .map_err(unable)?
            .map(Bytes::from)
            .map_err(unable)
    })
    .await
}

async fn hello(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, ()| async move {
        // A node that does not answer Raft yet must not be counted on for a formation.
        shared.raft().ok_or_else(starting)?;
        Ok::<Hello, _>(shared.hello())
    })
    .await
}

async fn clock(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |_, _, ()| async move { Ok(ClockAnswer { wall_ms: wall_clock_ms() }) }).await
}

async fn newest_format(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |_, _, ()| async move { Ok(FormatAnswer { newest: NEWEST_FORMAT }) }).await
}

async fn state_hash(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, index: u64| async move { Ok(shared.applied.hash_at(index)) })
        .await
}

async fn fence(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, request: FenceRequest| async move {
        let FenceRequest { index, right } = request;
        // Writes a file, once in the life of a directory.
        tokio::task::spawn_blocking(move || check::fence_if_wrong(&shared, index, right))
            .await
            .map_err(unable)
    })
    .await
}

async fn acknowledged(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, envelope, ()| async move {
        Ok(rollback::acknowledged(&shared, envelope.from, envelope.from_incarnation))
    })
    .await
}

async fn join(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, request: JoinRequest| async move {
        Ok::<JoinAnswer, _>(shared.note_join(request))
    })
    .await
}

async fn forward(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, envelope, commands: Vec<stock::Envelope>| async move {
        let waiting = commands.len();
        Ok(hand_over(&shared, envelope.from, waiting, commands).await)
    })
    .await
}

async fn forward_waiting(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, envelope, request: (u32, Vec<stock::Envelope>)| async move {
        let (waiting, commands) = request;
        let waiting = usize::try_from(waiting).unwrap_or(usize::MAX).max(commands.len());
        Ok(hand_over(&shared, envelope.from, waiting, commands).await)
    })
    .await
}

async fn hand_over(
    shared: &Shared,
    from: NodeId,
    waiting: usize,
    commands: Vec<stock::Envelope>,
) -> ForwardAnswer {
    let (reply, answer) = oneshot::channel();
    let frame = Forwarded::Commands(ForwardedFrame { from, waiting, commands, reply });
    if shared.forwarded.try_send(frame).is_err() {
        return ForwardAnswer::NotProposed;
    }
    // A dropped reply is an actor that stopped with the frame in hand.
    answer.await.unwrap_or(ForwardAnswer::Unknown)
}

async fn clicks(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, clicks: Vec<Click>| async move {
        let (reply, answer) = oneshot::channel();
        let frame = Forwarded::Clicks(ClickFrame { clicks, reply });
        if !shared.is_leader() || shared.forwarded.try_send(frame).is_err() {
            return Ok(ClicksAnswer::NotTaken);
        }
        // As above.
        Ok(answer.await.map_or(ClicksAnswer::Unknown, ClicksAnswer::Taken))
    })
    .await
}

async fn counts_clicks(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, ()| async move { Ok(shared.counting.here()) }).await
}

async fn read_index(State(shared): Desk, body: Bytes) -> Answer {
    take(shared, body, |shared, _, ()| async move {
        raft(&shared)?;
        let round = barrier::confirmed_index(&shared);
        Ok(match tokio::time::timeout(READ_INDEX_TIMEOUT, round).await {
            Ok(Some(index)) => ReadIndexAnswer::Index(index),
            Ok(None) | Err(_) => ReadIndexAnswer::NotLeader,
        })
    })
    .await
}
