//! Random logs: batches whose commands often mean something to what came before.

use proptest::prelude::*;
use stock::{
    Attempt, Batch, Bounds, Cancel, Change, Command, CursorMove, CursorMoveFor, CursorRemoval,
    Debt, Edit, Envelope, Event, HoldTtl, Item, Items, Machine, Price, ProductUpdate, Quantity,
    Requester, Rules, Seq, SetIf, Sku, Terms,
};

pub(crate) const SKUS: [&str; 3] = ["cap", "mug", "tee"];
pub(crate) const CURSORS: [&str; 2] = ["orders", "hooks"];
pub(crate) const USERS: [&str; 3] = ["ann", "bob", "cid"];

fn sku() -> impl Strategy<Value = Sku> {
    prop::sample::select(&SKUS[..]).prop_map(|sku| sku.parse().unwrap())
}

fn requester() -> impl Strategy<Value = Requester> {
    prop_oneof![
        1 => Just(Requester::Operator),
        6 => prop::sample::select(&USERS[..])
            .prop_map(|user| Requester::User(user.parse().unwrap())),
    ]
}

fn edit<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Edit<T>> {
    prop_oneof![3 => Just(Edit::Keep), 1 => Just(Edit::Clear), 2 => value.prop_map(Edit::Set)]
}

fn ttl() -> impl Strategy<Value = Option<HoldTtl>> {
    let hour = 3_600_000;
    prop::option::weighted(0.4, prop::sample::select(vec![1_000, hour, 24 * hour]))
        .prop_map(|ttl| ttl.map(|ms| HoldTtl::from_ms(ms).unwrap()))
}

fn update() -> impl Strategy<Value = ProductUpdate> {
    let limit = edit((1..5u64).prop_map(|units| Quantity::new(units).unwrap()));
    let price = edit((0..3u64).prop_map(|minor_units| {
        let currency = "EUR".parse().unwrap();
        Price { minor_units, currency }
    }));
    let hour = 3_600_000;
    // Around the times of the batches.
    let instant = || edit((40..90u64).prop_map(move |hours| hours * hour));
    let if_match = prop::option::weighted(0.2, (0..20u64).prop_map(Seq));
    (sku(), if_match, limit, price, instant(), instant(), ttl()).prop_map(
        |(sku, if_match, per_user_limit, price, starts_at_ms, ends_at_ms, hold_ttl)| {
            ProductUpdate {
                if_match,
                per_user_limit,
                price,
                starts_at_ms,
                ends_at_ms,
                hold_ttl,
                ..ProductUpdate::of(sku)
            }
        },
    )
}

fn items() -> impl Strategy<Value = Items> {
    prop::collection::btree_map(0..SKUS.len(), 1..4u64, 1..SKUS.len()).prop_map(|items| {
        let item = |(sku, units): (usize, u64)| Item {
            sku: SKUS[sku].parse().unwrap(),
            quantity: Quantity::new(units).unwrap(),
        };
        Items::new(items.into_iter().map(item).collect()).unwrap()
    })
}

/// What names a change that has yet to happen: `aimed` puts in its place what did.
fn of_change() -> impl Strategy<Value = Command> {
    let nth = || (0..12u64).prop_map(Seq);
    prop_oneof![
        nth().prop_map(|hold| Command::Confirm { hold }),
        nth().prop_map(|hold| Command::Release { hold }),
        (nth(), items()).prop_map(|(order, items)| {
            let (user, request_id) = ("ann".parse().unwrap(), "key-0".parse().unwrap());
            Command::Cancel(Box::new(Cancel { order, user, request_id, items, hold: None }))
        }),
    ]
}

