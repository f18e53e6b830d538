//! How a script shows replies, events and states.

use stock::{Change, Event, Hold, Line, Order, Outcome, Product, Refusal, Reply, Seq, Terms};

pub(crate) fn show_reply(reply: &Reply) -> String {
    let outcome = match &reply.outcome {
        Outcome::ProductCreated(product) => format!("created {}", show_product(product)),
        Outcome::ProductUnchanged(product) => format!("unchanged {}", show_product(product)),
        Outcome::ProductUpdated(product) => {
            format!("updated {} {}", show_terms(&product.terms), show_product(product))
        }
        Outcome::Restocked(product) => format!("restocked {}", show_product(product)),
        Outcome::Bought { remaining } => format!("bought remaining={remaining}"),
        Outcome::BoughtBefore { order } => format!("bought-before order={order}"),
        Outcome::Refused(refusal) => format!("refused {}", show_refusal(refusal)),
        Outcome::Held { expires_at_ms, lines } => {
            format!("held until={expires_at_ms}ms {}", show_lines(lines))
        }
        Outcome::Confirmed { lines } => format!("confirmed {}", show_lines(lines)),
        Outcome::Released { lines } => format!("released {}", show_lines(lines)),
        Outcome::BasketBought { lines } => format!("bought {}", show_lines(lines)),
        Outcome::Cancelled { lines } => format!("cancelled {}", show_lines(lines)),
        Outcome::DoneBefore { change } => format!("done-before change={change}"),
        Outcome::CursorMoved { position } => format!("moved to={position}"),
        Outcome::Counted { count } => format!("counted {count}"),
        Outcome::Withdrawn => "withdrawn".into(),
        Outcome::CursorRemoved { position } => format!("removed from={position}"),
    };
    let replayed = if reply.replayed { " replayed" } else { "" };
    format!("seq={}{replayed} {outcome}", reply.seq)
}

pub(crate) fn show_refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownProduct => "unknown-product".into(),
        Refusal::ProductDiffers => "product-differs".into(),
        Refusal::SoldOut => "sold-out".into(),
        Refusal::Insufficient { remaining } => format!("insufficient remaining={remaining}"),
        Refusal::LimitReached { limit, bought } => {
            format!("limit-reached limit={limit} bought={bought}")
        }
        Refusal::RestockOutOfRange { available } => {
            format!("restock-out-of-range available={available}")
        }
        Refusal::KeyReused => "key-reused".into(),
        Refusal::TooManyProducts => "too-many-products".into(),
        Refusal::NotOpen { starts_at_ms } => format!("not-open starts={starts_at_ms}ms"),
        Refusal::SaleOver { ends_at_ms } => format!("sale-over ends={ends_at_ms}ms"),
        Refusal::VersionDiffers { seq } => format!("version-differs version={seq}"),
        Refusal::UnknownHold => "unknown-hold".into(),
        Refusal::HoldSettled { settlement } => format!("hold-settled {settlement:?}"),
        Refusal::HoldExpired { seq } => format!("hold-expired at={seq}"),
        Refusal::TooManyUserHolds => "too-many-user-holds".into(),
        Refusal::TooManyHolds => "too-many-holds".into(),
        Refusal::OfItem { sku, refusal } => format!("of {sku}: {}", show_refusal(refusal)),
        Refusal::UnknownOrder => "unknown-order".into(),
        Refusal::AlreadyCancelled => "already-cancelled".into(),
        Refusal::CursorMoved { position } => format!("cursor-moved at={position:?}"),
        Refusal::TooManyCursors => "too-many-cursors".into(),
        Refusal::CursorOfAnother => "cursor-of-another".into(),
        Refusal::UnknownCursor => "unknown-cursor".into(),
        Refusal::EmptyWindow { starts_at_ms, ends_at_ms } => {
            format!("empty-window starts={starts_at_ms}ms ends={ends_at_ms}ms")
        }
    }
}

