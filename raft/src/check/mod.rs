//! The self-check: do all replicas have the same state after the same entry?
//!
//! While there is something new, the leader proposes a check: it names an index that it has
//! applied and asks every replica for its state hash there. It needs no log entry, for each replica
//! remembers its hash after each of its newest entries ([`trail`]); so an idle cluster still writes
//! nothing, and nodes of older builds, which do not know the question, have no say.
//!
//! A majority of all nodes with one hash is right ([`verdict`]). Whoever has another is fenced
//! ([`crate::fence`]): its memory or its log is damaged, and only an empty directory lets it in
//! again. A leader that finds itself in the minority hands over first. When states differ and none
//! is a majority's, nothing is sold until a later check of this leader finds one. A new leader
//! knows of no split until its own first check, which it begins at once and ends within three
//! seconds.
//!
//! What is not here: damage to memory that no later change touches. The state hash is kept up to
//! date by each change and not taken anew from all of the state, so a flipped bit is found at the
//! next change of the product, account or outcome that it hit.

mod trail;
mod verdict;

pub(crate) use trail::{HashAt, HashTrail};

use crate::formation::list;
use crate::handover;
use crate::mutant;
use crate::peer::{Call, FenceRequest};
use crate::shared::Shared;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stock::NodeId;
use tokio::time::Instant;
use verdict::{Verdict, judge};

/// Entries after which a check is due.
const CHECK_ENTRIES: u64 = 1_024;
/// Time after which one is due if anything was applied.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Between checks while no majority is known to agree.
const UNSETTLED_INTERVAL: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a replica that lags may take to apply what is checked.
const REPORT_WAIT: Duration = Duration::from_secs(2);
const ASK_INTERVAL: Duration = Duration::from_millis(50);
const ASK_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a leader in the minority tries to hand over before it is fenced all the same.
const HANDOVER_MAX: Duration = Duration::from_secs(2);

/// The last check of this leader.
struct Last {
    index: u64,
    at: Instant,
    /// No majority was found to agree.
    is_unsettled: bool,
}

impl Last {
    fn makes_due(&self, index: u64) -> bool {
        let waited = self.at.elapsed();
        let news = index > self.index;
        index >= self.index + CHECK_ENTRIES
            || (news && waited >= CHECK_INTERVAL)
            || (self.is_unsettled && waited >= UNSETTLED_INTERVAL)
    }
}

/// Runs for the life of the node; acts only while it leads. A new leader checks at once.
pub(crate) async fn run(shared: Arc<Shared>) {
    if !mutant::defends_itself() {
        return;
    }
    let mut last: Option<Last> = None;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if !shared.is_leader() || shared.fence.is_fenced() {
            last = None;
            shared.fence.set_split(None);
            continue;
        }
        let mark = shared.applied.mark();
        if last.as_ref().is_some_and(|last| !last.makes_due(mark.index)) {
            continue;
        }
        let at = Instant::now();
        let reports = gather(&shared, mark.index, mark.state_hash).await;
        let verdict = judge(&reports, shared.links.ids().count());
        let is_unsettled = matches!(verdict, Verdict::Split | Verdict::Unheard);
        act(&shared, mark.index, &reports, verdict).await;
        last = Some(Last { index: mark.index, at, is_unsettled });
    }
}

/// The state hashes at `index`, of all who can say.
async fn gather(shared: &Shared, index: u64, own: u128) -> BTreeMap<NodeId, u128> {
    let asked = shared.links.others().map(|to| async move { (to, ask(shared, to, index).await) });
    let answers = join_all(asked).await.into_iter();
    let mut reports: BTreeMap<NodeId, u128> =
        answers.filter_map(|(id, hash)| Some((id, hash?))).collect();
    reports.insert(shared.links.id(), own);
    reports
}

async fn ask(shared: &Shared, to: NodeId, index: u64) -> Option<u128> {
    let deadline = Instant::now() + REPORT_WAIT;
    let call = Call { to, incarnation: None, path: "/peer/state-hash", timeout: ASK_TIMEOUT };
    loop {
        match shared.links.call(call, &index).await {
            Ok(HashAt::Known(hash)) => return Some(hash),
            Ok(HashAt::NotYet) if Instant::now() < deadline => {
                tokio::time::sleep(ASK_INTERVAL).await;
            }
            Ok(HashAt::NotYet | HashAt::Forgotten) | Err(_) => return None,
        }
    }
}

async fn act(shared: &Shared, index: u64, reports: &BTreeMap<NodeId, u128>, verdict: Verdict) {
    match verdict {
        Verdict::Agreed => settle(shared),
        // Where selling has stopped, it stays so: a node that is not heard has not agreed.
        Verdict::Unheard => {}
        Verdict::Split => {
            let ids: Vec<NodeId> = reports.keys().copied().collect();
            let why = format!(
                "the states of nodes {} differ and none is a majority's: selling has stopped until \
                 a majority agrees; start the other nodes",
                list(&ids)
            );
            if shared.fence.set_split(Some(why.clone())) {
                tracing::error!(index, "{why}");
            }
        }
        Verdict::Minority { right, wrong } => {
            if wrong.contains(&shared.links.id()) {
                return give_up_leadership(shared, index, right, &wrong).await;
            }
            settle(shared);
            for to in wrong {
                tracing::error!(index, "the state of node {to} differs from the majority's");
                let call =
                    Call { to, incarnation: None, path: "/peer/fence", timeout: ASK_TIMEOUT };
                let request = FenceRequest { index, right };
                if let Err(error) = shared.links.call::<_, ()>(call, &request).await {
                    // The next check finds it again.
                    tracing::warn!("node {to} could not be told to fence itself: {error}");
                }
            }
        }
    }
}

fn settle(shared: &Shared) {
    if shared.fence.set_split(None) {
        tracing::info!("a majority of the replicas agrees again: selling goes on");
    }
}

/// The leader's own state is wrong: another must lead before it falls silent.
async fn give_up_leadership(shared: &Shared, index: u64, right: u128, wrong: &[NodeId]) {
    tracing::error!(index, "this node leads, and its state differs from the majority's");
    handover::to_any(shared, |id| !wrong.contains(&id), Instant::now() + HANDOVER_MAX).await;
    fence_if_wrong(shared, index, right);
}

/// Fences this node if its state after `index` is not the majority's. Nobody is fenced on another
/// node's word alone.
pub(crate) fn fence_if_wrong(shared: &Shared, index: u64, right: u128) {
    let own = match shared.applied.hash_at(index) {
        HashAt::Known(own) if own != right => own,
        HashAt::Known(_) | HashAt::NotYet | HashAt::Forgotten => return,
    };
    shared.fence_off(&format!(
        "its state after entry {index} has the hash {own:032x}, a majority of the nodes has \
         {right:032x}"
    ));
}
