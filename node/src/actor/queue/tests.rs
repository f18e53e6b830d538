//! That nobody starves: the node's own buyers beside frames of every size, and the frames. That
//! buyers win alike wherever they ask. That whoever would wait for too long is told so.

use super::*;
use crate::actor::{ReplyTo, Tries};
use std::time::Duration;
use stock::{Attempt, Quantity, RequestId, Requester, Sku, UserId};
use tokio::sync::oneshot;

/// Buyers at each follower, and here.
const WAITING: usize = 2 * COMMANDS_MAX;
const WAIT_MAX: Duration = Duration::from_secs(1);

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
        came: Instant::now(),
        deadline: Instant::now() + Duration::from_secs(3600),
        reply_to: ReplyTo::alone(asker),
        tries: Tries::UntilDeadline,
        waits: tracing::Span::none(),
    }
}

fn frame(from: u64, commands: usize) -> ForwardedFrame {
    framed(from, commands, (0..commands).map(long_buy).collect())
}

fn framed(from: u64, waiting: usize, commands: Vec<Envelope>) -> ForwardedFrame {
    let (reply, _answered) = oneshot::channel();
    ForwardedFrame { from: NodeId(from), waiting, commands, reply }
}

/// The most such buys that fit one batch, or one frame.
fn most() -> usize {
    BYTES_MAX / bytes(&long_buy(0))
}

