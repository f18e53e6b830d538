//! Which body of a product or a restock is which status, and what the replies become.

use super::super::write::{Decision, judged};
use super::*;
use crate::actor::{Answer, NotProposed};
use stock::{Edit, Price, ProductUpdate, Quantity, Refusal, Reply, Terms};

fn product_of(text: &str) -> Result<Terms, Problem> {
    body::parse::<ProductShape<'_>>(text.as_bytes())?.check(Sku::new("p").unwrap())
}

fn restock_of(text: &str) -> Result<i64, Problem> {
    body::parse::<RestockShape>(text.as_bytes())?.check()
}

#[test]
fn products_that_are_taken() {
    for (text, stock, limit) in [
        (r#"{"name":"Shoe","stock":10}"#, 10, None),
        (r#"{"name":"Shoe","stock":0,"per_user_limit":null}"#, 0, None),
        (
            r#"{"name":"Schuh ü 👟","stock":1000000000000,"per_user_limit":1}"#,
            1_000_000_000_000,
            Some(1),
        ),
        (r#"{"name":"","stock":1,"per_user_limit":1000000}"#, 1, Some(1_000_000)),
    ] {
        let terms = product_of(text).expect(text);
        assert_eq!(terms.stock, stock);
        assert_eq!(terms.per_user_limit.map(Quantity::get), limit);
    }
}

#[test]
fn all_terms_are_taken() {
    let text = r#"{"name":"n","stock":1,"price":1999,"currency":"EUR","per_user_limit":2,
        "starts_at":"2026-11-21T18:00:00+01:00","ends_at":"2026-11-21T17:00:01Z",
        "hold_ttl_ms":60000}"#;
    let terms = product_of(text).expect("good terms");
    let price = terms.price.expect("a price");
    assert_eq!((price.minor_units, price.currency.as_str()), (1999, "EUR"));
    assert_eq!(
        terms.ends_at_ms.zip(terms.starts_at_ms).map(|(end, start)| end - start),
        Some(1000)
    );
    assert_eq!(terms.hold_ttl.ms(), 60_000);
}

fn update_of(text: &str) -> Result<ProductUpdate, Problem> {
    body::parse::<PatchShape<'_>>(text.as_bytes())?.check(Sku::new("p").unwrap(), None)
}

#[test]
fn an_absent_field_stays_and_null_takes_it_away() {
    let kept = ProductUpdate::of(Sku::new("p").unwrap());
    assert_eq!(update_of("{}"), Ok(kept.clone()));
    let eur = stock::Currency::new("EUR").unwrap();
    for (text, update) in [
        (r#"{"name":"m"}"#, ProductUpdate { name: Some("m".into()), ..kept.clone() }),
        (
            r#"{"per_user_limit":null}"#,
            ProductUpdate { per_user_limit: Edit::Clear, ..kept.clone() },
        ),
        (
            r#"{"per_user_limit":1}"#,
            ProductUpdate { per_user_limit: Edit::Set(Quantity::ONE), ..kept.clone() },
        ),
        (r#"{"price":null}"#, ProductUpdate { price: Edit::Clear, ..kept.clone() }),
        (
            r#"{"price":5,"currency":"EUR"}"#,
            ProductUpdate {
                price: Edit::Set(Price { minor_units: 5, currency: eur }),
                ..kept.clone()
            },
        ),
        (r#"{"starts_at":null}"#, ProductUpdate { starts_at_ms: Edit::Clear, ..kept.clone() }),
        (
            r#"{"ends_at":"1970-01-01T00:00:01Z"}"#,
            ProductUpdate { ends_at_ms: Edit::Set(1000), ..kept.clone() },
        ),
        (
            r#"{"hold_ttl_ms":null}"#,
            ProductUpdate { hold_ttl: Some(stock::HoldTtl::DEFAULT), ..kept },
        ),
    ] {
        assert_eq!(update_of(text), Ok(update), "{text}");
    }
}

#[test]
fn updates_that_are_refused() {
    use Kind::{InvalidField, InvalidValue};
    for (text, kind, named) in [
        (r#"{"stock":1}"#, InvalidField, "`stock`"),
        (r#"{"name":null}"#, InvalidValue, "`name`"),
        (r#"{"name":7}"#, InvalidField, "`name` to be a string"),
        (r#"{"price":5}"#, InvalidValue, "`currency` come together"),
        (r#"{"currency":"EUR"}"#, InvalidValue, "`currency` come together"),
        (r#"{"price":5,"currency":null}"#, InvalidValue, "`currency` come together"),
        (r#"{"per_user_limit":0}"#, InvalidValue, "`per_user_limit`"),
        (r#"{"starts_at":"now"}"#, InvalidValue, "`starts_at`"),
        (r#"{"hold_ttl_ms":1}"#, InvalidValue, "`hold_ttl_ms`"),
    ] {
        let problem = update_of(text).expect_err(text);
        assert_eq!(problem.kind(), kind, "{text}: {}", problem.detail());
        assert!(problem.detail().contains(named), "{text}: {}", problem.detail());
    }
}

#[test]
fn products_that_are_refused() {
    use Kind::{InvalidField, InvalidJson, InvalidValue};
    for (text, kind, named) in [
        (r#"{"name":"n","stock":1"#, InvalidJson, "line 1"),
        (r#"{"stock":1}"#, InvalidField, "missing field `name`"),
        (r#"{"name":"n"}"#, InvalidField, "missing field `stock`"),
        (r#"{"name":"n","stock":1,"colour":5}"#, InvalidField, "`colour`"),
        (r#"{"name":"n","stock":1,"starts_at":5}"#, InvalidField, "`starts_at` to be a string"),
        (r#"{"name":"n","stock":1,"currency":5}"#, InvalidField, "`currency` to be a string"),
        (r#"{"name":"n","stock":1,"price":"5"}"#, InvalidField, "`price` to be a number"),
        (r#"{"name":"n","stock":1,"price":5}"#, InvalidValue, "`currency` come together"),
        (r#"{"name":"n","stock":1,"currency":"EUR"}"#, InvalidValue, "`currency` come together"),
        (r#"{"name":"n","stock":1,"price":-1,"currency":"EUR"}"#, InvalidValue, "`price`"),
        (r#"{"name":"n","stock":1,"price":1,"currency":"eur"}"#, InvalidValue, "`currency`"),
        (r#"{"name":"n","stock":1,"starts_at":"tomorrow"}"#, InvalidValue, "`starts_at`"),
        (r#"{"name":"n","stock":1,"ends_at":"2026-11-21T18:00:00"}"#, InvalidValue, "`ends_at`"),
        (r#"{"name":"n","stock":1,"hold_ttl_ms":999}"#, InvalidValue, "`hold_ttl_ms`"),
        (r#"{"name":"n","stock":1,"hold_ttl_ms":86400001}"#, InvalidValue, "`hold_ttl_ms`"),
        (r#"{"name":null,"stock":1}"#, InvalidField, "`name` to be a string"),
        (r#"{"name":"n","stock":null}"#, InvalidField, "`stock` to be a number"),
        (r#"{"name":"n","stock":"1"}"#, InvalidField, "`stock` to be a number"),
        (r#"{"name":"n","stock":1,"per_user_limit":"1"}"#, InvalidField, "`per_user_limit`"),
        (r#"{"name":"n","stock":-1}"#, InvalidValue, "`stock`"),
        (r#"{"name":"n","stock":1.5}"#, InvalidValue, "`stock`"),
        (r#"{"name":"n","stock":1000000000001}"#, InvalidValue, "`stock`"),
        (r#"{"name":"n","stock":1,"per_user_limit":0}"#, InvalidValue, "`per_user_limit`"),
        (r#"{"name":"n","stock":1,"per_user_limit":1000001}"#, InvalidValue, "`per_user_limit`"),
        (r#"{"name":"a\nb","stock":1}"#, InvalidValue, "`name`"),
    ] {
        let problem = product_of(text).expect_err(text);
        assert_eq!(problem.kind(), kind, "{text}: {}", problem.detail());
        assert!(problem.detail().contains(named), "{text}: {}", problem.detail());
    }
    for (bytes, taken) in [(256, true), (257, false)] {
        let text = format!(r#"{{"name":"{}","stock":1}}"#, "n".repeat(bytes));
        assert_eq!(product_of(&text).is_ok(), taken);
    }
}

#[test]
fn restocks() {
    for (number, want) in [
        ("1", Ok(1)),
        ("-1", Ok(-1)),
        ("1000000000000", Ok(1_000_000_000_000)),
        ("-1000000000000", Ok(-1_000_000_000_000)),
        ("0", Err(Kind::InvalidValue)),
        ("-0", Err(Kind::InvalidValue)),
        ("0.5", Err(Kind::InvalidValue)),
        ("1000000000001", Err(Kind::InvalidValue)),
        ("-9223372036854775809", Err(Kind::InvalidValue)),
        ("null", Err(Kind::InvalidField)),
        ("\"1\"", Err(Kind::InvalidField)),
        ("", Err(Kind::InvalidJson)),
    ] {
        let got = restock_of(&format!(r#"{{"quantity":{number}}}"#));
        assert_eq!(got.map_err(|problem| problem.kind()), want, "{number}");
    }
    assert_eq!(restock_of("{}").unwrap_err().kind(), Kind::InvalidField);
}

fn product() -> Product {
    let terms = Terms::plain(Sku::new("p").unwrap(), "n", 5);
    Product { terms, stocked: 5, available: 4, held: 0, sold: 1, seq: Seq(7) }
}

#[test]
fn replies_become_answers() {
    let reply = |outcome, replayed| Answer::Decided(Reply { seq: Seq(9), replayed, outcome });
    let answered = |answer| judged(answer).and_then(|decision: Decision| decision.respond(respond));
    let response = answered(reply(Outcome::ProductCreated(Box::new(product())), false)).unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["location"], "/v1/products/p");
    assert_eq!(response.headers()["etag"], "\"7\"");
    assert_eq!(response.headers()["flashnode-seq"], "9");
    assert!(!response.headers().contains_key("idempotent-replayed"));

    for outcome in [Outcome::ProductUnchanged, Outcome::ProductUpdated, Outcome::Restocked]
        .map(|of| of(Box::new(product())))
    {
        let response = answered(reply(outcome, true)).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["idempotent-replayed"], "true");
    }
    for (answer, kind) in [
        (reply(Outcome::Refused(Refusal::ProductDiffers), false), Kind::ProductDiffers),
        (reply(Outcome::Bought { remaining: 1 }, false), Kind::Internal),
        (Answer::NotProposed(NotProposed::NoLeader), Kind::NoLeader),
        (Answer::Unknown, Kind::OutcomeUnknown),
    ] {
        assert_eq!(answered(answer).unwrap_err().kind(), kind);
    }
}
