//! Which body of a buy is which status, and what a replay is compared with.

use super::*;
use stock::api::BuyAccepted;
use stock::{Line, RequestId};

fn parsed(text: &[u8]) -> Result<(Sku, UserId, Quantity), Problem> {
    let shape: Shape<'_> = body::parse(text)?;
    match shape.check()? {
        (Wanted::One { sku, quantity }, user) => Ok((sku, user, quantity)),
        (Wanted::Several(items), _) => panic!("one product was asked for, not {items:?}"),
    }
}

#[test]
fn bodies_that_are_taken() {
    for (text, sku, user, units) in [
        (r#"{"product_id":"p","user_id":"u"}"#, "p", "u", 1),
        (r#"{"product_id":"p","user_id":"u","quantity":1}"#, "p", "u", 1),
        (r#"{"quantity":1000000,"user_id":"u","product_id":"p"}"#, "p", "u", 1_000_000),
        (" \n{ \"product_id\" : \"p\" , \"user_id\" : \"u\" }\r\n", "p", "u", 1),
        (r#"{"product_id":"\u0070","user_id":"a\"b"}"#, "p", "a\"b", 1),
        (
            r#"{"product_id":"A.z_0-:","user_id":"me@shop.example"}"#,
            "A.z_0-:",
            "me@shop.example",
            1,
        ),
    ] {
        let (got_sku, got_user, got_units) = parsed(text.as_bytes()).expect(text);
        assert_eq!((got_sku.as_str(), got_user.as_str()), (sku, user));
        assert_eq!(got_units.get(), units, "{text}");
    }
}

/// Each row: a body, and what the detail must name.
fn refused(kind: Kind, table: &[(&str, &str)]) {
    for (text, named) in table {
        let problem = parsed(text.as_bytes()).expect_err(text);
        assert_eq!(problem.kind(), kind, "{text}: {}", problem.detail());
        assert!(problem.detail().contains(named), "{text}: {}", problem.detail());
    }
}

#[test]
fn what_is_not_json() {
    refused(
        Kind::InvalidJson,
        &[
            ("", "empty"),
            (" \n", "empty"),
            ("{", "line 1 column 1"),
            ("product_id=p&user_id=u", "line 1 column 1"),
            (r#"{"product_id":"p","user_id":"u""#, "column 31"),
            (r#"{"product_id":"p","user_id":"u",}"#, "trailing comma"),
            (r#"{"product_id":"p","user_id":"u"} x"#, "trailing characters"),
            (r#"{"product_id":"p","user_id":"u","quantity":01}"#, "column"),
            (r#"{"product_id":"p","user_id":"u","quantity":+1}"#, "column"),
            ("{'product_id':'p'}", "column 2"),
            ("{\"product_id\":\"p\n\"}", "control character"),
            (r#"{"product_id":"\x"}"#, "escape"),
        ],
    );
    let not_utf8 = parsed(b"{\"product_id\":\"\xff\",\"user_id\":\"u\"}").unwrap_err();
    assert_eq!(not_utf8.kind(), Kind::InvalidJson);
}

#[test]
fn json_of_another_shape() {
    refused(
        Kind::InvalidField,
        &[
            ("[]", "not a JSON object"),
            (r#"["p","u",1]"#, "not a JSON object"),
            ("null", "not a JSON object"),
            ("17", "not a JSON object"),
            (r#""p""#, "not a JSON object"),
            ("{}", "missing field `user_id`"),
            (r#"{"user_id":"u"}"#, "missing field `product_id`"),
            (r#"{"product_id":"p"}"#, "missing field `user_id`"),
            (r#"{"product_id":"p","user_id":"u","colour":1}"#, "`colour`"),
            (r#"{"Product_id":"p","user_id":"u"}"#, "`Product_id`"),
            (r#"{"product_id":"p","product_id":"p","user_id":"u"}"#, "`product_id`"),
            (r#"{"product_id":null,"user_id":"u"}"#, "`product_id` to be a string"),
            (r#"{"product_id":7,"user_id":"u"}"#, "`product_id` to be a string"),
            (r#"{"product_id":"p","user_id":null}"#, "`user_id` to be a string"),
            (r#"{"product_id":"p","user_id":7}"#, "`user_id` to be a string"),
            (r#"{"product_id":"p","user_id":["u"]}"#, "`user_id` to be a string"),
            (r#"{"product_id":"p","user_id":"u","quantity":null}"#, "`quantity` to be a number"),
            (r#"{"product_id":"p","user_id":"u","quantity":"1"}"#, "`quantity` to be a number"),
            (r#"{"product_id":"p","user_id":"u","quantity":true}"#, "`quantity` to be a number"),
            (r#"{"product_id":"p","user_id":"u","quantity":{}}"#, "`quantity` to be a number"),
        ],
    );
}

#[test]
fn ids_that_are_none() {
    refused(
        Kind::InvalidValue,
        &[
            (r#"{"product_id":"","user_id":"u"}"#, "`product_id`"),
            (r#"{"product_id":"a b","user_id":"u"}"#, "`product_id`"),
            (r#"{"product_id":"a/b","user_id":"u"}"#, "`product_id`"),
            (r#"{"product_id":"p","user_id":""}"#, "`user_id`"),
            (r#"{"product_id":"p","user_id":"ä"}"#, "`user_id`"),
            (r#"{"product_id":"p","user_id":"a\u0000"}"#, "`user_id`"),
        ],
    );
}

#[test]
fn quantities_out_of_range() {
    for number in [
        "0",
        "-0",
        "-1",
        "1000001",
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "1.5",
        "1.0",
        "1e2",
        "1e300",
        "1e999",
        "-1e999",
    ] {
        let text = format!(r#"{{"product_id":"p","user_id":"u","quantity":{number}}}"#);
        let problem = parsed(text.as_bytes()).expect_err(&text);
        assert_eq!(problem.kind(), Kind::InvalidValue, "{text}: {}", problem.detail());
    }
}

#[test]
fn ids_as_long_as_they_may_be() {
    for (sku_bytes, user_bytes, taken) in
        [(Sku::BYTES_MAX, UserId::BYTES_MAX, true), (65, 1, false), (1, 129, false)]
    {
        let (sku, user) = ("p".repeat(sku_bytes), "u".repeat(user_bytes));
        let text = format!(r#"{{"product_id":"{sku}","user_id":"{user}"}}"#);
        assert_eq!(parsed(text.as_bytes()).is_ok(), taken, "{sku_bytes} {user_bytes}");
    }
}

#[test]
fn the_answer_is_the_contracts() {
    for leader in [None, Some(NodeId(2))] {
        let accepted = Accepted {
            order_id: Seq(9),
            product_id: "p",
            user_id: "u",
            quantity: Quantity::ONE,
            remaining: 3,
            seq: Seq(9),
            node: NodeId(1),
            leader,
        };
        let ours = serde_json::to_string(&accepted).unwrap();
        let contract: BuyAccepted = serde_json::from_str(&ours).unwrap();
        assert_eq!(serde_json::to_string(&contract).unwrap(), ours);
    }
}

#[test]
fn a_replay_is_compared_with_what_is_stored() {
    let asked = Asked { product_id: "p", user_id: "u", quantity: Quantity::ONE, request_id: "k" };
    let (user, request_id) = (UserId::new("u").unwrap(), RequestId::new("k").unwrap());
    let same = |lines: &[(&str, u64)], hold: Option<Seq>| {
        let line = |(sku, units): &(&str, u64)| Line {
            sku: Sku::new(*sku).unwrap(),
            quantity: Quantity::new(*units).unwrap(),
            available: 0,
        };
        let lines = lines.iter().map(line).collect();
        is_for(&OrderContent { user: &user, request_id: &request_id, hold, lines }, &asked)
    };
    assert!(same(&[("p", 1)], None));
    assert!(!same(&[("q", 1)], None));
    assert!(!same(&[("p", 2)], None));
    assert!(!same(&[("p", 1), ("q", 1)], None));
    assert!(!same(&[("p", 1)], Some(Seq(3))));
}

#[test]
fn every_end_of_a_buy_is_counted() {
    for (kind, counted) in [
        (Kind::SoldOut, BuyOutcome::SoldOut),
        (Kind::LimitReached, BuyOutcome::Limit),
        (Kind::NoLeader, BuyOutcome::NotProposed),
        (Kind::OutcomeUnknown, BuyOutcome::Unknown),
        (Kind::Internal, BuyOutcome::Unknown),
    ] {
        assert_eq!(outcome(Err(&Problem::plain(kind))), counted, "{kind:?}");
    }
    assert_eq!(outcome(Ok(true)), BuyOutcome::Replayed);
    assert_eq!(outcome(Ok(false)), BuyOutcome::Accepted);
}
