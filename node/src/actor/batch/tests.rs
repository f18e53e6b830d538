//! That nobody starves: the node's own buyers beside frames of every size, and the frames.

use super::*;
use stock::{Attempt, Quantity, RequestId, Requester, Sku, UserId};

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

fn frame(commands: usize) -> ForwardedFrame {
    let (reply, _answered) = oneshot::channel();
    ForwardedFrame { commands: (0..commands).map(long_buy).collect(), reply }
}

/// The most such buys that fit one batch, or one frame.
fn most() -> usize {
    BYTES_MAX / bytes(&long_buy(0))
}

/// Own commands, and those of frames, in so many batches of a queue that stays full of both.
fn shares(frame_commands: usize, batches: usize) -> (usize, usize) {
    let mut queue = Queue::default();
    let (mut own, mut framed) = (0, 0);
    for _ in 0..batches {
        while queue.asks.len() < 2 * COMMANDS_MAX {
            queue.push(ask(queue.asks.len()));
        }
        while queue.frames.len() < 2 * COMMANDS_MAX / frame_commands + 2 {
            queue.push_frame(frame(frame_commands));
        }
        let group = Group::take(&mut queue).unwrap();
        let size = group.batch.commands.iter().map(bytes).sum::<usize>();
        assert!(size <= BYTES_MAX && group.len() <= COMMANDS_MAX, "{size} of {}", group.len());
        let of_frames: usize = group.frames.iter().map(|slot| slot.commands).sum();
        assert_eq!(group.own.len() + of_frames, group.len());
        own += group.own.len();
        framed += of_frames;
    }
    (own, framed)
}

#[test]
fn own_buyers_and_followers_get_their_share_whatever_a_frames_size() {
    assert!(most() < COMMANDS_MAX, "it is the bytes that bound a batch of these");
    for frame_commands in [1, 7, most() / 3, most() / 2, most() / 2 + 1, most() - 1, most()] {
        let (own, framed) = shares(frame_commands, 20);
        let all = own + framed;
        assert!(own * 3 >= all, "{own} own of {all} beside frames of {frame_commands}");
        assert!(framed * 3 >= all, "{framed} of {all} in frames of {frame_commands}");
    }
}

#[test]
fn who_waits_alone_gets_all_of_a_batch() {
    let mut queue = Queue::default();
    for at in 0..2 * COMMANDS_MAX {
        queue.push(ask(at));
    }
    assert_eq!(Group::take(&mut queue).unwrap().own.len(), most());
    let mut queue = Queue::default();
    for _ in 0..COMMANDS_MAX {
        queue.push_frame(frame(1));
    }
    assert_eq!(Group::take(&mut queue).unwrap().frames.len(), most());
}

/// An older build may send more than this one would put into a batch: it still goes, alone.
#[test]
fn a_frame_that_is_too_large_goes_alone_and_holds_nobody_up() {
    let mut queue = Queue::default();
    for at in 0..3 {
        queue.push(ask(at));
    }
    for _ in 0..2 {
        queue.push_frame(frame(most() + 1));
    }
    let mut taken = Vec::new();
    while let Some(group) = Group::take(&mut queue) {
        taken.push((group.own.len(), group.frames.len()));
    }
    assert_eq!(taken, [(0, 1), (3, 0), (0, 1)]);
}
