//! `report.html`: the run at a glance, one self-contained file.
//!
//! Owns: the page's words and looks. Called by `report`.

use super::axes::seconds;
use super::{Plots, reasons};
use crate::nemesis::Effect;
use crate::run::{Evidence, Plan, RunReport};
use checker::flashnode::judge::name;
use checker::search::Verdict;
use checker::timeline::escape;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The most violations of a layer shown; results.json has all.
const SHOWN_MAX: usize = 30;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2430;--dim:#68717f;--line:#e3e6eb;--ground:#f6f7f9;
--card:#fff;--ok:#2b8a3e;--illegal:#e03131;--unknown:#b35c00;--link:#1864ab;--on:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#98a2b0;--line:#2c333d;
--ground:#0e1116;--card:#14181e;--ok:#69c97e;--illegal:#ff6b6b;--unknown:#f5b041;
--link:#74b0f0;--on:#0e1116}}
body{margin:0 auto;max-width:1240px;padding:28px 24px 60px;background:var(--ground);
color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:22px;margin:0 0 14px}h2{font-size:16px;margin:30px 0 8px}
.card,.verdict,figure,pre{background:var(--card);border-radius:8px;box-shadow:0 1px 3px #0000001a}
.verdict{border-left:8px solid;padding:16px 22px;overflow-wrap:anywhere}
.verdict b{font-size:26px}.verdict ul{margin:8px 0 0;padding-left:20px}
.ok{border-color:var(--ok)}.ok b{color:var(--ok)}.illegal{border-color:var(--illegal)}
.illegal b{color:var(--illegal)}
.unknown{border-color:var(--unknown)}.unknown b{color:var(--unknown)}
.facts{display:flex;flex-wrap:wrap;gap:6px 28px;margin:16px 0;color:var(--dim)}
.facts strong{color:var(--ink);font-weight:600}
.open{display:inline-block;padding:7px 16px;border-radius:8px;background:var(--link);
color:var(--on);text-decoration:none;font-weight:600}
.wide{overflow-x:auto}.wide table{min-width:520px}figure.wide svg{min-width:760px}
table{border-collapse:collapse;width:100%}tr:last-child td{border:0}
th,td{text-align:left;padding:7px 16px;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--dim);font-weight:500}td.n,th.n{text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}
figure{margin:14px 0}svg{display:block;width:100%}
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}pre{padding:12px 16px;
white-space:pre-wrap}.files{display:flex;flex-wrap:wrap;gap:4px 20px}a{color:var(--link)}
.dim{color:var(--dim)}@media (max-width:600px){body{padding:18px 14px 40px}
.verdict{padding:12px 16px}.facts{gap:4px 18px}}";

pub(super) fn html(
    plan: &Plan,
    evidence: &Evidence,
    report: &RunReport,
    (plots, files): (&Plots, &[PathBuf]),
) -> String {
    let verdict = name(report.verdict);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>jepsen-lite: {verdict}</title><style>{STYLE}</style>\n\
         <h1>jepsen-lite: {} on {} nodes</h1>\n",
        plan.workload, plan.nodes
    );
    page.push_str(&verdict_of(report));
    page.push_str(&facts(plan, evidence, report));
    page.push_str("<a class=\"open\" href=\"timeline.html\">Open the timeline</a>\n");
    for plot in [&plots.rate, &plots.latency] {
        let _ = writeln!(page, "<figure class=\"wide\">{plot}</figure>");
    }
    page.push_str(&faults(report));
    page.push_str(&operations(report));
    page.push_str(&checks(report));
    page.push_str(&replicas(evidence));
    page.push_str("<h2>Files</h2><p class=\"files\">");
    for path in &files[1..] {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let file = escape(&file);
        let _ = write!(page, "<a href=\"{file}\">{file}</a>");
    }
    let _ = writeln!(page, "</p><h2>Again</h2><pre><code>{}</code></pre>", escape(&repeat(plan)));
    page
}

/// The command that runs the same plan again, in a directory of its own.
pub fn repeat(plan: &Plan) -> String {
    let nemeses: Vec<&str> = plan.nemeses.iter().map(|kind| kind.name()).collect();
    let nemeses = if nemeses.is_empty() { "none".into() } else { nemeses.join(",") };
    let rate = plan.rate.map(|rate| format!(" --rate {rate}")).unwrap_or_default();
    format!(
        "jepsen-lite run --nodes {} --time {} --workload {} --nemesis {nemeses} \
         --concurrency {}{rate} --seed {}",
        plan.nodes,
        plan.time.as_secs_f64(),
        plan.workload,
        plan.concurrency,
        plan.seed
    )
}

fn verdict_of(report: &RunReport) -> String {
    let verdict = name(report.verdict);
    let means = match report.verdict {
        Verdict::Ok => "no anomaly, and everything that was to be covered was",
        Verdict::Illegal => "what clients were told, or what nodes promised, does not hold",
        Verdict::Unknown => "nothing was proved either way",
    };
    let mut html = format!("<div class=\"verdict {verdict}\"><b>{verdict}</b> — {means}<ul>");
    for why in reasons::in_short(&report.why) {
        let _ = write!(html, "<li>{}</li>", escape(&why));
    }
    html + "</ul></div>\n"
}

