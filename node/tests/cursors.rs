//! Cursors on a real three-node cluster: two who move one from the same place, kills, snapshots.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod scene;

use client::{Answer, Settled, new_request_id};
use scene::{PATIENCE, Scene};
use stock::api::{CursorView, PutCursor};
use stock::{CursorName, Seq};

fn name() -> CursorName {
    "orders-to-postgres".parse().expect("a valid name")
}

async fn moved(scene: &Scene, expected: Option<u64>, position: u64) -> Settled<CursorView> {
    let put = PutCursor { expected, position };
    scene.client.move_cursor(&name(), &put, &new_request_id()).await
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
    let mut scene = Scene::open(100, &args).await;
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
    let ids: Vec<_> = scene.cluster.nodes().iter().map(|node| node.id).collect();
    for id in &ids {
        scene.cluster.kill(*id).expect("it runs");
    }
    for id in ids {
        scene.cluster.start_node(id).expect("it starts again");
    }
    scene.cluster.wait_ready(PATIENCE).await.expect("they are back");
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
    let (put, request) = (PutCursor { expected: None, position: 7 }, new_request_id());
    for again in [false, true] {
        let settled = scene.client.move_cursor(&name(), &put, &request).await;
        let Answer::Done { body, replayed } = settled.answer else { panic!("{settled:?}") };
        assert_eq!((body.position, replayed), (7, again));
    }
    assert_eq!(stands(moved(&scene, None, 7).await), Some(7));
    let other = PutCursor { expected: Some(7), position: 8 };
    let reused = scene.client.move_cursor(&name(), &other, &request).await;
    let Answer::Refused { problem } = reused.answer else { panic!("{reused:?}") };
    assert_eq!(problem.kind, "/problems/key-reused");
}
