//! `PUT` and `GET /v1/products/{id}`, `GET /v1/products`, and restocks.
//!
//! The `ETag` of a product is the number of its own last change, so an edit of another product
//! does not change it; `seq` in the body is that of the whole state that the numbers are of.

use super::buys::{mark_replayed, units};
use super::field::{self, Number};
use super::key::Key;
use super::query::{self, Parameters};
use super::{FrontState, body, json_at, path_parameter};
use crate::actor::Answer;
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::sync::Arc;
use stock::api::{ProductList, ProductView};
use stock::{Command, CreateProduct, Envelope, Outcome, Product, Requester, Seq, Sku};

/// [`stock::api::PutProduct`] before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProductShape<'b> {
    #[serde(borrow, deserialize_with = "name")]
    name: Cow<'b, str>,
    #[serde(deserialize_with = "stock")]
    stock: Number,
    #[serde(default, deserialize_with = "per_user_limit")]
    per_user_limit: Option<Number>,
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    field::text(deserializer, "name")
}

fn stock<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
    field::number(deserializer, "stock")
}

fn per_user_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Number>, D::Error> {
    field::number_or_null(deserializer, "per_user_limit")
}

impl ProductShape<'_> {
    fn check(self, sku: Sku) -> Result<CreateProduct, Problem> {
        let bytes_max = CreateProduct::NAME_BYTES_MAX;
        let stock = self.stock.within("stock", &(0..=i128::from(CreateProduct::STOCK_MAX)))?;
        let limit = self.per_user_limit.map(|limit| units(limit, "per_user_limit")).transpose()?;
        // Names end up on terminals and in logs.
        if self.name.len() > bytes_max || self.name.chars().any(char::is_control) {
            let rule = format!("use at most {bytes_max} bytes without control characters");
            return Err(Problem::new(Kind::InvalidValue, format!("`name`: {rule}.")));
        }
        Ok(CreateProduct {
            sku,
            name: self.name.into_owned(),
            stock: stock.unsigned_abs() as u64,
            per_user_limit: limit,
        })
    }
}

/// [`stock::api::PostRestock`] before its value is checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestockShape {
    #[serde(deserialize_with = "quantity")]
    quantity: Number,
}

fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
    field::number(deserializer, "quantity")
}

impl RestockShape {
    fn check(&self) -> Result<i64, Problem> {
        let most = i128::from(CreateProduct::STOCK_MAX);
        match self.quantity.within("quantity", &(-most..=most))? {
            0 => {
                let rule = "a restock of 0 changes nothing; use a number above or below";
                Err(Problem::new(Kind::InvalidValue, format!("`quantity`: {rule}.")))
            }
            quantity => Ok(quantity as i64),
        }
    }
}

/// `GET /v1/products`.
pub(super) async fn list(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let parameters = Parameters::of_read(request.uri(), &[])?;
    query::wait_until_current(&state, &parameters).await?;
    // The lock is held for the copies only.
    let (seq, products) = state
        .replica
        .read(|machine| (machine.seq(), machine.products().cloned().collect::<Vec<Product>>()));
    let products = products.into_iter().map(|product| view(product, seq)).collect();
    json_at(StatusCode::OK, seq, &ProductList { products, seq })
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
        Some(product) => tagged(StatusCode::OK, product, seq),
        None => Err(Problem::plain(Kind::UnknownProduct).at(seq)),
    }
}

/// `PUT /v1/products/{id}`.
pub(super) async fn put(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, content) = request.into_parts();
    let sku = path_sku(&mut parts).await?;
    query::none(&parts.uri)?;
    let bytes = body::read(&parts.headers, content, state.deadline()).await?;
    let terms = body::parse::<ProductShape<'_>>(&bytes)?.check(sku)?;
    ask(&state, &parts, Command::CreateProduct(terms)).await
}

/// `POST /v1/products/{id}/restock`.
pub(super) async fn restock(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, content) = request.into_parts();
    let sku = path_sku(&mut parts).await?;
    query::none(&parts.uri)?;
    let bytes = body::read(&parts.headers, content, state.deadline()).await?;
    let quantity = body::parse::<RestockShape>(&bytes)?.check()?;
    ask(&state, &parts, Command::Restock { sku, quantity }).await
}

async fn path_sku(parts: &mut Parts) -> Result<Sku, Problem> {
    let id = path_parameter(parts).await?;
    Sku::new(id).map_err(|why| Problem::invalid_value("id", &why))
}

/// Asks the actor in the operator's name, and says what was decided.
async fn ask(state: &FrontState, parts: &Parts, command: Command) -> Result<Response, Problem> {
    let (request_id, attempt, key) = Key::read(&parts.headers)?.split();
    let envelope = Envelope { requester: Requester::Operator, request_id, attempt, command };
    let answer = state.stock.ask(envelope, state.deadline()).await;
    let mut response = decided(answer).unwrap_or_else(IntoResponse::into_response);
    key.put(&mut response);
    Ok(response)
}

fn decided(answer: Answer) -> Result<Response, Problem> {
    let reply = match answer {
        Answer::Decided(reply) => reply,
        Answer::NotProposed(why) => return Err(Problem::of_not_proposed(why)),
        Answer::Unknown => return Err(Problem::outcome_unknown()),
    };
    let response = match reply.outcome {
        Outcome::ProductCreated(product) => created(product, reply.seq)?,
        Outcome::ProductUnchanged(product) | Outcome::Restocked(product) => {
            tagged(StatusCode::OK, product, reply.seq)?
        }
        Outcome::Refused(refusal) => {
            let problem = Problem::of_refusal(&refusal, reply.seq);
            return Err(if reply.replayed { problem.replayed() } else { problem });
        }
        Outcome::Bought { .. } | Outcome::BoughtBefore { .. } => {
            let why = "the reply is that of a buy";
            return Err(Problem::internal("answer an operator", &why));
        }
    };
    Ok(if reply.replayed { mark_replayed(response) } else { response })
}

fn created(product: Product, seq: Seq) -> Result<Response, Problem> {
    let location = HeaderValue::try_from(format!("/v1/products/{}", product.terms.sku))
        .map_err(|why| Problem::internal("name a product", &why))?;
    let mut response = tagged(StatusCode::CREATED, product, seq)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn tagged(status: StatusCode, product: Product, seq: Seq) -> Result<Response, Problem> {
    let etag = HeaderValue::try_from(format!("\"{}\"", product.seq))
        .map_err(|why| Problem::internal("tag a product", &why))?;
    let mut response = json_at(status, seq, &view(product, seq))?;
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}

fn view(product: Product, seq: Seq) -> ProductView {
    ProductView {
        id: product.terms.sku,
        name: product.terms.name,
        stocked: product.stocked,
        available: product.available,
        held: product.held,
        sold: product.sold,
        per_user_limit: product.terms.per_user_limit,
        seq,
    }
}

#[cfg(test)]
mod tests;
