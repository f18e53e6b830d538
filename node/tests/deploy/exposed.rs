//! Prometheus' text format, as far as the test compares it: families, their types and labels.

use std::collections::{BTreeMap, BTreeSet};

/// What a family is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) kind: String,
    /// The names of its labels; `le` of a histogram is none of them.
    pub(crate) labels: BTreeSet<String>,
}

impl Family {
    /// The names that its series have.
    pub(crate) fn series(&self, name: &str) -> Vec<String> {
        match self.kind.as_str() {
            "histogram" => ["bucket", "sum", "count"].map(|end| format!("{name}_{end}")).into(),
            _ => vec![name.to_owned()],
        }
    }
}

/// Adds what a node exposes. A family that it names must have a series.
pub(crate) fn read(text: &str, families: &mut BTreeMap<String, Family>) {
    let mut family = String::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').expect("a name and a type");
            name.clone_into(&mut family);
            let known = Family { kind: kind.to_owned(), labels: BTreeSet::new() };
            families.entry(family.clone()).or_insert(known);
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "no number: {line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let current = families.get_mut(&family).expect("its family came first");
            assert!(current.series(&family).iter().any(|of| of == name), "{line} in {family}");
            seen.insert(family.clone());
            let names = labels.split("\",").filter_map(|pair| pair.split_once('='));
            current.labels.extend(names.map(|(name, _)| name.to_owned()).filter(|of| of != "le"));
        }
    }
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(seen.contains(name), "{name} has a type and no series");
    }
}
