//! The bodies of all endpoints: their fields, and what is wrong for each.
//!
//! A further endpoint is a row of [`BODIES`].

/// What a field holds, which says what is wrong for it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Holds {
    /// An id, or another text that may not be empty.
    Id,
    /// An id, or a number that stands for its digits.
    IdOrNumber,
    /// A text that may be empty.
    Text,
    /// An instant.
    Instant,
    /// The code of a currency.
    Currency,
    /// A number from 1.
    Units,
    /// The number of an attempt, from 1.
    Attempt,
    /// A number from 0.
    Count,
    /// Where a cursor stands, from 0.
    Position,
    /// What a cursor is for.
    Target,
    /// A number of minor units, from 0.
    Price,
    /// A number that may be negative, but not 0.
    Change,
    /// A number of milliseconds that a hold may last.
    Ttl,
    /// A list of products, each with its units.
    Items,
}

pub(super) struct Field {
    pub(super) name: &'static str,
    /// A valid value, as JSON.
    pub(super) valid: &'static str,
    holds: Holds,
    pub(super) required: bool,
    /// What null is, where it is not as good as absent.
    null: Option<&'static str>,
}

/// The least that a body may be.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Least {
    /// An object with fields.
    Fields,
    /// An object.
    Object,
    /// Nothing at all.
    Nothing,
}

pub(super) struct Body {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What stands before and after the object that has the fields.
    pub(super) around: (&'static str, &'static str),
    pub(super) fields: &'static [Field],
    pub(super) least: Least,
}

const fn required(name: &'static str, valid: &'static str, holds: Holds) -> Field {
    Field { name, valid, holds, required: true, null: Some("invalid-field") }
}

/// A field that may be absent, but not null.
const fn given(name: &'static str, valid: &'static str, holds: Holds) -> Field {
    Field { required: false, ..required(name, valid, holds) }
}

/// A field that may be absent, which null is too.
const fn nullable(name: &'static str, valid: &'static str, holds: Holds) -> Field {
    Field { null: None, ..given(name, valid, holds) }
}

/// A field that may be absent, and whose value may not be taken away.
const fn stays(name: &'static str, valid: &'static str, holds: Holds) -> Field {
    Field { null: Some("invalid-value"), ..given(name, valid, holds) }
}

const PRODUCT: Field = required("product_id", "\"sneaker\"", Holds::Id);
const USER: Field = required("user_id", "\"ann\"", Holds::Id);
const UNITS: Field = given("quantity", "1", Holds::Units);
const ITEMS: Field = given("items", "[{\"product_id\":\"sneaker\"}]", Holds::Items);
const TTL: Field = nullable("ttl_ms", "60000", Holds::Ttl);
const LIMIT: Field = nullable("per_user_limit", "2", Holds::Units);
// Half a price is none: one of the two is null, the other not.
const PRICE: Field = stays("price", "1900", Holds::Price);
const CURRENCY: Field = stays("currency", "\"EUR\"", Holds::Currency);
const STARTS: Field = nullable("starts_at", "\"2027-01-01T18:00:00Z\"", Holds::Instant);
const ENDS: Field = nullable("ends_at", "\"2027-01-01T19:00:00Z\"", Holds::Instant);
const PRODUCTS_TTL: Field = nullable("hold_ttl_ms", "60000", Holds::Ttl);

const POST: Body =
    Body { method: "POST", path: "", around: ("", ""), fields: &[], least: Least::Fields };

