//! `docs/metrics.md`: the tables' rows, as families.

use super::exposed::Family;
use std::collections::BTreeMap;

/// Every documented family.
pub(crate) fn read() -> BTreeMap<String, Family> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("docs/metrics.md");
    let mut families = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, what] = cells[..] else {
            panic!("not four cells: {row}");
        };
        assert!(!what.is_empty(), "it says nothing: {row}");
        let name = name.trim_matches('`').to_owned();
        assert_eq!(kind == "counter", name.ends_with("_total"), "counters are _total: {row}");
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        let family = Family { kind: kind.to_owned(), labels };
        assert!(families.insert(name, family).is_none(), "twice: {row}");
    }
    families
}
