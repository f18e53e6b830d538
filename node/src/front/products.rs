//! `PUT`, `PATCH` and `GET /v1/products/{id}`, `GET /v1/products`, and restocks.
//!
//! The `ETag` of a product is the number of its own last change, so an edit of another product
//! does not change it; `seq` in the body is that of the whole state that the numbers are of.

mod docs;
mod shape;
mod version;

pub(super) use docs::{LIST, PATCH, PUT, RESTOCK, SHOW};

use super::answer::{json_at, located};
use super::key::Key;
use super::query::{self, Parameters};
use super::write::{Write, misplaced};
use super::{FrontState, body, field, path_parameter};
use crate::problem::{Kind, Problem};
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::Response;
use shape::{PatchShape, ProductShape, RestockShape};
use std::ops::RangeInclusive;
use std::sync::Arc;
use stock::api::{ProductList, ProductView};
use stock::{Command, Outcome, Product, Requester, Seq, Sku};
use tokio::time::Instant;

/// Products on a page, when the request does not say.
const PAGE_DEFAULT: u64 = 100;
/// The most products on a page.
const PAGE: RangeInclusive<u64> = 1..=1000;

/// `GET /v1/products`, page by page.
pub(super) async fn list(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let parameters = Parameters::of_read(request.uri(), &["after", "limit"])?;
    let limit = parameters.limit(PAGE_DEFAULT, PAGE)?;
    let after = parameters.text("after").map(|after| field::sku(after, "after")).transpose()?;
    query::wait_until_current(&state, &parameters).await?;
    // The lock is held for the copies only, of one more than the page has.
    let (seq, mut products) = state.replica.read(|machine| {
        let copies: Vec<Product> = match &after {
            Some(after) => machine.products_after(after).take(limit + 1).cloned().collect(),
            None => machine.products().take(limit + 1).cloned().collect(),
        };
        (machine.seq(), copies)
    });
    let more = products.len() > limit;
    products.truncate(limit);
    let next_after = products.last().filter(|_| more).map(|product| product.terms.sku.clone());
    let products = products.into_iter().map(|product| ProductView::new(product, seq)).collect();
    json_at(StatusCode::OK, seq, &ProductList { products, next_after, seq })
}

/// `GET /v1/products/{id}`.
pub(super) async fn show(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let sku = path_sku(&mut parts).await?;
    let parameters = Parameters::of_read(&parts.uri, &[])?;
    query::wait_until_current(&state, &parameters).await?;
    let (seq, product) =
        state.replica.read(|machine| (machine.seq(), machine.product(&sku).cloned()));
    match product {
        Some(product) if version::is_known(&parts.headers, product.seq) => unmodified(&product),
        Some(product) => tagged(StatusCode::OK, product, seq),
        None => Err(Problem::plain(Kind::UnknownProduct).at(seq)),
    }
}

/// `PUT /v1/products/{id}`.
pub(super) async fn put(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (mut parts, content) = request.into_parts();
    let sku = path_sku(&mut parts).await?;
    query::none(&parts.uri)?;
    version::none(&parts.headers)?;
    let bytes = body::read(&parts.headers, content, deadline).await?;
    let terms = body::parse::<ProductShape<'_>>(&bytes)?.check(sku)?;
    ask(&state, &parts, Command::CreateProduct(Box::new(terms)), deadline).await
}

/// How a merge patch may call itself.
const TYPES: [&[u8]; 2] = [b"application/json", b"application/merge-patch+json"];

/// `PATCH /v1/products/{id}`: a merge patch (RFC 7396) of everything but the stock.
pub(super) async fn patch(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (mut parts, content) = request.into_parts();
    let sku = path_sku(&mut parts).await?;
    query::none(&parts.uri)?;
    let if_match = version::if_match(&parts.headers)?;
    let bytes = body::read_as(&TYPES, &parts.headers, content, deadline).await?;
    let update = body::parse::<PatchShape<'_>>(&bytes)?.check(sku, if_match)?;
    ask(&state, &parts, Command::UpdateProduct(Box::new(update)), deadline).await
}

/// `POST /v1/products/{id}/restock`.
pub(super) async fn restock(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (mut parts, content) = request.into_parts();
    let sku = path_sku(&mut parts).await?;
    query::none(&parts.uri)?;
    version::none(&parts.headers)?;
    let bytes = body::read(&parts.headers, content, deadline).await?;
    let quantity = body::parse::<RestockShape>(&bytes)?.check()?;
    ask(&state, &parts, Command::Restock { sku, quantity }, deadline).await
}

async fn path_sku(parts: &mut Parts) -> Result<Sku, Problem> {
    let id = path_parameter(parts).await?;
    field::sku(&id, "id")
}

/// Asks the actor in the operator's name, and says what was decided.
async fn ask(
    state: &Arc<FrontState>,
    parts: &Parts,
    command: Command,
    deadline: Instant,
) -> Result<Response, Problem> {
    let key = Key::read(&parts.headers)?;
    let write = Write { requester: Requester::Operator, key, command };
    Ok(write.ask(state, deadline, respond).await)
}

fn respond(outcome: Outcome, seq: Seq) -> Result<Response, Problem> {
    match outcome {
        Outcome::ProductCreated(product) => created(*product, seq),
        Outcome::ProductUnchanged(product)
        | Outcome::ProductUpdated(product)
        | Outcome::Restocked(product) => tagged(StatusCode::OK, *product, seq),
        _ => Err(misplaced("answer an operator")),
    }
}

fn created(product: Product, seq: Seq) -> Result<Response, Problem> {
    let path = format!("/v1/products/{}", product.terms.sku);
    located(tagged(StatusCode::CREATED, product, seq)?, path)
}

fn tagged(status: StatusCode, product: Product, seq: Seq) -> Result<Response, Problem> {
    let tag = version::tag(product.seq)?;
    let mut response = json_at(status, seq, &ProductView::new(product, seq))?;
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// The client has it as it is.
fn unmodified(product: &Product) -> Result<Response, Problem> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, version::tag(product.seq)?);
    Ok(response)
}

#[cfg(test)]
mod tests;
