//! `GET /v1/explain`: what became of a user's request, and why.
//!
//! Everything of one answer is of one state. What a node keeps of a request is its order, for
//! ever, or the hold, release or cancel that it became, or a stored outcome, for a day of log
//! time; a first attempt's refusal is not kept, and all that can be said then is what is sold out.

use super::answer::json_at;
use super::docs::{Answer, Docs, JSON, READ, READ_FAILS, Tag, of, required, text};
use super::history::{self, Mark};
use super::query::{self, Parameters};
use super::{FrontState, field};
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use stock::api::{Explanation, SoldOut, Verdict};
use stock::{Machine, Outcome, Reply, RequestId, Requester, Seq, Sku, UserId};

/// The most sold-out products that one answer lists.
const SOLD_OUT_MAX: usize = 100;

/// Whom and what it is about.
struct About {
    user: UserId,
    request_id: RequestId,
    product: Option<Sku>,
}

/// What one state says.
struct Findings {
    seq: Seq,
    orders: u64,
    order: Option<Mark>,
    done: Option<Seq>,
    stored: Option<Reply>,
    /// Of the product that is asked about, or of all, the first few.
    sold_out: Vec<SoldOut>,
    extent: Extent,
}

/// What the list of what is sold out is a list of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// The product that is asked about, or the only one that there is.
    One,
    /// All products.
    All,
    /// The first of more that are sold out.
    First,
}

pub(super) const SHOW: Docs = Docs {
    id: "explain",
    tag: Tag::Orders,
    summary: "What became of a request, and why",
    notes: "Won as the k-th of n orders; refused, where the outcome is stored; else no order, and \
            what is sold out since when.",
    parameters: &[
        &[
            required("user_id", "Whose request.", of::<UserId>()),
            required("request_id", "Its Idempotency-Key.", of::<RequestId>()),
            text(
                "product_id",
                "Where there is no order: say of this product whether it is sold out.",
                of::<Sku>(),
            ),
        ],
        READ,
    ],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "What is known.", &[(JSON, of::<Explanation>())])],
    problems: &[READ_FAILS, &[Kind::UnknownProduct]],
};

/// `GET /v1/explain?user_id=&request_id=`, and `&product_id=`.
pub(super) async fn show(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let parameters = Parameters::of_read(request.uri(), &["user_id", "request_id", "product_id"])?;
    let about = about(&parameters)?;
    query::wait_until_current(&state, &parameters).await?;
    let found = state.replica.read(|machine| look(machine, &about))?;
    let seq = found.seq;
    let explanation = explain(&state, about, found).await?;
    json_at(StatusCode::OK, seq, &explanation)
}

fn about(parameters: &Parameters) -> Result<About, Problem> {
    let needed =
        |name| parameters.text(name).ok_or_else(|| query::invalid(name, "this route needs it"));
    let user =
        UserId::new(needed("user_id")?).map_err(|why| Problem::invalid_value("user_id", &why))?;
    let request_id = RequestId::new(needed("request_id")?)
        .map_err(|why| Problem::invalid_value("request_id", &why))?;
    let product = parameters.text("product_id");
    let product = product.map(|sku| field::sku(sku, "product_id")).transpose()?;
    Ok(About { user, request_id, product })
}

fn look(machine: &Machine, about: &About) -> Result<Findings, Problem> {
    if about.product.as_ref().is_some_and(|sku| machine.product(sku).is_none()) {
        return Err(Problem::plain(Kind::UnknownProduct).at(machine.seq()));
    }
    let order = machine.order_of(&about.user, &about.request_id);
    let since = |sku: &Sku| {
        let since = machine.sold_out_since(sku)?;
        Some(SoldOut { product_id: sku.clone(), since })
    };
    let mut sold_out: Vec<SoldOut> = if let Some(sku) = &about.product {
        since(sku).into_iter().collect()
    } else {
        let first = machine.sold_out().take(SOLD_OUT_MAX + 1);
        first.map(|(sku, since)| SoldOut { product_id: sku.clone(), since }).collect()
    };
    let extent = if about.product.is_some() || machine.products().nth(1).is_none() {
        Extent::One
    } else if sold_out.len() > SOLD_OUT_MAX {
        Extent::First
    } else {
        Extent::All
    };
    sold_out.truncate(SOLD_OUT_MAX);
    Ok(Findings {
        seq: machine.seq(),
        orders: machine.chain().orders,
        order: order.map(|order| Mark::of(machine, order)),
        done: machine.done_by(&about.user, &about.request_id),
        stored: machine.stored_reply(&about.user, &about.request_id),
        sold_out,
        extent,
    })
}

