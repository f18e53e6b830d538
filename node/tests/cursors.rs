//! Cursors on a real three-node cluster: two who move one from the same place, or for different
//! targets, removals, kills, snapshots.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod scene;

use client::{Answer, Settled, new_request_id};
use scene::{PATIENCE, Scene};
use std::sync::Arc;
use stock::api::{CursorView, PutCursor};
use stock::{CursorName, CursorTarget, Seq};

/// So that what nodes come back with is a snapshot's.
const SNAPSHOTS: [&str; 4] = ["--snapshot-entries", "10", "--keep-entries", "2"];
/// Moves, each an entry, that lead to one.
const MOVES: u64 = 15;

fn name() -> CursorName {
    "orders-to-postgres".parse().expect("a valid name")
}

/// A move by somebody who says what the cursor is for.
async fn moved_for(
    scene: &Scene,
    target: &str,
    (expected, position): (Option<u64>, u64),
) -> Settled<CursorView> {
    let target = Some(target.parse().expect("a target"));
    let put = PutCursor { expected, position, target };
    scene.client.move_cursor(&name(), &put, &new_request_id()).await
}

async fn moved(scene: &Scene, expected: Option<u64>, position: u64) -> Settled<CursorView> {
    let put = PutCursor { expected, position, target: None };
    scene.client.move_cursor(&name(), &put, &new_request_id()).await
}

async fn all_die(scene: &mut Scene) {
    let ids: Vec<_> = scene.cluster.nodes().iter().map(|node| node.id).collect();
    for id in &ids {
        scene.cluster.kill(*id).expect("it runs");
    }
    for id in ids {
        scene.cluster.start_node(id).expect("it starts again");
    }
    scene.cluster.wait_ready(PATIENCE).await.expect("they are back");
}

/// Status and type of a refusal.
fn refused<T: std::fmt::Debug>(settled: &Settled<T>) -> (u16, &str) {
    match &settled.answer {
        Answer::Refused { problem } => (problem.status, problem.kind.as_str()),
        other => panic!("{other:?}"),
    }
}

