//! `POST` and `GET /v1/holds`, `GET` and `DELETE /v1/holds/{id}`, `POST /v1/holds/{id}/confirm`.
//!
//! A hold is made, confirmed and released by the actor, as buys are; the machine alone says when
//! it has expired. What an ended hold was is read from the change that made it.

mod docs;

pub(super) use docs::{CONFIRM, LIST, POST, RELEASE, SHOW};

use super::answer::{json_at, located};
use super::field::{self, Number};
use super::key::Key;
use super::query::{self, Parameters};
use super::wanted::{self, ItemShape};
use super::write::{Write, misplaced, told};
use super::{FrontState, body, history, owner, path_seq, won};
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use stock::api::{
    HoldAccepted, HoldList, HoldReleased, HoldStatus, HoldView, ItemView, LineView, Timestamp,
};
use stock::{
    Change, Command, Hold, HoldState, HoldTtl, Items, Outcome, Requester, Seq, Settlement, UserId,
};

/// [`stock::api::PostHold`] before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape<'b> {
    #[serde(borrow, default, deserialize_with = "wanted::fields::product_id")]
    product_id: Option<Cow<'b, str>>,
    #[serde(default, deserialize_with = "wanted::fields::quantity")]
    quantity: Option<Number>,
    #[serde(borrow, default, deserialize_with = "wanted::items")]
    items: Option<Vec<ItemShape<'b>>>,
    #[serde(borrow, deserialize_with = "readers::user_id")]
    user_id: Cow<'b, str>,
    #[serde(default, deserialize_with = "readers::ttl_ms")]
    ttl_ms: Option<Number>,
}

mod readers {
    use super::{Cow, Number, field::readers};

    type Text<'b> = Cow<'b, str>;

    readers! {
        user_id as text -> Text<'de>;
        ttl_ms as number_or_null -> Option<Number>;
    }
}

impl Shape<'_> {
    fn check(&self) -> Result<(Items, UserId, Option<HoldTtl>), Problem> {
        let wanted =
            wanted::check(self.product_id.as_deref(), self.quantity, self.items.as_deref())?;
        let user = field::user(&self.user_id, "user_id")?;
        let ttl = self.ttl_ms.map(|ttl| field::hold_ttl(ttl, "ttl_ms")).transpose()?;
        Ok((wanted.into_items(), user, ttl))
    }
}

/// `POST /v1/holds`.
pub(super) async fn post(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (parts, content) = request.into_parts();
    query::none(&parts.uri)?;
    let key = Key::read(&parts.headers)?.from(state.proxies.client(&parts));
    let bytes = body::read(&parts.headers, content, deadline).await?;
    let (items, user, ttl) = body::parse::<Shape<'_>>(&bytes)?.check()?;
    let requester = Requester::User(user.clone());
    let write = Write { requester, key, command: Command::Hold { items, ttl } };
    let respond = |outcome, hold| held(&state, user, hold, outcome);
    Ok(write.ask(&state, deadline, respond).await)
}

fn held(
    state: &FrontState,
    user_id: UserId,
    hold: Seq,
    outcome: Outcome,
) -> Result<Response, Problem> {
    let Outcome::Held { expires_at_ms, lines } = outcome else {
        return Err(misplaced("answer with a hold"));
    };
    let remaining = match &lines[..] {
        [line] => Some(line.available),
        _ => None,
    };
    let accepted = HoldAccepted {
        hold_id: hold,
        user_id,
        items: lines.iter().map(LineView::from).collect(),
        remaining,
        expires_at: instant(expires_at_ms)?,
        seq: hold,
        node: state.node,
        leader: state.replica.leader(),
    };
    located(json_at(StatusCode::CREATED, hold, &accepted)?, format!("/v1/holds/{hold}"))
}

fn instant(at_ms: u64) -> Result<Timestamp, Problem> {
    Timestamp::from_ms(at_ms).map_err(|why| Problem::internal("tell a deadline", &why))
}

/// `POST /v1/holds/{id}/confirm`.
pub(super) async fn confirm(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (mut parts, content) = request.into_parts();
    let hold = path_seq(&mut parts).await?;
    query::none(&parts.uri)?;
    let key = Key::read(&parts.headers)?;
    let bytes = body::read(&parts.headers, content, deadline).await?;
    let user = owner::read(&bytes)?;
    let requester = Requester::User(user.clone());
    let write = Write { requester, key, command: Command::Confirm { hold } };
    let (won, key) = won::ask(&state, &user, write, deadline).await;
    Ok(told(key, won.and_then(won::Won::answer)))
}

