//! Random batches, on the machine and on a naive model of it.
//!
//! Properties: equal replies; the invariants; peek agrees with apply; equal logs cut into batches
//! otherwise give equal hashes; the kept hash is that of the state; a restored machine is the
//! machine, then and for all that follows, and so is what readers ask of its orders.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod logs;
mod naive;

use logs::{CURSORS, SKUS, USERS, bounds, log};
use naive::Model;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::BTreeMap;
use stock::{
    Applied, Assembly, Attempt, Batch, Bounds, Change, Command, Digest, Digester, Envelope, Event,
    HoldState, HoldTally, HotState, MARK_EVENTS, Machine, Outcome, Refusal, Reply, Requester,
    Restore, RestoreError, Rules, Seq, Sku, Terms, Traces, UserId, codec,
};

/// What peek says before a batch is what apply says to its first command, when time stands still.
fn check_peek(machine: &Machine, batch: &Batch, peeked: Option<&Option<Reply>>, applied: &Applied) {
    let (Some(peeked), Some(first)) = (peeked, batch.commands.first()) else {
        return;
    };
    if let Some(reply) = peeked {
        assert_eq!(*reply, applied.replies[0], "peek at {first:?}");
        // What a later attempt is answered, every copy of it must be answered from now on.
        let decided = reply.replayed || reply.outcome == Outcome::Refused(Refusal::KeyReused);
        let for_good = decided || first.attempt == Attempt::First;
        assert!(for_good, "peek answers {first:?} with {reply:?}, which is stored nowhere");
    } else {
        let reply = &applied.replies[0];
        // Cursors move, and keys may change, without an event.
        let noted = matches!(
            reply.outcome,
            Outcome::CursorMoved { .. }
                | Outcome::CursorRemoved { .. }
                | Outcome::Counted { .. }
                | Outcome::Withdrawn
        );
        let changed = noted || applied.events.iter().any(|event| event.seq == reply.seq);
        let stored = first.attempt == Attempt::Later && machine.peek(first).is_some();
        assert!((changed && !reply.replayed) || stored, "peek let {first:?} pass for {reply:?}");
    }
}

/// Whoever asks again about a decrement that became an order is told what the first answer said.
fn check_told_again(machine: &Machine, batch: &Batch, applied: &Applied, events: &[Event]) {
    for (envelope, reply) in batch.commands.iter().zip(&applied.replies) {
        let Outcome::Bought { remaining } = reply.outcome else { continue };
        let before = machine.peek(envelope).map(|reply| reply.outcome);
        assert_eq!(before, Some(Outcome::BoughtBefore { order: reply.seq }), "{envelope:?}");
        let event = &events[reply.seq.0 as usize - 1];
        let counted = event.change.counted().filter(|_| machine.rules() == Rules::Four);
        assert!(counted.is_none_or(|count| count == remaining), "{event:?}: {remaining} were told");
    }
}

fn check_invariants(machine: &Machine, model: &Model) {
    assert_eq!(machine.state_hash(), machine.recompute_hash());
    assert_eq!(machine.seq(), model.seq());
    assert_eq!(machine.log_time_ms(), model.now_ms);
    let skus: Vec<Sku> = SKUS.iter().map(|sku| sku.parse().unwrap()).collect();
    for sku in &skus {
        assert_eq!(machine.product(sku).cloned(), model.product(sku));
        assert_eq!(machine.count(sku), model.count(sku), "{sku}");
    }
    assert!(machine.products().map(|product| &product.terms.sku).is_sorted());
    let sold_out = machine.products().filter(|product| product.available == 0);
    assert!(machine.sold_out().map(|(sku, _)| sku).eq(sold_out.map(|product| &product.terms.sku)));
    for (sku, since) in machine.sold_out() {
        assert_eq!(since, model.sold_out_since(sku), "{sku}");
    }
    for product in machine.products() {
        assert_eq!(product.available + product.held + product.sold, product.stocked);
    }
    assert_eq!(machine.next_due_ms(), model.next_due_ms());
    for event in &model.events {
        if let Some(order) = event.change.order() {
            assert_eq!(machine.order_of(order.user, order.request_id), Some(event.seq));
        }
    }
    for name in CURSORS.map(|name| name.parse().unwrap()) {
        assert_eq!(machine.cursor(&name), model.cursor(&name), "{name}");
        assert_eq!(machine.cursor_target(&name), model.cursor_target(&name), "{name}");
    }
    check_orders(machine, model);
    assert_eq!(machine.hold_tally(), tally(&model.events));
    let mut open: Vec<(u64, Seq)> =
        machine.open_holds().map(|(id, hold)| (hold.expires_at_ms, id)).collect();
    open.sort_unstable_by_key(|(_, id)| *id);
    assert_eq!(open, model.open_holds());
    let due = open.iter().filter(|(at_ms, _)| *at_ms <= model.now_ms).count();
    assert!(due == 0 || model.may_be_due(), "{due} holds are due");
    for user in USERS.map(|user| user.parse::<UserId>().unwrap()) {
        for key in (0..12).map(|key| format!("key-{key}").parse().unwrap()) {
            assert_eq!(machine.done_by(&user, &key), model.done_by(&user, &key), "{user} {key}");
        }
    }
    for id in (0..=model.seq().0).map(Seq) {
        let settlement = match machine.hold(id) {
            Some(HoldState::Settled(settlement)) => Some(settlement),
            Some(HoldState::Open(_)) | None => None,
        };
        assert_eq!(settlement, model.settlement(id), "hold {id}");
    }
}