pub(super) const BODIES: &[Body] = &[
    Body { path: "/v1/buys", fields: &[PRODUCT, USER, UNITS], ..POST },
    Body { path: "/v1/buys", fields: &[USER, ITEMS], ..POST },
    Body {
        path: "/v1/buys",
        around: (r#"{"user_id":"ann","items":["#, "]}"),
        fields: &[PRODUCT, UNITS],
        ..POST
    },
    Body { path: "/v1/holds", fields: &[PRODUCT, USER, UNITS, TTL], ..POST },
    Body { path: "/v1/holds", fields: &[USER, ITEMS, TTL], ..POST },
    Body {
        path: "/v1/holds",
        around: (r#"{"items":[{"product_id":"other"},"#, r#"],"user_id":"ann"}"#),
        fields: &[PRODUCT, UNITS],
        ..POST
    },
    Body { path: "/v1/holds/1/confirm", fields: &[USER], ..POST },
    Body { path: "/v1/orders/1/cancel", fields: &[USER], least: Least::Nothing, ..POST },
    Body {
        method: "PUT",
        path: "/v1/products/other",
        fields: &[
            required("name", "\"Other\"", Holds::Text),
            required("stock", "5", Holds::Count),
            LIMIT,
            PRICE,
            CURRENCY,
            STARTS,
            ENDS,
            PRODUCTS_TTL,
        ],
        ..POST
    },
    Body {
        method: "PATCH",
        path: "/v1/products/sneaker",
        fields: &[
            stays("name", "\"Other\"", Holds::Text),
            LIMIT,
            PRICE,
            CURRENCY,
            STARTS,
            ENDS,
            PRODUCTS_TTL,
        ],
        least: Least::Object,
        ..POST
    },
    Body {
        path: "/v1/products/sneaker/restock",
        fields: &[required("quantity", "1", Holds::Change)],
        ..POST
    },
    Body {
        method: "PUT",
        path: "/v1/cursors/sink",
        fields: &[
            Field { null: None, ..required("expected", "3", Holds::Position) },
            required("position", "4", Holds::Position),
            given("target", "\"nats://a\"", Holds::Target),
        ],
        ..POST
    },
    Body {
        path: "/api/buy",
        fields: &[
            required("user_id", "17", Holds::IdOrNumber),
            required("product_id", "\"sneaker\"", Holds::IdOrNumber),
        ],
        ..POST
    },
    Body {
        path: "/v1/demo/storm",
        fields: &[
            PRODUCT,
            required("buyers", "5", Holds::Units),
            given("at_a_time", "4", Holds::Units),
        ],
        ..POST
    },
];

/// One buy of a batch: a line of its body.
pub(super) const BATCH_ITEM: Body = Body {
    path: "/v1/buys/batch",
    fields: &[
        required("request_id", "\"k-1\"", Holds::Id),
        PRODUCT,
        USER,
        UNITS,
        given("attempt", "2", Holds::Attempt),
    ],
    ..POST
};

/// A body that is refused: its text, the type of problem that it is, and what the detail names.
pub(super) type Wrong = (String, &'static str, &'static str);

impl Body {
    /// The body with one field replaced, or left out.
    pub(super) fn with(&self, changed: &str, value: Option<&str>) -> String {
        let mut pairs = Vec::new();
        for field in self.fields {
            let value = if field.name == changed { value } else { Some(field.valid) };
            pairs.extend(value.map(|value| format!("\"{}\":{value}", field.name)));
        }
        let (before, after) = self.around;
        format!("{before}{{{}}}{after}", pairs.join(","))
    }

    /// Everything that is wrong with each of its fields, one at a time.
    pub(super) fn wrong(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for field in self.fields {
            for (value, kind) in wrong_values(field) {
                // A break in the JSON has a place, and may come before the field's end. And so has
                // a number that no machine type holds, a depth that is not read, and what is no
                // item.
                let placed = kind == "invalid-json"
                    || value.len() > 10_000
                    || value.ends_with("1e999")
                    || (field.holds == Holds::Items && value.starts_with('[') && value != "[]");
                let named = if placed { "" } else { field.name };
                wrong.push((self.with(field.name, Some(&value)), kind, named));
            }
            if field.required {
                wrong.push((self.with(field.name, None), "invalid-field", field.name));
            }
            let twice = format!("{0},\"{1}\":{0}", field.valid, field.name);
            wrong.push((self.with(field.name, Some(&twice)), "invalid-field", field.name));
            let unknown = format!("{},\"colour\":1", field.valid);
            wrong.push((self.with(field.name, Some(&unknown)), "invalid-field", "colour"));
        }
        wrong
    }
}

/// Wrong values, each with the type of problem that it is.
fn wrong_values(field: &Field) -> Vec<(String, &'static str)> {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let mut wrong: Vec<(String, &'static str)> = Vec::new();
    let mut add = |kind: &'static str, values: &[&str]| {
        wrong.extend(values.iter().map(|value| ((*value).to_owned(), kind)));
    };
    // What is no JSON, whatever the field holds.
    add("invalid-json", &["NaN", "Infinity", "-", "+1", "01", "1.", ".5", "'a'", "tru", ""]);
    add("invalid-json", &["\"\\ud800\"", "\"\\x\"", "\"\t\""]);
    add("invalid-field", &["true", "{}", "[1]", "{\"a\":1}", &deep]);
    let empty = if field.holds == Holds::Items { "invalid-value" } else { "invalid-field" };
    add(empty, &["[]"]);
    if let Some(kind) = field.null {
        add(kind, &["null"]);
    }
    let (long, shoe) = (format!("\"{}\"", "x".repeat(129)), "\"👟\"");
    let no_ids = &["\"\"", "\" \"", "\"a\\u0000\"", "\"\\u0085\"", &long, shoe];
    match field.holds {
        Holds::Id | Holds::Target | Holds::Text | Holds::Instant | Holds::Currency => {
            add("invalid-field", &["7", "0", "-1", "1e300"]);
        }
        Holds::Items => {
            let many = vec!["{\"product_id\":\"p\"}"; 2_000].join(",");
            let twice = "[{\"product_id\":\"sneaker\"},{\"product_id\":\"sneaker\"}]";
            add("invalid-field", &["7", "\"sneaker\"", "[null]", "[[]]", &format!("[{many}]")]);
            add("invalid-value", &[twice]);
        }
        Holds::IdOrNumber => {}
        _ => {
            add("invalid-field", &["\"1\"", "\"\"", shoe]);
            add("invalid-value", &["1.5", "1e2", "1e300", "-1e300", "1e999", "-1e999", "0.1"]);
            add("invalid-value", &["18446744073709551616", "-9223372036854775809"]);
            add("invalid-value", &["18446744073709551615", "-9223372036854775808"]);
        }
    }
    match field.holds {
        Holds::Id => add("invalid-value", no_ids),
        Holds::IdOrNumber => {
            add("invalid-value", no_ids);
            add("invalid-value", &["-1", "-0", "1.5", "1e2", "1e300", "18446744073709551615"]);
        }
        Holds::Target => {
            let long = format!("\"{}\"", "t".repeat(257));
            add("invalid-value", &["\"\"", "\" \"", "\"a\\u0000\"", "\"\\u0085\"", shoe, &long]);
        }
        Holds::Text => {
            let long = format!("\"{}\"", "n".repeat(257));
            add("invalid-value", &["\"a\\u0000\"", "\"a\\nb\"", &long]);
        }
        Holds::Instant => {
            add("invalid-value", &["\"\"", "\"noon\"", "\"2027-01-01\"", shoe, &long]);
            add("invalid-value", &["\"2027-13-01T00:00:00Z\"", "\"2027-02-30T00:00:00Z\""]);
            add("invalid-value", &["\"2027-01-01T25:00:00Z\"", "\"2027-01-01T18:00:00\""]);
        }
        Holds::Currency => add("invalid-value", &["\"\"", "\"EU\"", "\"EURO\"", "\"eur\"", shoe]),
        Holds::Units => add("invalid-value", &["0", "-0", "-1", "1000001"]),
        Holds::Attempt => add("invalid-value", &["0", "-0", "-1", "4294967296"]),
        Holds::Count => add("invalid-value", &["-1", "1000000000001"]),
        Holds::Position => add("invalid-value", &["-1", "9007199254740992"]),
        Holds::Price => add("invalid-value", &["-1", "1000000000000001"]),
        Holds::Change => add("invalid-value", &["0", "-0", "1000000000001"]),
        Holds::Ttl => add("invalid-value", &["0", "-1", "999", "86400001"]),
        Holds::Items => {}
    }
    wrong
}