pub(crate) fn show_product(product: &Product) -> String {
    let Product { terms: _, stocked, available, held, sold, seq } = product;
    format!("stocked={stocked} available={available} held={held} sold={sold} at={seq}")
}

pub(crate) fn show_lines(lines: &[Line]) -> String {
    let line = |Line { sku, quantity, available }: &Line| format!("{sku}:{quantity}/{available}");
    lines.iter().map(line).collect::<Vec<_>>().join(",")
}

pub(crate) fn show_hold(id: Seq, hold: &Hold) -> String {
    let Hold { user, items, expires_at_ms } = hold;
    let items = items.as_slice().iter().map(|item| format!("{}:{}", item.sku, item.quantity));
    let items: Vec<String> = items.collect();
    format!("hold {id} of {user} until={expires_at_ms}ms {}", items.join(","))
}

fn show_order(order: &Order) -> String {
    format!(
        "ordered {} x{} by {} key={} remaining={}",
        order.sku, order.quantity, order.user, order.request_id, order.remaining
    )
}

/// What the terms say beyond the id and the stock.
pub(crate) fn show_terms(terms: &Terms) -> String {
    let Terms { name, per_user_limit, price, starts_at_ms, ends_at_ms, hold_ttl, .. } = terms;
    let mut words = vec![format!("name={name:?}")];
    words.extend(per_user_limit.map(|limit| format!("limit={limit}")));
    words.extend(price.map(|price| format!("price={}:{}", price.minor_units, price.currency)));
    words.extend(starts_at_ms.map(|at_ms| format!("starts={at_ms}ms")));
    words.extend(ends_at_ms.map(|at_ms| format!("ends={at_ms}ms")));
    words.push(format!("ttl={}ms", hold_ttl.ms()));
    words.join(" ")
}

pub(crate) fn show_event(event: &Event) -> String {
    let change = match &event.change {
        Change::ProductCreated(terms) => format!("created {} stock={}", terms.sku, terms.stock),
        Change::ProductUpdated(terms) => format!("updated {} {}", terms.sku, show_terms(terms)),
        Change::Restocked { sku, quantity, available } => {
            format!("restocked {sku} by {quantity} available={available}")
        }
        Change::Held { user, request_id, expires_at_ms, lines } => {
            format!("held {} by {user} key={request_id} until={expires_at_ms}ms", show_lines(lines))
        }
        Change::HeldFor { user, request_id, ttl, expires_at_ms, lines } => {
            let ttl = ttl.map_or(String::new(), |ttl| format!(" ttl={}ms", ttl.ms()));
            let lines = show_lines(lines);
            format!("held {lines} by {user} key={request_id}{ttl} until={expires_at_ms}ms asked")
        }
        Change::ReleasedFor { hold, user, by, request_id, lines } => {
            let lines = show_lines(lines);
            format!("released hold={hold} {lines} of {user} by {by:?} key={request_id}")
        }
        Change::CancelledFor { order, user, hold: _, ordered_as, by, request_id, lines } => {
            let lines = show_lines(lines);
            format!(
                "cancelled order={order} {lines} of {user} ordered-as={ordered_as} by {by:?} \
                 key={request_id}"
            )
        }
        Change::Confirmed { hold, user, request_id, lines } => {
            format!("confirmed hold={hold} {} by {user} key={request_id}", show_lines(lines))
        }
        Change::Released { hold, user, lines } => {
            format!("released hold={hold} {} by {user}", show_lines(lines))
        }
        Change::Expired { hold, user, lines } => {
            format!("expired hold={hold} {} by {user}", show_lines(lines))
        }
        Change::BasketOrdered { user, request_id, lines } => {
            format!("ordered {} by {user} key={request_id}", show_lines(lines))
        }
        Change::Cancelled { order, user, hold: _, lines } => {
            format!("cancelled order={order} {} by {user}", show_lines(lines))
        }
        Change::Ordered(order) => show_order(order),
        Change::Counted { order, owed } => format!("{} owed={owed}", show_order(order)),
    };
    format!("event {} at={}ms {change}", event.seq, event.at_ms)
}