/// A batch of one change that is always possible.
fn filling(seq: Seq) -> Batch {
    let sku = format!("filling-{seq}").parse().unwrap();
    let create = Envelope {
        requester: Requester::Operator,
        request_id: format!("filling-{seq}").parse().unwrap(),
        attempt: Attempt::First,
        command: Command::CreateProduct(Box::new(Terms::plain(sku, "Filling", 1))),
    };
    Batch { stamp_ms: 0, commands: vec![create] }
}

/// What the events say of all holds.
fn tally(events: &[Event]) -> HoldTally {
    let mut tally = HoldTally::default();
    for event in events {
        match &event.change {
            Change::Held { .. } | Change::HeldFor { .. } => tally.made += 1,
            Change::Confirmed { .. } => tally.confirmed += 1,
            Change::Released { .. } | Change::ReleasedFor { .. } => tally.released += 1,
            Change::Expired { .. } => tally.expired += 1,
            _ => {}
        }
    }
    tally
}

/// What readers ask of the orders, which no hash covers.
fn check_orders(machine: &Machine, model: &Model) {
    for user in USERS.map(|user| user.parse::<UserId>().unwrap()) {
        let all = model.orders_of(&user);
        assert_eq!(machine.orders_of(&user, Seq(0)).collect::<Vec<_>>(), all);
        for (position, order) in all.iter().enumerate() {
            let rest: Vec<_> = machine.orders_of(&user, *order).collect();
            assert_eq!(rest, all[position + 1..]);
        }
    }
    assert_eq!(machine.chain(), model.chain(model.seq()));
    for event in &model.events {
        let mut chain = machine.chain_before(event.seq);
        assert!(chain.seq < event.seq, "{chain:?} is not before {}", event.seq);
        assert_eq!(chain, model.chain(chain.seq));
        let next = usize::try_from(chain.seq.0).unwrap();
        for event in &model.events[next..usize::try_from(event.seq.0).unwrap()] {
            chain.follow(event);
        }
        assert_eq!(chain, model.chain(event.seq), "from the mark to {}", event.seq);
    }
}

/// The machine, after a trip through its snapshot's bytes.
fn restored(machine: &Machine, bounds: Bounds, events: &[Event]) -> Machine {
    let mut restore = Restore::with_bounds(saved(machine), bounds);
    for event in events {
        restore.event(event).unwrap();
    }
    let restored = restore.finish().unwrap();
    check_same(&restored, machine);
    restored
}

/// A snapshot's hot state, as it is read back.
fn saved(machine: &Machine) -> HotState {
    let bytes = codec::encode(&machine.hot_copy(), u64::MAX).unwrap();
    assert_eq!(bytes, codec::encode(&machine.hot_state(), u64::MAX).unwrap());
    let hot: HotState = codec::decode(&bytes, u64::MAX).unwrap();
    assert_eq!(hot, machine.hot_state());
    hot
}