/// Aims a command of [`of_change`] at the nth last hold or order, mostly in its owner's name; what
/// finds none stays as it is.
fn aimed(mut envelope: Envelope, events: &[Event]) -> Envelope {
    let nth_last = |nth: Seq, wanted: fn(&Change) -> bool| {
        events.iter().rev().filter(|event| wanted(&event.change)).nth(nth.0 as usize / 2)
    };
    let is_hold: fn(&Change) -> bool =
        |change| matches!(change, Change::Held { .. } | Change::HeldFor { .. });
    let is_order: fn(&Change) -> bool = |change| change.order().is_some();
    let owner = match &mut envelope.command {
        Command::Confirm { hold } | Command::Release { hold } => {
            let Some(event) = nth_last(*hold, is_hold) else { return envelope };
            let (Change::Held { user, .. } | Change::HeldFor { user, .. }) = &event.change else {
                unreachable!()
            };
            *hold = event.seq;
            user.clone()
        }
        Command::Cancel(cancel) => {
            let Some(event) = nth_last(cancel.order, is_order) else { return envelope };
            let content = event.change.order().unwrap();
            cancel.user = content.user.clone();
            // Some name it wrongly, in one thing or another.
            if cancel.order != Seq(9) {
                cancel.items = Items::new(content.items()).unwrap();
            }
            if cancel.order != Seq(10) {
                cancel.request_id = content.request_id.clone();
            }
            if cancel.order != Seq(11) {
                cancel.hold = content.hold;
            }
            cancel.order = event.seq;
            cancel.user.clone()
        }
        _ => return envelope,
    };
    if envelope.requester != Requester::Operator && envelope.request_id.as_str() != "key-3" {
        envelope.requester = Requester::User(owner);
    }
    envelope
}

fn command() -> impl Strategy<Value = Command> {
    let limit = prop::option::of((1..5u64).prop_map(|units| Quantity::new(units).unwrap()));
    // Half of the names are one, so that the same terms come again.
    let create = (sku(), 0..6u64, limit, prop::sample::select(vec!["", "", "other"])).prop_map(
        |(sku, stock, per_user_limit, name)| {
            let terms = Terms { per_user_limit, ..Terms::plain(sku, name, stock) };
            Command::CreateProduct(Box::new(terms))
        },
    );
    // Creates with more than the first layout knows.
    let create =
        (create, prop::option::weighted(0.3, update())).prop_map(|(create, update)| {
            match (create, update) {
                (Command::CreateProduct(terms), Some(update)) => {
                    Command::CreateProduct(Box::new(terms.updated(&update)))
                }
                (create, _) => create,
            }
        });
    let update = update().prop_map(|update| Command::UpdateProduct(Box::new(update)));
    let quantity = prop_oneof![
        20 => -5..6i64,
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
        1 => Just(999_999_999_998),
    ];
    let restock = (sku(), quantity).prop_map(|(sku, quantity)| Command::Restock { sku, quantity });
    let buy = (sku(), 1..4u64)
        .prop_map(|(sku, units)| Command::Buy { sku, quantity: Quantity::new(units).unwrap() });
    let basket = items().prop_map(|items| Command::BuyBasket { items });
    let hold = (items(), ttl()).prop_map(|(items, ttl)| Command::Hold { items, ttl });
    prop_oneof![
        6 => of_keys(),
        3 => of_cursors(),
        3 => create,
        2 => restock,
        2 => update,
        4 => buy,
        2 => basket,
        4 => hold,
        5 => of_change(),
    ]
}

/// Products as counters; decrements mostly go about as far as the stock.
fn of_keys() -> impl Strategy<Value = Command> {
    let by = prop_oneof![
        20 => -6..6i64,
        1 => prop::sample::select(vec![i64::MIN, i64::MAX, -999_999_999_999, 999_999_999_998]),
    ];
    let debt = prop::sample::select(vec![Debt::Refused, Debt::Allowed]);
    let available = prop_oneof![
        10 => 0..6u64,
        1 => prop::sample::select(vec![u64::MAX, 999_999_999_998]),
    ];
    let only = prop::sample::select(vec![SetIf::Always, SetIf::Missing, SetIf::Present]);
    prop_oneof![
        6 => (sku(), by, debt).prop_map(|(sku, by, debt)| Command::Count { sku, by, debt }),
        2 => (sku(), available, only)
            .prop_map(|(sku, available, only)| Command::SetAvailable { sku, available, only }),
        1 => sku().prop_map(|sku| Command::Withdraw { sku }),
    ]
}

