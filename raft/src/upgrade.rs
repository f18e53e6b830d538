//! By which rules this node proposes: the newest that every configured node can apply.
//!
//! A node of an older build stops at an entry that it cannot apply. So that a cluster is upgraded
//! node by node, a leader goes by the rules that the state goes by already, until each of the
//! others has said that it reads the newest format; what was said once holds, and so does what is
//! in the state. Never decides anything about the stock. Run by the replica.

use crate::peer::{Call, FormatAnswer};
use crate::propose::NEWEST_FORMAT;
use crate::shared::Shared;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stock::{Machine, NodeId, Rules};

/// Between rounds of questions to those that have not said so.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// Between the rounds of the first seconds: a cluster that forms has its rules before its stock.
const FIRST_ROUNDS_INTERVAL: Duration = Duration::from_millis(50);
const FIRST_ROUNDS: u32 = 100;
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);

/// Whether all others can apply entries of the newest format.
#[derive(Debug, Default)]
pub(crate) struct Upgrade {
    /// Those that have said so.
    able: Mutex<BTreeSet<NodeId>>,
    all_can: AtomicBool,
}

impl Upgrade {
    fn able(&self) -> MutexGuard<'_, BTreeSet<NodeId>> {
        self.able.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the node has said so.
    #[cfg(test)]
    pub(crate) fn heard(&self, id: NodeId) -> bool {
        self.able().contains(&id)
    }
}

impl Shared {
    /// The rules to propose by.
    pub(crate) fn rules(&self) -> Rules {
        if self.upgrade.all_can.load(Ordering::Relaxed) {
            return Rules::NEWEST;
        }
        self.applied.read(Machine::rules)
    }
}

/// Asks the others until all can.
pub(crate) async fn run(shared: Arc<Shared>) {
    let upgrade = &shared.upgrade;
    for round in 0_u32.. {
        let mut waits_for: Vec<NodeId> = shared.links.others().collect();
        waits_for.retain(|id| !upgrade.able().contains(id));
        let able = join_all(waits_for.iter().map(|to| can(&shared, *to))).await;
        upgrade.able().extend(able.into_iter().flatten());
        waits_for.retain(|id| !upgrade.able().contains(id));
        if waits_for.is_empty() || shared.applied.read(Machine::rules) == Rules::NEWEST {
            upgrade.all_can.store(true, Ordering::Relaxed);
            return;
        }
        if round == FIRST_ROUNDS {
            tracing::info!(
                "nodes {waits_for:?} have not said that they can apply entries of format \
                 {NEWEST_FORMAT}; until they do, none is written"
            );
        }
        let pause = if round < FIRST_ROUNDS { FIRST_ROUNDS_INTERVAL } else { ROUND_INTERVAL };
        tokio::time::sleep(pause).await;
    }
}

/// The node, if it says that it can.
async fn can(shared: &Shared, to: NodeId) -> Option<NodeId> {
    let call = Call { to, incarnation: None, path: "/peer/format", timeout: ANSWER_TIMEOUT };
    // A node that is down says nothing, and one of an older build has no such question.
    let FormatAnswer { newest } = shared.links.call(call, &()).await.ok()?;
    (newest >= NEWEST_FORMAT).then_some(to)
}