fn check_same(restored: &Machine, machine: &Machine) {
    assert_eq!(restored.rules(), machine.rules());
    assert_eq!(restored.state_hash(), machine.state_hash());
    assert_eq!(restored.recompute_hash(), machine.state_hash());
    assert_eq!(restored.hot_state(), machine.hot_state());
    assert_eq!(restored.chain(), machine.chain());
    assert_eq!(restored.hold_tally(), machine.hold_tally());
    for user in USERS.map(|user| user.parse::<UserId>().unwrap()) {
        assert!(restored.orders_of(&user, Seq(0)).eq(machine.orders_of(&user, Seq(0))));
    }
    for seq in 1..=machine.seq().0 {
        assert_eq!(restored.chain_before(Seq(seq)), machine.chain_before(Seq(seq)));
    }
}

/// A machine that a log has led to, and its events.
fn played(bounds: Bounds, log: &[(Rules, Batch)]) -> (Machine, Vec<Event>) {
    let (mut machine, mut events) = (Machine::with_bounds(bounds), Vec::new());
    for (rules, batch) in log {
        machine.adopt(*rules);
        events.extend(machine.apply(batch).events);
    }
    (machine, events)
}

/// That equal machines stay so, whatever follows. Returns the events that follow.
fn check_same_ever_after(machines: [&mut Machine; 2], log: &[(Rules, Batch)]) -> Vec<Event> {
    let [machine, other] = machines;
    let mut events = Vec::new();
    for (rules, batch) in log {
        machine.adopt(*rules);
        other.adopt(*rules);
        let applied = machine.apply(batch);
        assert_eq!(applied, other.apply(batch));
        assert_eq!(machine.state_hash(), other.state_hash());
        events.extend(applied.events);
    }
    check_same(other, machine);
    events
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn machine_is_the_model(log in log(), bounds in bounds()) {
        let (mut machine, mut model) = (Machine::with_bounds(bounds), Model::new(bounds));
        for (rules, batch) in &log {
            machine.adopt(*rules);
            model.adopt(*rules);
            let peeked = (batch.stamp_ms <= machine.log_time_ms())
                .then(|| batch.commands.first().and_then(|first| machine.peek(first)));
            // What is due or too much goes with the next apply, so peek may see more than that.
            let settled = machine.state_hash();
            let seq_before = machine.seq();
            let mut probe = (peeked.is_some()).then(|| restored(&machine, bounds, &model.events));
            let still = probe.as_mut().is_some_and(|probe| {
                probe.apply(&Batch { stamp_ms: batch.stamp_ms, commands: Vec::new() });
                probe.state_hash() == settled
            });
            let applied = machine.apply(batch);
            prop_assert_eq!(&applied.replies, &model.apply(batch), "batch {:?}", batch);
            prop_assert_eq!(&applied.events, &model.events[seq_before.0 as usize..]);
            check_told_again(&machine, batch, &applied, &model.events);
            if still {
                check_peek(&machine, batch, peeked.as_ref(), &applied);
            }
            check_invariants(&machine, &model);
        }
    }

    #[test]
    fn hash_does_not_depend_on_batches(log in log(), cut in 1..5usize) {
        let (mut whole, mut parts) = (Machine::new(), Machine::new());
        for (rules, batch) in &log {
            let stamp_ms = batch.stamp_ms;
            whole.adopt(*rules);
            parts.adopt(*rules);
            let expected = whole.apply(batch);
            let mut actual =
                Applied { replies: Vec::new(), events: Vec::new(), traces: Traces::default() };
            for commands in batch.commands.chunks(cut) {
                let part = parts.apply(&Batch { stamp_ms, commands: commands.to_vec() });
                actual.replies.extend(part.replies);
                actual.events.extend(part.events);
                actual.traces.append(part.traces);
            }
            if batch.commands.is_empty() {
                let part = parts.apply(batch);
                actual.events.extend(part.events);
                actual.traces.append(part.traces);
            }
            prop_assert_eq!(expected, actual);
            prop_assert_eq!(whole.state_hash(), parts.state_hash());
        }
    }

    #[test]
    fn restored_machine_is_the_machine(
        log in log(),
        bounds in bounds(),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(log.len());
        let (mut machine, mut events) = played(bounds, &log[..at]);
        let mut other = restored(&machine, bounds, &events);
        events.extend(check_same_ever_after([&mut machine, &mut other], &log[at..]));
        restored(&other, bounds, &events);
    }

    /// From an earlier state of the same history, by the events since; and so ever after. The
    /// earlier one stays as it was, although both share what is large.
    #[test]
    fn an_earlier_machine_goes_on_to_a_snapshot(
        log in log(),
        bounds in bounds(),
        cuts in any::<[prop::sample::Index; 2]>(),
    ) {
        let mut cuts = cuts.map(|cut| cut.index(log.len() + 1));
        cuts.sort_unstable();
        let (mut machine, mut events) = (Machine::with_bounds(bounds), Vec::new());
        let mut earlier = machine.clone();
        for (at, (rules, batch)) in log[..cuts[1]].iter().enumerate() {
            if at == cuts[0] {
                earlier = machine.clone();
            }
            machine.adopt(*rules);
            events.extend(machine.apply(batch).events);
        }
        if cuts[0] == cuts[1] {
            earlier = machine.clone();
        }
        let before = earlier.hot_state();
        let mut other = match Restore::from_earlier(earlier.clone(), saved(&machine)) {
            Ok(mut restore) => {
                for event in &events[usize::try_from(restore.seq().0).unwrap()..] {
                    restore.event(event).unwrap();
                }
                restore.finish().unwrap()
            }
            Err(RestoreError::NotOnTheWay { .. }) => {
                prop_assert_ne!(earlier.rules(), machine.rules());
                restored(&machine, bounds, &events)
            }
            Err(error) => panic!("{error}"),
        };
        check_same(&other, &machine);
        check_same_ever_after([&mut machine, &mut other], &log[cuts[1]..]);
        prop_assert_eq!(earlier.hot_state(), before);
        prop_assert_eq!(earlier.recompute_hash(), earlier.state_hash());
    }

    /// From digests of its events, wherever they are cut; and so ever after.
    #[test]
    fn an_assembled_machine_is_the_machine(
        log in log(),
        bounds in bounds(),
        at in any::<prop::sample::Index>(),
        cut in 1..40usize,
    ) {
        let at = at.index(log.len() + 1);
        let (mut machine, events) = played(bounds, &log[..at]);
        let mut digester = Digester::default();
        let mut assembly = Assembly::with_bounds(saved(&machine), machine.chain().orders, bounds);
        for events in events.chunks(cut) {
            let digest = digester.digest(events).unwrap();
            let bytes = codec::encode(&digest, u64::MAX).unwrap();
            let read: Digest = codec::decode(&bytes, u64::MAX).unwrap();
            prop_assert_eq!(&read, &digest);
            assembly.add(read).unwrap();
        }
        let mut other = assembly.finish().unwrap();
        check_same(&other, &machine);
        check_same_ever_after([&mut machine, &mut other], &log[at..]);
    }

    /// What the machine knew of its orders makes the digest that the events make; and what it knew
    /// of others makes none.
    #[test]
    fn a_digest_by_traces_is_the_digest(log in log(), bounds in bounds()) {
        let mut machine = Machine::with_bounds(bounds);
        let (mut events, mut traces) = (Vec::new(), Traces::default());
        let mut note = |applied: Applied| {
            events.extend(applied.events);
            traces.append(applied.traces);
        };
        for (rules, batch) in &log {
            machine.adopt(*rules);
            note(machine.apply(batch));
        }
        while machine.seq() == Seq(0) || !machine.seq().0.is_multiple_of(MARK_EVENTS) {
            note(machine.apply(&filling(machine.seq())));
        }
        let (mut hashing, mut tracing) = (Digester::default(), Digester::default());
        let digest = hashing.digest(&events).unwrap();
        prop_assert_eq!(&tracing.clone().digest_traced(&events, &traces).unwrap(), &digest);
        let first = events.iter().find(|event| event.change.order().is_some()).map(|event| event.seq);
        if let Some(first) = first {
            let late = traces.split_off_after(first);
            prop_assert!(tracing.clone().digest_traced(&events, &traces).is_err());
            prop_assert!(tracing.digest_traced(&events, &late).is_err());
            prop_assert_eq!(tracing.seq(), Seq(0));
            traces.append(late);
        }
        prop_assert_eq!(tracing.digest_traced(&events, &traces).unwrap(), digest);
        prop_assert_eq!(tracing.seq(), hashing.seq());
    }

    /// Equal hashes are worth something only if unequal states differ in them.
    #[test]
    fn every_change_changes_the_hash(log in log()) {
        let mut machine = Machine::new();
        let mut seen: BTreeMap<u128, HotState> = BTreeMap::new();
        for (rules, batch) in &log {
            machine.adopt(*rules);
            machine.apply(batch);
            let state = machine.hot_state();
            let before = seen.insert(machine.state_hash(), state.clone());
            prop_assert!(before.is_none_or(|before| before == state));
        }
    }
}