async fn explain(
    state: &Arc<FrontState>,
    about: About,
    found: Findings,
) -> Result<Explanation, Problem> {
    let Findings { seq, orders, order, done, stored, sold_out, extent } = found;
    let About { user, request_id, product } = about;
    let mut explanation = Explanation {
        user_id: user,
        request_id,
        verdict: Verdict::NoOrder,
        text: String::new(),
        order: None,
        orders,
        decided_at: None,
        problem: None,
        sold_out: Vec::new(),
        seq,
    };
    let order = match order {
        Some(mark) => history::view(state, mark).await?,
        None => None,
    };
    let done = match done {
        Some(change) => history::change(state, change).await?,
        None => None,
    };
    // They were found by fingerprint; the stored ids say whose they are.
    let done = done.filter(|event| {
        event.change.asked().is_some_and(|asked| {
            asked.requester == Requester::User(explanation.user_id.clone())
                && asked.request_id == explanation.request_id
        })
    });
    let order = order.filter(|order| {
        order.user_id == explanation.user_id && order.request_id == explanation.request_id
    });
    if let Some(order) = order {
        explanation.verdict = Verdict::Won;
        let taken_back = if order.cancelled { "; it was cancelled since" } else { "" };
        explanation.text = format!(
            "won as order {} of {orders}, at seq {}{taken_back}",
            order.place, order.order_id
        );
        explanation.decided_at = Some(order.order_id);
        explanation.order = Some(order);
    } else if let Some((event, outcome)) = done.and_then(|event| {
        let outcome = event.change.done()?;
        Some((event, outcome))
    }) {
        explanation.decided_at = Some(event.seq);
        explanation.verdict = Verdict::Done;
        explanation.text = format!("{} at seq {}", in_words(&outcome), event.seq);
    } else if let Some(reply) = stored {
        explanation.decided_at = Some(reply.seq);
        if let Outcome::Refused(refusal) = &reply.outcome {
            let problem = Problem::of_refusal(refusal, reply.seq);
            explanation.verdict = Verdict::Refused;
            explanation.text = format!("refused at seq {}: {}", reply.seq, problem.detail());
            explanation.problem = Some(problem.to_api());
        } else {
            explanation.verdict = Verdict::Done;
            explanation.text = format!("{} at seq {}", in_words(&reply.outcome), reply.seq);
        }
    } else {
        explanation.text = no_order(product.as_ref(), &sold_out, extent);
        explanation.sold_out = sold_out;
    }
    Ok(explanation)
}

fn in_words(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Held { .. } => "units were held",
        Outcome::Released { .. } => "a hold was released",
        Outcome::Cancelled { .. } => "an order was cancelled",
        _ => "it was done",
    }
}

fn no_order(product: Option<&Sku>, sold_out: &[SoldOut], extent: Extent) -> String {
    match (product, sold_out, extent) {
        (_, [SoldOut { product_id, since }], Extent::One) => {
            format!("no order; {product_id} is sold out since seq {since}")
        }
        (Some(product), ..) => format!("no order; {product} is not sold out"),
        (None, [], _) => "no order; nothing is sold out".into(),
        // Which product was asked for is not known, so it need not be this one.
        (None, [SoldOut { product_id, since }], _) => {
            format!("no order; of all products {product_id} is sold out, since seq {since}")
        }
        (None, several, Extent::First) => {
            format!("no order; more than {} products are sold out", several.len())
        }
        (None, several, _) => format!("no order; {} products are sold out", several.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_about() {
        let of = |query: &str| {
            let uri = format!("/v1/explain?{query}").parse().unwrap();
            let names = ["user_id", "request_id", "product_id"];
            about(&Parameters::of_read(&uri, &names).unwrap()).map_err(|problem| problem.status())
        };
        let found = of("user_id=u&request_id=k&product_id=p").unwrap();
        assert_eq!((found.user.as_str(), found.request_id.as_str()), ("u", "k"));
        assert_eq!(found.product.as_ref().map(Sku::as_str), Some("p"));
        for (query, status) in [
            ("user_id=u", 400),
            ("request_id=k", 400),
            ("user_id=u&request_id=", 422),
            ("user_id=a%20b&request_id=k", 422),
            ("user_id=u&request_id=k&product_id=a%2Fb", 422),
        ] {
            assert_eq!(of(query).err().map(|code| code.as_u16()), Some(status), "{query}");
        }
    }

    #[test]
    fn what_is_sold_out_is_told() {
        let since = |sku: &str| SoldOut { product_id: sku.parse().unwrap(), since: Seq(9) };
        let tee = "tee".parse().unwrap();
        let asked = no_order(Some(&tee), &[since("tee")], Extent::One);
        assert_eq!(asked, "no order; tee is sold out since seq 9");
        assert_eq!(no_order(None, &[since("tee")], Extent::One), asked);
        let one = no_order(None, &[since("tee")], Extent::All);
        assert_eq!(one, "no order; of all products tee is sold out, since seq 9");
        assert_eq!(no_order(Some(&tee), &[], Extent::One), "no order; tee is not sold out");
        assert_eq!(no_order(None, &[], Extent::All), "no order; nothing is sold out");
        let two = [since("cap"), since("tee")];
        assert_eq!(no_order(None, &two, Extent::All), "no order; 2 products are sold out");
        assert_eq!(
            no_order(None, &two, Extent::First),
            "no order; more than 2 products are sold out"
        );
    }
}
