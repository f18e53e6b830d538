//! Looks at the whole cluster: for `/v1/cluster`, and to say why there is no leader.

use crate::formation::{self, list};
use crate::shared::Shared;
use crate::status::Standing;
use std::sync::Arc;
use std::time::Duration;
use stock::NodeId;
use stock::api::NodeView;

const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// A cluster elects within a second; longer without a leader is worth a word.
const LEADERLESS_GRACE: Duration = Duration::from_secs(3);

/// Every configured node's status.
pub(crate) async fn cluster(shared: &Shared) -> Vec<NodeView> {
    let mut hellos = formation::hellos(shared).await;
    hellos.insert(shared.links.id(), Ok(shared.hello()));
    let off_ms = shared.clocks.off_ms();
    let purged = crate::status::local(shared).purged;
    let committed = hellos.values().flatten().map(|hello| hello.committed).max().unwrap_or(0);
    hellos
        .into_iter()
        .map(|(id, answer)| match answer {
            Ok(hello) => NodeView {
                id,
                http: Some(hello.http),
                reachable: true,
                role: hello.role,
                term: hello.term,
                last_log: hello.last_log,
                purged: purged.filter(|_| id == shared.links.id()),
                committed: hello.committed,
                applied: hello.applied,
                lag: committed.saturating_sub(hello.applied),
                seq: hello.seq,
                state_hash: format!("{:032x}", hello.state_hash),
                clock_off_ms: off_ms.get(&id).copied(),
            },
            Err(_) => unreachable(id),
        })
        .collect()
}

fn unreachable(id: NodeId) -> NodeView {
    NodeView {
        id,
        http: None,
        reachable: false,
        role: "unreachable".into(),
        term: 0,
        last_log: 0,
        purged: None,
        committed: 0,
        applied: 0,
        lag: 0,
        seq: stock::Seq(0),
        state_hash: String::new(),
        clock_off_ms: None,
    }
}

/// Runs for the life of the node: while there is no leader, or none that it can ask, finds out why
/// and says so once.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut leaderless_since = None;
    let mut is_out_of_reach = false;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let why = crate::status::leader_out_of_reach(&shared);
        match &why {
            Some(why) if !is_out_of_reach => {
                tracing::warn!("{why}. Until then nobody can buy here");
            }
            None if is_out_of_reach => tracing::info!("the leader can be asked again"),
            Some(_) | None => {}
        }
        is_out_of_reach = why.is_some();
        let waits = matches!(shared.standing(), Standing::Forming(_) | Standing::Rejoining(_));
        let led = crate::status::leader_silence(&shared)
            .is_some_and(|silence| silence <= shared.silence_max);
        if waits || led {
            leaderless_since = None;
            if !waits && shared.set_standing(Standing::Member) {
                tracing::info!("there is a leader again");
            }
            continue;
        }
        let since = *leaderless_since.get_or_insert_with(tokio::time::Instant::now);
        if since.elapsed() < LEADERLESS_GRACE {
            continue;
        }
        let why = explain(&shared).await;
        if shared.set_standing(Standing::Leaderless(why.clone())) {
            tracing::warn!("{why}");
        }
    }
}

async fn explain(shared: &Shared) -> String {
    let hellos = formation::hellos(shared).await;
    let ids = |wanted: &dyn Fn(&Result<_, _>) -> bool| -> Vec<NodeId> {
        hellos.iter().filter(|(_, answer)| wanted(answer)).map(|(id, _)| *id).collect()
    };
    let silent = ids(&|answer| answer.is_err());
    let empty = ids(&|answer: &Result<crate::peer::Hello, _>| {
        answer.as_ref().is_ok_and(|hello| hello.fresh)
    });
    let mut why = vec!["no leader: selling has stopped until a majority agrees".to_string()];
    if !silent.is_empty() {
        why.push(format!("no answer from node {}: start it", list(&silent)));
    }
    if !empty.is_empty() {
        why.push(format!(
            "the directory of node {} is empty: bring back its data, for an empty directory \
             cannot vote on what was sold",
            list(&empty)
        ));
    }
    why.join("; ")
}
