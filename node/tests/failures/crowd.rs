//! More buyers than a node can serve in time: some are told so, and to those nothing was done.

use crate::scene::http::{Answer, Caller};
use crate::scene::{Scene, until};
use crate::{buy, orders, position};
use futures_util::future::join_all;
use std::collections::BTreeSet;

const CROWD: usize = 1_500;

/// All at once; who they are, and what they are told.
async fn crowd(caller: &Caller, node: usize, round: usize) -> Vec<(String, Answer)> {
    let buyers = (0..CROWD).map(|at| async move {
        let user = format!("crowd-{node}-{round}-{at}");
        let headers = [("idempotency-key", user.as_str())];
        let answer = caller.buy(node, &buy(&user), &headers).await;
        (user, answer)
    });
    join_all(buyers).await
}

/// On the leader and on a follower: it is what waits there that is shed, and whoever is told so
/// has no order, then or later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_would_wait_too_long_is_told_so_and_has_bought_nothing() {
    let scene = Scene::open(1_000_000, &["--wait-max-ms", "10"]).await;
    let caller = Caller::new(&scene.cluster);
    let (leader, follower) = (scene.leader().await, scene.follower().await);
    let mut won = BTreeSet::new();
    for node in [leader, follower].map(position) {
        let rounds = std::cell::Cell::new(0);
        let (shed, sold) = until("somebody to be shed", || async {
            let answers = crowd(&caller, node, rounds.replace(rounds.get() + 1)).await;
            let (sold, shed): (Vec<_>, Vec<_>) =
                answers.into_iter().partition(|(_, answer)| answer.status == 201);
            Some((shed, sold)).filter(|(shed, sold)| !shed.is_empty() && !sold.is_empty())
        })
        .await;
        for (user, answer) in &shed {
            assert_eq!((answer.status, answer.kind()), (503, "/problems/overloaded"));
            assert_eq!(answer.header("retry-after"), "1", "{user}");
        }
        won.extend(sold.iter().map(|(_, answer)| answer.body["order_id"].to_string()));
        assert!(won.len() >= sold.len(), "an order of its own for each");
        for (user, _) in shed.iter().take(20) {
            assert_eq!(orders(&caller, user, user).await, 0, "{user} was surely not proposed");
        }
        // When the crowd has gone, it is as before. (10 ms are soon over on a busy machine.)
        let (user, _) = &shed[0];
        until("who was shed to be sold to", || async {
            let again = caller.buy(node, &buy(user), &[("idempotency-key", user)]).await;
            (again.status == 201).then_some(())
        })
        .await;
    }
    scene.assert_equal_states().await;
}
