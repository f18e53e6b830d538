//! A history as one HTML file: processes as lanes, operations as bars, faults as shaded bands.
//!
//! Owns: the page, and which operations it shows when there are too many. Never does: decide what
//! is illegal, or know a model; it is told. Called by `jepsen-lite` for the histories that it
//! records and checks.
//!
//! The file asks for nothing outside of itself. Operations are embedded as JSON and drawn on a
//! canvas, only those in sight and at most one a pixel and lane, so that [`OPERATIONS_MAX`] of
//! them can be moved through.

mod choice;
mod faults;
mod history;
mod lanes;
mod run;

pub use choice::{Choice, choose};
pub use faults::faults_of;
pub use history::{Told, page_of};
pub use run::{RunTold, page_of_run};

use crate::search::Verdict;
use serde_json::json;
use std::io;

/// The most operations of a page: a browser moves through them without a pause, and the file stays
/// below some 20 MB.
pub const OPERATIONS_MAX: usize = 100_000;

const TEMPLATE: &str = include_str!("timeline/page.html");
const STYLE: &str = include_str!("timeline/style.css");
const VIEW: &str = include_str!("timeline/view.js");

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It took place.
    Ok,
    /// It did not.
    Fail,
    /// Nobody knows.
    Info,
}

/// What begins and ends are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds since the run began.
    Nanoseconds,
    /// Positions in the history, where no time is known.
    Events,
}

/// One bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who did it. A process does one thing at a time.
    pub process: i64,
    /// What is written on it.
    pub label: String,
    /// What is shown besides when it is pointed at, such as its attempts.
    pub detail: String,
    /// When it was invoked.
    pub begin: u64,
    /// When it was complete; `None` if never.
    pub end: Option<u64>,
    /// How it ended.
    pub kind: Kind,
    /// Whether it is what cannot be placed.
    pub marked: bool,
}

/// One shaded band.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it was.
    pub label: String,
    /// When it began.
    pub begin: u64,
    /// When it was taken back; `None` if never.
    pub end: Option<u64>,
}

/// What to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The heading.
    pub title: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict in words; line breaks are kept.
    pub words: String,
    /// What is not shown, if anything; may be empty.
    pub note: String,
    /// Of all begins and ends.
    pub unit: Unit,
    /// The operations, in any order.
    pub operations: Vec<Operation>,
    /// The faults.
    pub faults: Vec<Fault>,
    /// From when to when the smallest illegal part reaches.
    pub window: Option<(u64, u64)>,
}

/// Writes the page.
///
/// # Errors
/// The writer's.
pub fn write_html(page: &Page, mut out: impl io::Write) -> io::Result<()> {
    let mut rest = TEMPLATE;
    let title = format!("{}: {}", page.verdict.name(), escape(&page.title));
    let data = embed(page)?;
    for (mark, content) in
        [("@TITLE@", title.as_str()), ("@STYLE@", STYLE), ("@DATA@", &data), ("@VIEW@", VIEW)]
    {
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        out.write_all(before.as_bytes())?;
        out.write_all(content.as_bytes())?;
        rest = after;
    }
    out.write_all(rest.as_bytes())?;
    out.flush()
}

/// The page's content as JSON that cannot end the element around it.
fn embed(page: &Page) -> io::Result<String> {
    let mut operations: Vec<&Operation> = page.operations.iter().collect();
    operations.sort_by_key(|op| op.begin);
    let lanes = lanes::pack(&operations);
    let row = |op: &Operation| {
        let (end, marked) = (or_never(op.end), u8::from(op.marked));
        let lane = lanes.of[&op.process];
        json!([lane, op.process, op.begin, end, op.kind as u8, marked, op.label, op.detail])
    };
    let until = operations.iter().map(|op| op.end.unwrap_or(op.begin)).max();
    let content = json!({
        "title": page.title,
        "verdict": page.verdict.name(),
        "words": page.words,
        "note": page.note,
        "unit": match page.unit { Unit::Nanoseconds => "ns", Unit::Events => "events" },
        "until": until.unwrap_or(0),
        "lanes": lanes.names,
        "operations": operations.into_iter().map(row).collect::<Vec<_>>(),
        "faults": page.faults.iter()
            .map(|fault| json!([fault.label, fault.begin, or_never(fault.end)]))
            .collect::<Vec<_>>(),
        "window": page.window.map(|(from, to)| [from, to]),
    });
    // `<` is in strings alone, where JSON takes the escape for it.
    Ok(serde_json::to_string(&content)?.replace('<', "\\u003c"))
}

fn or_never(end: Option<u64>) -> i64 {
    end.map_or(-1, |end| i64::try_from(end).unwrap_or(i64::MAX))
}

/// Text as it may stand in HTML and SVG, between tags and in attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(label: &str) -> Page {
        let (label, detail) = (label.to_owned(), String::new());
        let (kind, end) = (Kind::Info, None);
        let op = Operation { process: 7, label, detail, begin: 3, end, kind, marked: true };
        Page {
            title: "</title><script>alert(1)</script> @DATA@".into(),
            verdict: Verdict::Illegal,
            words: "@VIEW@".into(),
            note: String::new(),
            unit: Unit::Events,
            operations: vec![op],
            faults: vec![Fault { label: "kill".into(), begin: 1, end: Some(4) }],
            window: Some((1, 4)),
        }
    }

    fn html(page: &Page) -> String {
        let mut bytes = Vec::new();
        write_html(page, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn hostile_strings_stay_strings() {
        let label = "</script><img src=x onerror=alert(1)>\u{2028}\"\\ <!-- @TITLE@";
        let html = html(&page(label));
        assert_eq!(html.matches("</script").count(), 2, "only the page's own scripts end");
        assert_eq!(html.matches("<script").count(), 2);
        assert!(!html.contains("<img") && !html.contains("<!--"));
        let start = html.find("id=\"data\">").unwrap() + "id=\"data\">".len();
        let json = html[start..].split("</script>").next().unwrap();
        let content: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(content["operations"][0], serde_json::json!([0, 7, 3, -1, 2, 1, label, ""]));
        assert_eq!(content["faults"][0], serde_json::json!(["kill", 1, 4]));
        assert_eq!(content["window"], serde_json::json!([1, 4]));
        assert_eq!(content["words"], "@VIEW@");
    }

    #[test]
    fn the_page_asks_for_nothing_outside() {
        let html = html(&page("read"));
        assert!(!html.contains("http") && !html.contains("src=") && !html.contains("url("));
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape(r#"<a href="x">&"#), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
