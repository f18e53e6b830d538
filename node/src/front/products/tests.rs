//! Which body of a product or a restock is which status, and what the replies become.

use super::*;
use crate::actor::NotProposed;
use stock::{Quantity, Refusal, Reply};

fn product_of(text: &str) -> Result<CreateProduct, Problem> {
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
fn products_that_are_refused() {
    use Kind::{InvalidField, InvalidJson, InvalidValue};
    for (text, kind, named) in [
        (r#"{"name":"n","stock":1"#, InvalidJson, "line 1"),
        (r#"{"stock":1}"#, InvalidField, "missing field `name`"),
        (r#"{"name":"n"}"#, InvalidField, "missing field `stock`"),
        (r#"{"name":"n","stock":1,"price":5}"#, InvalidField, "`price`"),
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
    let terms = CreateProduct {
        sku: Sku::new("p").unwrap(),
        name: "n".into(),
        stock: 5,
        per_user_limit: None,
    };
    Product { terms, stocked: 5, available: 4, held: 0, sold: 1, seq: Seq(7) }
}

#[test]
fn replies_become_answers() {
    let reply = |outcome, replayed| Answer::Decided(Reply { seq: Seq(9), replayed, outcome });
    let response = decided(reply(Outcome::ProductCreated(product()), false)).unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["location"], "/v1/products/p");
    assert_eq!(response.headers()["etag"], "\"7\"");
    assert_eq!(response.headers()["flashnode-seq"], "9");
    assert!(!response.headers().contains_key("idempotent-replayed"));

    for outcome in [Outcome::ProductUnchanged(product()), Outcome::Restocked(product())] {
        let response = decided(reply(outcome, true)).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["idempotent-replayed"], "true");
    }
    for (answer, kind) in [
        (reply(Outcome::Refused(Refusal::ProductDiffers), false), Kind::ProductDiffers),
        (reply(Outcome::Bought { remaining: 1 }, false), Kind::Internal),
        (Answer::NotProposed(NotProposed::NoLeader), Kind::NoLeader),
        (Answer::Unknown, Kind::OutcomeUnknown),
    ] {
        assert_eq!(decided(answer).unwrap_err().kind(), kind);
    }
}