/// `DELETE /v1/holds/{id}`: by the user that `?user_id=` names, else by the operator.
pub(super) async fn release(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (mut parts, content) = request.into_parts();
    let hold = path_seq(&mut parts).await?;
    let parameters = Parameters::of_write(&parts.uri, &["user_id"])?;
    // A user id that is not understood must not make it the operator's release.
    let bytes = body::read(&parts.headers, content, deadline).await?;
    if !bytes.trim_ascii().is_empty() {
        let rule = "a release has no body: send `?user_id=` in the query.";
        return Err(Problem::new(Kind::InvalidField, rule));
    }
    let requester = match parameters.text("user_id") {
        Some(user) => Requester::User(field::user(user, "user_id")?),
        None => Requester::Operator,
    };
    let key = Key::read(&parts.headers)?;
    let write = Write { requester, key, command: Command::Release { hold } };
    let respond = |outcome, seq| match outcome {
        Outcome::Released { lines } => {
            let items = lines.iter().map(LineView::from).collect();
            json_at(StatusCode::OK, seq, &HoldReleased { hold_id: hold, items, seq })
        }
        _ => Err(misplaced("answer a release")),
    };
    Ok(write.ask(&state, deadline, respond).await)
}

/// `GET /v1/holds`: the open ones of a user.
pub(super) async fn list(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let parameters = Parameters::of_read(request.uri(), &["user_id"])?;
    let Some(user) = parameters.text("user_id") else {
        return Err(query::invalid("user_id", "say whose holds to list"));
    };
    let user = field::user(user, "user_id")?;
    query::wait_until_current(&state, &parameters).await?;
    // At most a hundred copies under the lock.
    let (seq, open) = state.replica.read(|machine| {
        let open = machine.open_holds_of(&user).map(|(id, hold)| (id, hold.clone()));
        (machine.seq(), open.collect::<Vec<(Seq, Hold)>>())
    });
    let view = |(id, hold)| open_view(id, hold, seq);
    let holds = open.into_iter().map(view).collect::<Result<Vec<HoldView>, Problem>>()?;
    json_at(StatusCode::OK, seq, &HoldList { holds, seq })
}

/// `GET /v1/holds/{id}`: open or ended.
pub(super) async fn show(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let id = path_seq(&mut parts).await?;
    let parameters = Parameters::of_read(&parts.uri, &[])?;
    query::wait_until_current(&state, &parameters).await?;
    let (seq, found) = state.replica.read(|machine| {
        let found = machine.hold(id).map(|hold| match hold {
            HoldState::Open(hold) => Found::Open(hold.clone()),
            HoldState::Settled(settlement) => Found::Settled(settlement),
        });
        (machine.seq(), found)
    });
    let view = match found {
        None => return Err(Problem::plain(Kind::UnknownHold).at(seq)),
        Some(Found::Open(hold)) => open_view(id, hold, seq)?,
        Some(Found::Settled(settlement)) => settled_view(&state, id, settlement, seq).await?,
    };
    json_at(StatusCode::OK, seq, &view)
}

/// A copy of what the machine knows of a hold.
enum Found {
    Open(Hold),
    Settled(Settlement),
}

pub(super) fn open_view(id: Seq, hold: Hold, seq: Seq) -> Result<HoldView, Problem> {
    let Hold { user, items, expires_at_ms } = hold;
    Ok(HoldView {
        hold_id: id,
        user_id: user,
        items: items.as_slice().iter().map(ItemView::from).collect(),
        expires_at: instant(expires_at_ms)?,
        state: HoldStatus::Open,
        ended_by: None,
        seq,
    })
}

async fn settled_view(
    state: &Arc<FrontState>,
    id: Seq,
    settlement: Settlement,
    seq: Seq,
) -> Result<HoldView, Problem> {
    let event = history::change(state, id).await?;
    let Some(
        Change::Held { user, expires_at_ms, lines, .. }
        | Change::HeldFor { user, expires_at_ms, lines, .. },
    ) = event.map(|event| event.change)
    else {
        let why = format!("change {id} should be a hold and is none");
        return Err(Problem::internal("show a hold", &why));
    };
    let (status, ended_by) = match settlement {
        Settlement::Confirmed { order } => (HoldStatus::Confirmed, order),
        Settlement::Released { seq } => (HoldStatus::Released, seq),
        Settlement::Expired { seq } => (HoldStatus::Expired, seq),
    };
    let item = |line: stock::Line| ItemView { product_id: line.sku, quantity: line.quantity };
    Ok(HoldView {
        hold_id: id,
        user_id: user,
        items: lines.into_iter().map(item).collect(),
        expires_at: instant(expires_at_ms)?,
        state: status,
        ended_by: Some(ended_by),
        seq,
    })
}