/// Commands by lane, own ones first, in so many batches of a queue that stays full of all. Each
/// follower's frames are of another size.
fn shares(frames: &[usize], batches: usize) -> Vec<usize> {
    let mut queue = Queue::new(WAIT_MAX);
    let mut shares = vec![0; 1 + frames.len()];
    for _ in 0..batches {
        while queue.asks.len() < WAITING {
            queue.push(ask(queue.asks.len()));
        }
        let mut waiting = vec![queue.asks.len()];
        for (id, commands) in (1..).zip(frames) {
            let enough = 2 * COMMANDS_MAX / commands + 2;
            while queue.frames.get(&NodeId(id)).is_none_or(|frames| frames.len() < enough) {
                queue.push_frame(ForwardedFrame { waiting: WAITING, ..frame(id, *commands) });
            }
            waiting.push(queue.frames[&NodeId(id)].len());
        }
        let group = Group::take(&mut queue, Room::Entry).unwrap();
        queue.landed(&group.load());
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
    let mut queue = Queue::new(WAIT_MAX);
    for at in 0..2 * COMMANDS_MAX {
        queue.push(ask(at));
    }
    assert_eq!(Group::take(&mut queue, Room::Frame).unwrap().own.len(), most() / 4);
    assert_eq!(queue.take_asks().len(), most() / 4);
    assert_eq!(Group::take(&mut queue, Room::Entry).unwrap().own.len(), most());
    let mut queue = Queue::new(WAIT_MAX);
    for _ in 0..COMMANDS_MAX {
        queue.push_frame(frame(2, 1));
    }
    assert_eq!(Group::take(&mut queue, Room::Entry).unwrap().frames.len(), most());
}

/// An older build may send more than this one would put into a batch: it still goes, alone.
#[test]
fn a_frame_that_is_too_large_goes_alone_and_holds_nobody_up() {
    let mut queue = Queue::new(WAIT_MAX);
    for at in 0..3 {
        queue.push(ask(at));
    }
    for _ in 0..2 {
        queue.push_frame(frame(2, most() + 1));
    }
    let mut taken = Vec::new();
    while let Some(group) = Group::take(&mut queue, Room::Entry) {
        queue.landed(&group.load());
        taken.push((group.own.len(), group.frames.len()));
    }
    let own: usize = taken.iter().map(|(own, _)| own).sum();
    assert!(own == 3 && taken.iter().filter(|(_, frames)| *frames == 1).count() == 2, "{taken:?}");
    assert!(taken.iter().all(|(own, frames)| *own == 0 || *frames == 0), "{taken:?}");
}

/// A leader, node 1, and its followers: each buyer asks again soon after he is answered. Time goes
/// in steps; an entry takes some, and so does each way between two nodes.
struct Sale {
    now: usize,
    nodes: Vec<Node>,
    /// Until when an entry takes, and what is in it.
    entries: VecDeque<(usize, Group)>,
    /// When it comes to the leader or back, and what.
    on_the_way: VecDeque<(usize, Passing)>,
    /// When which nodes' buyers ask again.
    again: BTreeMap<usize, Vec<usize>>,
    random: u32,
}

struct Node {
    queue: Queue,
    /// The frames that are not answered, the oldest first.
    frames: VecDeque<Load>,
    won: usize,
}

enum Passing {
    Frame(ForwardedFrame),
    Answer(NodeId),
}

impl Sale {
    const ENTRY: usize = 20;
    const WAY: usize = 3;
    const PAUSE_MAX: usize = 20;

    /// With so many buyers at each node.
    fn of(buyers: &[usize]) -> Self {
        let node = || Node { queue: Queue::new(WAIT_MAX), frames: VecDeque::new(), won: 0 };
        let mut sale = Self {
            now: 0,
            nodes: buyers.iter().map(|_| node()).collect(),
            entries: VecDeque::new(),
            on_the_way: VecDeque::new(),
            again: BTreeMap::new(),
            random: 1,
        };
        for (node, buyers) in buyers.iter().enumerate() {
            (0..*buyers).for_each(|_| sale.asks_again(node));
        }
        sale
    }

    /// After so many steps: who has won at each node.
    fn won(mut self, steps: usize) -> Vec<usize> {
        (0..steps).for_each(|_| self.step());
        self.nodes.iter().map(|node| node.won).collect()
    }

    fn asks_again(&mut self, node: usize) {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let pause = usize::try_from(self.random >> 8).unwrap() % Self::PAUSE_MAX;
        self.again.entry(self.now + 1 + pause).or_default().push(node);
    }

    fn answered(&mut self, node: usize, load: &Load) {
        self.nodes[node].queue.landed(load);
        self.nodes[node].won += load.own;
        (0..load.own).for_each(|_| self.asks_again(node));
    }

    fn step(&mut self) {
        self.now += 1;
        for node in self.again.remove(&self.now).unwrap_or_default() {
            self.nodes[node].queue.push(ask(node));
        }
        while let Some((_, group)) = pop_if(&mut self.entries, |(until, _)| *until <= self.now) {
            let load = group.load();
            let back = load.frames.iter().map(|(from, _)| Passing::Answer(*from));
            self.on_the_way.extend(back.map(|answer| (self.now + Self::WAY, answer)));
            self.answered(0, &load);
        }
        while let Some((_, passing)) = pop_if(&mut self.on_the_way, |(at, _)| *at <= self.now) {
            match passing {
                Passing::Frame(frame) => self.nodes[0].queue.push_frame(frame),
                Passing::Answer(of) => {
                    let node = usize::try_from(of.0).unwrap() - 1;
                    let load = self.nodes[node].frames.pop_front().unwrap();
                    self.answered(node, &load);
                }
            }
        }
        for (id, node) in (1..).zip(&mut self.nodes).skip(1) {
            while node.frames.len() < crate::actor::FRAMES_IN_FLIGHT_MAX
                && let Some(group) = node.next(Room::Frame)
            {
                node.frames.push_back(group.load());
                let frame = framed(id, group.waiting, group.batch.commands);
                self.on_the_way.push_back((self.now + Self::WAY, Passing::Frame(frame)));
            }
        }
        while self.entries.len() < crate::actor::PROPOSALS_IN_FLIGHT_MAX
            && let Some(group) = self.nodes[0].next(Room::Entry)
        {
            self.entries.push_back((self.now + Self::ENTRY, group));
        }
    }
}

impl Node {
    fn next(&mut self, room: Room) -> Option<Group> {
        self.queue.is_worth_a_batch(room).then(|| Group::take(&mut self.queue, room)).flatten()
    }
}

/// As many win at each node as there are buyers, be they few or more than batches hold, although a
/// follower's wait for their frames and for the way.
#[test]
fn buyers_win_alike_wherever_they_ask() {
    for buyers in [[60, 60, 60], [300, 300, 300], [2_000, 2_000, 2_000], [200, 400, 200]] {
        let won = Sale::of(&buyers).won(1_500);
        let (all, all_buyers): (usize, usize) = (won.iter().sum(), buyers.iter().sum());
        for (won_here, buyers_here) in won.iter().zip(buyers) {
            let fair = all * buyers_here / all_buyers;
            assert!(won_here.abs_diff(fair) <= fair / 20, "{buyers:?} won {won:?}");
        }
    }
}

/// Who asks the leader is not held up by a few elsewhere, nor by a follower that has gone.
#[test]
fn few_buyers_elsewhere_hold_up_nobody() {
    let alone = Sale::of(&[300, 0, 0]).won(1_500)[0];
    let beside_few = Sale::of(&[300, 3, 3]).won(1_500)[0];
    assert!(beside_few >= alone * 9 / 10, "{beside_few} of {alone}");
    let mut sale = Sale::of(&[300, 300, 300]);
    (0..100).for_each(|_| sale.step());
    sale.nodes.truncate(1);
    sale.on_the_way.clear();
    sale.again.values_mut().for_each(|nodes| nodes.retain(|node| *node == 0));
    let before = sale.nodes[0].won;
    // What its last entries answer goes nowhere.
    for _ in 0..1_500 {
        sale.on_the_way.clear();
        sale.step();
    }
    let left_alone = sale.nodes[0].won - before;
    assert!(left_alone >= alone * 9 / 10, "{left_alone} of {alone}");
}

/// One that came too long ago.
fn late(now: Instant, ask: Ask) -> Ask {
    Ask { came: now.checked_sub(2 * WAIT_MAX).unwrap(), ..ask }
}

/// Who has waited for too long is told that nothing was done, and is in no batch. What others
/// bound goes on, and so does everybody after an outage.
#[test]
fn a_click_that_waited_too_long_is_shed_and_nothing_else() {
    let now = Instant::now();
    let (asker, mut answered) = oneshot::channel();
    let click = Ask { reply_to: ReplyTo::alone(asker), ..late(now, ask(1)) };
    let (_gathering, mut places) = crate::actor::Gathering::new(1);
    let among = Ask { reply_to: places.next().unwrap(), ..late(now, ask(2)) };
    let operators = Envelope {
        requester: Requester::Operator,
        command: Command::Restock { sku: Sku::new("p").unwrap(), quantity: 1 },
        ..long_buy(3)
    };
    let operators = Ask { envelope: operators, ..late(now, ask(3)) };
    let mut queue = Queue::new(WAIT_MAX);
    queue.patience = Patience::new(WAIT_MAX, now.checked_sub(10 * WAIT_MAX).unwrap());
    queue.patience.started(now);
    for ask in [click, among, operators, ask(4)] {
        queue.push(ask);
    }
    let group = Group::take(&mut queue, Room::Frame).unwrap();
    let ids = |at: usize| long_buy(at).request_id;
    let taken: Vec<RequestId> =
        group.batch.commands.iter().map(|command| command.request_id.clone()).collect();
    assert_eq!(taken, [2, 3, 4].map(ids));
    let told = answered.try_recv().unwrap().answer;
    assert!(matches!(told, crate::actor::Answer::NotProposed(NotProposed::MailboxFull)));

    queue.push(late(now, ask(5)));
    queue.begin_anew();
    assert_eq!(Group::take(&mut queue, Room::Frame).unwrap().len(), 1);
}
