//! The words of a script's commands.

use stock::{Edit, HoldTtl, Item, Items, Price, ProductUpdate, Quantity, Requester, Seq};

pub(crate) fn requester(text: &str) -> Requester {
    match text {
        "@operator" => Requester::Operator,
        user => Requester::User(user.parse().unwrap()),
    }
}

pub(crate) fn read_items(text: &str) -> Items {
    let item = |word: &str| {
        let (sku, units) = word.split_once(':').unwrap();
        Item { sku: sku.parse().unwrap(), quantity: quantity(units) }
    };
    Items::new(text.split(',').map(item).collect()).unwrap()
}

pub(crate) fn quantity(text: &str) -> Quantity {
    Quantity::new(text.parse().unwrap()).unwrap()
}

pub(crate) fn price(text: &str) -> Price {
    let (minor_units, currency) = text.split_once(':').unwrap();
    Price { minor_units: minor_units.parse().unwrap(), currency: currency.parse().unwrap() }
}

pub(crate) fn duration_ms(text: &str) -> u64 {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "h" => 3_600_000,
        unit => panic!("unknown unit {unit}"),
    };
    digits.parse::<u64>().unwrap() * unit_ms
}

/// The `name=value` words of a line.
pub(crate) struct Named<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Named<'a> {
    pub(crate) fn of(words: &[&'a str], place: &str) -> Self {
        let known = [
            "key",
            "attempt",
            "stock",
            "limit",
            "name",
            "price",
            "starts",
            "ends",
            "ttl",
            "match",
            "items",
            "stored",
            "operators",
            "counters",
            "target",
            "debt",
            "only",
        ];
        let named = words.iter().map(|word| {
            let (name, value) = word.split_once('=').unwrap();
            assert!(known.contains(&name), "{place}: unknown field {name}");
            (name, value)
        });
        Self(named.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    pub(crate) fn edit<T>(&self, name: &str, read: impl FnOnce(&str) -> T) -> Edit<T> {
        match self.get(name) {
            None => Edit::Keep,
            Some("none") => Edit::Clear,
            Some(value) => Edit::Set(read(value)),
        }
    }

    pub(crate) fn update(&self, sku: &str) -> ProductUpdate {
        ProductUpdate {
            if_match: self.get("match").map(|seq| Seq(seq.parse().unwrap())),
            name: self.get("name").map(str::to_owned),
            per_user_limit: self.edit("limit", quantity),
            price: self.edit("price", price),
            starts_at_ms: self.edit("starts", duration_ms),
            ends_at_ms: self.edit("ends", duration_ms),
            hold_ttl: self.get("ttl").map(|ttl| HoldTtl::from_ms(duration_ms(ttl)).unwrap()),
            ..ProductUpdate::of(sku.parse().unwrap())
        }
    }
}