fn of_cursors() -> impl Strategy<Value = Command> {
    let name = || prop::sample::select(&CURSORS[..]).prop_map(|name| name.parse().unwrap());
    let expected = || prop::option::weighted(0.7, 0..3u64);
    let moved = || {
        (name(), expected(), 0..3u64).prop_map(|(name, expected, position)| CursorMove {
            name,
            expected,
            position,
        })
    };
    let target = prop::sample::select(&["here", "there"][..]);
    prop_oneof![
        3 => moved().prop_map(Command::MoveCursor),
        3 => (moved(), target).prop_map(|(moved, target)| {
            let target = target.parse().unwrap();
            Command::MoveCursorFor(Box::new(CursorMoveFor { moved, target }))
        }),
        1 => (name(), 0..3u64).prop_map(|(name, expected)| {
            Command::RemoveCursor(CursorRemoval { name, expected })
        }),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let attempt = prop::sample::select(vec![Attempt::First, Attempt::First, Attempt::Later]);
    (requester(), 0..12u32, attempt, command()).prop_map(|(requester, key, attempt, command)| {
        Envelope { requester, request_id: format!("key-{key}").parse().unwrap(), attempt, command }
    })
}

/// Small bounds, so that much is beyond them.
pub(crate) fn bounds() -> impl Strategy<Value = Bounds> {
    let small = || prop_oneof![1..4usize, Just(1_000)];
    (small(), small(), small(), small(), small(), small()).prop_map(
        |(done, stored, operator_stored, counter_stored, settled, expiries)| Bounds {
            done,
            stored,
            operator_stored,
            counter_stored,
            settled,
            expiries,
        },
    )
}

/// Batches whose stamps mostly go on, at times jump by about a day, at times go back. The second
/// rules come with the first batch, a later one, or not at all, and so do the third after them, and
/// the fourth after those.
pub(crate) fn log() -> impl Strategy<Value = Vec<(Rules, Batch)>> {
    let adopted = prop_oneof![4 => Just(0), 3 => 0..12usize, 1 => Just(usize::MAX)];
    (batches(), adopted, 0..12usize, 0..12usize).prop_map(|(batches, adopted, third, fourth)| {
        let rules = |at| match at {
            at if at < adopted => Rules::One,
            at if at - adopted < third => Rules::Two,
            at if at - adopted - third < fourth => Rules::Three,
            _ => Rules::Four,
        };
        batches.into_iter().enumerate().map(|(at, batch)| (rules(at), batch)).collect()
    })
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let hour = 3_600_000;
    let step = prop::sample::select(vec![
        0,
        0,
        1,
        7,
        -3,
        -2 * hour,
        hour,
        11 * hour,
        24 * hour - 1,
        24 * hour,
    ]);
    // Attempts come again, in the same batch or a later one: repeat some of what was sent.
    let batch =
        (step, prop::collection::vec((envelope(), any::<Option<prop::sample::Index>>()), 0..8));
    prop::collection::vec(batch, 1..25).prop_map(|batches| {
        let mut sent: Vec<Envelope> = Vec::new();
        let mut clock_ms: u64 = 50 * 3_600_000;
        // What happens is what the commands of `of_change` are aimed at.
        let (mut machine, mut events) = (Machine::new(), Vec::new());
        let mut log = Vec::new();
        for (step_ms, commands) in batches {
            clock_ms = clock_ms.saturating_add_signed(step_ms);
            let mut batch = Batch { stamp_ms: clock_ms, commands: Vec::new() };
            for (fresh, repeat) in commands {
                let envelope = match repeat {
                    Some(index) if !sent.is_empty() => {
                        Envelope { attempt: fresh.attempt, ..index.get(&sent).clone() }
                    }
                    _ => aimed(fresh, &events),
                };
                sent.push(envelope.clone());
                batch.commands.push(envelope);
            }
            events.extend(machine.apply(&batch).events);
            log.push(batch);
        }
        log
    })
}