fn facts(plan: &Plan, evidence: &Evidence, report: &RunReport) -> String {
    let rate = plan.rate.map_or_else(|| "unbounded".into(), |rate| format!("{rate}/s at most"));
    let tally = report.tally;
    let expired = match tally.expired {
        0 => String::new(),
        count => format!("<span><strong>{count}</strong> holds ran out</span>"),
    };
    format!(
        "<div class=\"facts\"><span><strong>{}</strong> operations</span>\
         <span><strong>{:.0}</strong> a second</span><span><strong>{}</strong> ok</span>\
         <span><strong>{}</strong> fail</span><span><strong>{}</strong> info</span>{expired}\
         <span><strong>{:.1} s</strong> of asking</span><span><strong>{}</strong> clients</span>\
         <span>rate <strong>{rate}</strong></span><span>seed <strong>{}</strong></span></div>\n",
        tally.asked(),
        report.rate,
        tally.ok,
        tally.fail,
        tally.info,
        evidence.asked_for.as_secs_f64(),
        plan.concurrency,
        plan.seed
    )
}

/// The head of a column.
#[derive(Debug, Clone, Copy)]
enum Column {
    Words(&'static str),
    Number(&'static str),
}
use Column::{Number, Words};

const TABLE_END: &str = "</table></div>\n";

/// A table's beginning, up to its first row.
fn table(title: &str, head: &[Column]) -> String {
    let cell = |column: &Column| match column {
        Words(name) => format!("<th>{name}"),
        Number(name) => format!("<th class=\"n\">{name}"),
    };
    let cells: String = head.iter().map(cell).collect();
    format!("<h2>{title}</h2><div class=\"card wide\"><table><tr>{cells}</tr>")
}

fn faults(report: &RunReport) -> String {
    if report.faults.is_empty() {
        return "<h2>Faults</h2><p class=\"dim\">None.</p>".into();
    }
    let head = [Words("kind"), Words("what"), Words("effect"), Number("from"), Number("to")];
    let mut html = table("Faults", &head);
    for fault in &report.faults {
        let effect = match fault.effect {
            Effect::Installed => "installed",
            Effect::Skipped => "skipped",
            Effect::Indeterminate => "indeterminate",
        };
        let ended = fault
            .ended_ns
            .map_or_else(|| "not healed".into(), |ended| format!("{:.2} s", seconds(ended)));
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td>{effect}<td class=\"n\">{:.2} s<td class=\"n\">{ended}</tr>",
            escape(fault.kind),
            escape(&fault.what),
            seconds(fault.began_ns)
        );
    }
    html + TABLE_END
}

fn operations(report: &RunReport) -> String {
    let counts = ["ok", "refused", "surely not done", "unknown"].map(Number);
    let mut html = table("Operations", &[&[Words("function")], &counts[..]].concat());
    for (function, counted) in &report.judgement.operations {
        let _ = write!(
            html,
            "<tr><td>{function}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}\
             <td class=\"n\">{}</tr>",
            counted.ok, counted.refused, counted.not_done, counted.unknown
        );
    }
    html + TABLE_END
}

fn checks(report: &RunReport) -> String {
    let head = [Words("layer"), Words("verdict"), Number("took"), Words("found")];
    let mut html = table("Checks", &head);
    for finding in &report.judgement.layers {
        let layer = format!("{:?}", finding.layer).to_lowercase();
        let mut found: Vec<String> = finding.notes.clone();
        let words = |violation: &checker::flashnode::Violation| {
            format!("{}: {}", violation.rule, violation.words)
        };
        found.extend(finding.violations.iter().take(SHOWN_MAX).map(words));
        if found.is_empty() {
            found.push("nothing wrong".into());
        }
        let _ = write!(
            html,
            "<tr><td>{layer}<td>{}<td class=\"n\">{:.0} ms<td>{}</tr>",
            name(finding.verdict),
            finding.took.as_secs_f64() * 1e3,
            found.iter().map(|text| escape(text)).collect::<Vec<_>>().join("<br>")
        );
    }
    html + TABLE_END
}

fn replicas(evidence: &Evidence) -> String {
    let head = [Words("node"), Number("seq"), Number("orders"), Words("state hash")];
    let mut html = table("Replicas at the end", &head);
    for replica in &evidence.ledgers.replicas {
        let hash = escape(replica.state_hash.as_deref().unwrap_or("untold"));
        let _ = write!(
            html,
            "<tr><td>{}<td class=\"n\">{}<td class=\"n\">{}<td><code>{hash}</code></tr>",
            replica.node,
            replica.seq,
            replica.orders.len()
        );
    }
    html + TABLE_END
}
