//! That nobody starves: the node's own buyers beside frames of every size, and the frames.

use super::*;
use crate::actor::{ReplyTo, Tries};
use std::time::Duration;
use stock::{Attempt, Quantity, RequestId, Requester, Sku, UserId};
use tokio::sync::oneshot;

/// A buy of about 300 bytes: the longest ids that there are.
fn long_buy(at: usize) -> Envelope {
    let text = |letter: &str| format!("{}{at:08}", letter.repeat(120));
    Envelope {
        requester: Requester::User(UserId::new(text("u")).unwrap()),
        request_id: RequestId::new(text("r")).unwrap(),
        attempt: Attempt::First,
        command: Command::Buy { sku: Sku::new("p").unwrap(), quantity: Quantity::ONE },
    }
}

fn ask(at: usize) -> Ask {
    let (asker, _answered) = oneshot::channel();
    Ask {
        envelope: long_buy(at),
        address: None,
        counted: false,
        deadline: Instant::now() + Duration::from_secs(3600),
        reply_to: ReplyTo::alone(asker),
        tries: Tries::UntilDeadline,
        waits: tracing::Span::none(),
    }
}

fn frame(from: u64, commands: usize) -> ForwardedFrame {
    let (reply, _answered) = oneshot::channel();
    let commands = (0..commands).map(long_buy).collect();
    ForwardedFrame { from: NodeId(from), commands, reply }
}

/// The most such buys that fit one batch, or one frame.
fn most() -> usize {
    BYTES_MAX / bytes(&long_buy(0))
}

/// Commands by lane, own ones first, in so many batches of a queue that stays full of all. Each
/// follower's frames are of another size.
fn shares(frames: &[usize], batches: usize) -> Vec<usize> {
    let mut queue = Queue::default();
    let mut shares = vec![0; 1 + frames.len()];
    for _ in 0..batches {
        while queue.asks.len() < 2 * COMMANDS_MAX {
            queue.push(ask(queue.asks.len()));
        }
        let mut waiting = vec![queue.asks.len()];
        for (id, commands) in (1..).zip(frames) {
            let enough = 2 * COMMANDS_MAX / commands + 2;
            while queue.frames.get(&NodeId(id)).is_none_or(|frames| frames.len() < enough) {
                queue.push_frame(frame(id, *commands));
            }
            waiting.push(queue.frames[&NodeId(id)].len());
        }
        let group = Group::take(&mut queue, Room::Entry).unwrap();
        let size = group.batch.commands.iter().map(bytes).sum::<usize>();
        assert!(size <= BYTES_MAX && group.len() <= COMMANDS_MAX, "{size} of {}", group.len());
        let of_frames: usize = group.frames.iter().map(|slot| slot.commands).sum();
        assert_eq!(group.own.len() + of_frames, group.len());
        shares[0] += waiting[0] - queue.asks.len();
        for (at, (id, commands)) in (1..).zip((1..).zip(frames)) {
            let left = queue.frames.get(&NodeId(id)).map_or(0, VecDeque::len);
            shares[at] += (waiting[at] - left) * commands;
        }
    }
    shares
}

/// As many buyers here and on each follower must win alike, for frames of this build's sizes and
/// nearly so for larger ones, as an older build sends: two of them may not fit into one batch.
#[test]
fn own_buyers_and_each_followers_get_equal_parts_whatever_a_frames_size() {
    assert!(most() < COMMANDS_MAX, "it is the bytes that bound a batch of these");
    let frame_most = most() / 4;
    let sizes = [1, 7, frame_most / 2, frame_most, most() / 3, most() / 2 + 1, most() - 1, most()];
    let pairs = sizes.iter().flat_map(|one| sizes.map(|other| vec![*one, other]));
    for frames in sizes.map(|one| vec![one]).into_iter().chain(pairs) {
        let shares = shares(&frames, 60);
        let equal = shares.iter().sum::<usize>() / shares.len();
        let is_of_this_build = frames.iter().all(|commands| *commands <= frame_most);
        let apart = if is_of_this_build { equal / 20 } else { equal / 3 };
        for share in &shares {
            assert!(share.abs_diff(equal) <= apart, "{shares:?} beside frames of {frames:?}");
        }
    }
}

#[test]
fn who_waits_alone_gets_all_of_a_batch() {
    let mut queue = Queue::default();
    for at in 0..2 * COMMANDS_MAX {
        queue.push(ask(at));
    }
    assert_eq!(Group::take(&mut queue, Room::Frame).unwrap().own.len(), most() / 4);
    assert_eq!(queue.take_asks().len(), most() / 4);
    assert_eq!(Group::take(&mut queue, Room::Entry).unwrap().own.len(), most());
    let mut queue = Queue::default();
    for _ in 0..COMMANDS_MAX {
        queue.push_frame(frame(2, 1));
    }
    assert_eq!(Group::take(&mut queue, Room::Entry).unwrap().frames.len(), most());
}

/// An older build may send more than this one would put into a batch: it still goes, alone.
#[test]
fn a_frame_that_is_too_large_goes_alone_and_holds_nobody_up() {
    let mut queue = Queue::default();
    for at in 0..3 {
        queue.push(ask(at));
    }
    for _ in 0..2 {
        queue.push_frame(frame(2, most() + 1));
    }
    let mut taken = Vec::new();
    while let Some(group) = Group::take(&mut queue, Room::Entry) {
        taken.push((group.own.len(), group.frames.len()));
    }
    assert_eq!(taken, [(3, 0), (0, 1), (0, 1)]);
}