/// Where the cursor stands, as a refusal tells it.
fn stands(settled: Settled<CursorView>) -> Option<u64> {
    match settled.answer {
        Answer::Refused { problem } => {
            assert_eq!((problem.status, problem.kind.as_str()), (409, "/problems/cursor-moved"));
            problem.position
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_move_a_cursor_one_is_refused_through_kills_and_snapshots() {
    let args = ["--snapshot-entries", "20", "--keep-entries", "10"];
    let mut scene = Scene::open_for_failover(100, &args).await;
    let unknown = scene.client.cursor(&name()).await.expect_err("there is none yet");
    assert!(unknown.to_string().contains("No such cursor"), "{unknown}");
    assert_eq!(stands(moved(&scene, Some(3), 4).await), None);
    let first = moved(&scene, None, 0).await.done("").expect("it is new");
    assert_eq!((first.name, first.position), (name(), 0));

    // Two runners race from each place; the leader dies under them now and then.
    let mut wins = [0; 2];
    for at in 0..60 {
        if at % 20 == 10 {
            let leader = scene.leader().await;
            scene.cluster.kill(leader).expect("it runs");
            scene.cluster.start_node(leader).expect("it starts again");
        }
        let (one, other) =
            tokio::join!(moved(&scene, Some(at), at + 1), moved(&scene, Some(at), at + 1));
        let won = [&one, &other].map(|settled| matches!(settled.answer, Answer::Done { .. }));
        assert_ne!(won[0], won[1], "both or neither moved from {at}: {one:?} {other:?}");
        wins[usize::from(won[1])] += 1;
        let lost = if won[0] { other } else { one };
        assert_eq!(stands(lost), Some(at + 1));
    }
    assert_eq!(wins[0] + wins[1], 60);

    // All nodes die; what was acknowledged is there, in snapshots and in the state's hash.
    all_die(&mut scene).await;
    let cursors = scene.client.cursors().await.expect("a read").cursors;
    let at: Vec<_> = cursors.iter().map(|cursor| (cursor.name.clone(), cursor.position)).collect();
    assert_eq!(at, [(name(), 60)]);
    // A move is no change of the sale: its only one was the product's.
    assert_eq!(cursors[0].seq, Seq(1));
    scene.assert_equal_states().await;
}

/// Whoever was not told may ask again under the same request id, and only that one is told yes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_moved_a_cursor_is_answered_so_again() {
    let scene = Scene::open(100, &[]).await;
    let (put, request) =
        (PutCursor { expected: None, position: 7, target: None }, new_request_id());
    for again in [false, true] {
        let settled = scene.client.move_cursor(&name(), &put, &request).await;
        let Answer::Done { body, replayed } = settled.answer else { panic!("{settled:?}") };
        assert_eq!((body.position, replayed), (7, again));
    }
    assert_eq!(stands(moved(&scene, None, 7).await), Some(7));
    let other = PutCursor { expected: Some(7), position: 8, target: None };
    let reused = scene.client.move_cursor(&name(), &other, &request).await;
    let Answer::Refused { problem } = reused.answer else { panic!("{reused:?}") };
    assert_eq!(problem.kind, "/problems/key-reused");
}

/// Two who copy to different places under one name: the second is told, wherever the cursor stands
/// and whoever leads, and moves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_one_target_is_moved_for_no_other() {
    let mut scene = Scene::open_for_failover(100, &SNAPSHOTS).await;
    let made = moved_for(&scene, "nats://a/one", (None, 0)).await.done("").expect("it is new");
    assert_eq!(made.target.as_ref().map(CursorTarget::as_str), Some("nats://a/one"));
    for round in 0..2 {
        for from in [None, Some(round * MOVES), Some(99)] {
            let other = moved_for(&scene, "nats://a/two", (from, 50)).await;
            assert_eq!(refused(&other), (409, "/problems/cursor-of-another"), "{from:?}");
        }
        for at in round * MOVES..(round + 1) * MOVES {
            let own = moved_for(&scene, "nats://a/one", (Some(at), at + 1)).await;
            assert!(own.answer.is_done(), "{own:?}");
        }
        all_die(&mut scene).await;
    }
    let shown = scene.client.cursor(&name()).await.expect("it is there");
    let target = shown.target.as_ref().map(CursorTarget::as_str);
    assert_eq!((shown.position, target), (2 * MOVES, Some("nats://a/one")));
    // Whoever does not say what it is for moves it; one that is for nothing yet is bound by a move.
    assert!(moved(&scene, Some(2 * MOVES), 3).await.answer.is_done());
    let unbound: CursorName = "unbound".parse().expect("a valid name");
    for (expected, target) in [(None, None), (Some(1), Some("nats://b"))] {
        let target = target.map(|target: &str| target.parse().expect("a target"));
        let put = PutCursor { expected, position: 1, target };
        let settled = scene.client.move_cursor(&unbound, &put, &new_request_id()).await;
        assert!(settled.answer.is_done(), "{settled:?}");
    }
    let listed = scene.client.cursors().await.expect("a read").cursors;
    let targets: Vec<_> = listed.iter().map(|one| one.target.clone().map(String::from)).collect();
    assert_eq!(targets, [Some("nats://a/one".to_owned()), Some("nats://b".to_owned())]);
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_cursor_is_gone_and_late_copies_change_nothing() {
    let mut scene = Scene::open_for_failover(100, &SNAPSHOTS).await;
    let (client, name) = (Arc::clone(&scene.client), name());
    let unknown = client.remove_cursor(&name, 0, &new_request_id()).await;
    assert_eq!(refused(&unknown), (404, "/problems/unknown-cursor"));
    let put = PutCursor { expected: None, position: 7, target: None };
    let (making, removing) = (new_request_id(), new_request_id());
    assert!(client.move_cursor(&name, &put, &making).await.answer.is_done());
    let elsewhere = client.remove_cursor(&name, 6, &new_request_id()).await;
    assert_eq!(refused(&elsewhere), (409, "/problems/cursor-moved"));
    for again in [false, true] {
        let gone = client.remove_cursor(&name, 7, &removing).await;
        let Answer::Done { body, replayed } = gone.answer else { panic!("{gone:?}") };
        assert_eq!((body.position, replayed), (7, again));
        for at in 0..MOVES {
            let expected = (at > 0 || again).then_some(if at > 0 { at } else { MOVES });
            let put = PutCursor { expected, position: at + 1, target: None };
            let other = "other".parse().expect("a valid name");
            let settled = client.move_cursor(&other, &put, &new_request_id()).await;
            assert!(settled.answer.is_done(), "{settled:?}");
        }
        all_die(&mut scene).await;
    }
    // A late copy of what made it brings it not back.
    let copy = client.move_cursor(&name, &put, &making).await;
    assert!(matches!(copy.answer, Answer::Done { replayed: true, .. }), "{copy:?}");
    let names = client.cursors().await.expect("a read").cursors.into_iter().map(|one| one.name);
    assert_eq!(names.map(String::from).collect::<Vec<_>>(), ["other"]);
    // Nor does a late copy of the removal take away another of its name, for another target.
    let made = moved_for(&scene, "nats://a", (None, 7)).await;
    assert!(made.answer.is_done(), "{made:?}");
    let copy = client.remove_cursor(&name, 7, &removing).await;
    assert!(matches!(copy.answer, Answer::Done { replayed: true, .. }), "{copy:?}");
    assert_eq!(client.cursor(&name).await.expect("it is there").position, 7);
    scene.assert_equal_states().await;
}
