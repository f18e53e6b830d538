//! A Prometheus that scrapes the scene's nodes by the files of `deploy/`, and those files.

use super::scene::{PATIENCE, until};
use serde_json::Value;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A file of `deploy/`.
pub(crate) fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

fn rules(file: &str) -> String {
    std::fs::read_to_string(deploy(&format!("rules/{file}"))).expect("rules")
}

/// The names of what the rules record.
pub(crate) fn recorded() -> Vec<String> {
    let rules = rules("recording.yml");
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    names.map(str::to_owned).collect()
}

/// The expressions of all rules.
pub(crate) fn expressions() -> Vec<String> {
    let mut expressions = Vec::new();
    for rules in [rules("recording.yml"), rules("alerts.yml")] {
        let mut lines = rules.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(expr) = line.strip_prefix("        expr: ") else {
                continue;
            };
            let mut expr = expr.trim_start_matches('|').to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with("          ")) {
                expr.push_str(more);
            }
            expressions.push(expr);
        }
    }
    expressions
}

/// The metrics that an expression asks for: what has an underscore and is no function, clause or
/// label. Quoted texts are left out first.
pub(crate) fn names(expr: &str) -> Vec<String> {
    let unquoted: String = expr.split('"').step_by(2).collect();
    let in_braces = |text: &str| text.matches('{').count() > text.matches('}').count();
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut names = Vec::new();
    let mut from = 0;
    for word in unquoted.split(|c| !of_name(c)) {
        let at = from + unquoted[from..].find(word).unwrap_or_default();
        from = at + word.len();
        let is_call = unquoted[from..].trim_start().starts_with('(');
        let is_label = in_braces(&unquoted[..at]);
        if (word.contains('_') || word == "up") && !is_call && !is_label {
            names.push(word.to_owned());
        }
    }
    names.retain(|name| name != "group_right");
    names
}

fn skip(why: &str) {
    assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

/// Runs promtool; none where it is missing.
pub(crate) fn promtool(what: &[&str], file: &Path) -> Option<Output> {
    let ran = Command::new("promtool").args(what).arg(file).output();
    match ran {
        Ok(output) => Some(output),
        Err(error) => {
            skip(&format!("promtool cannot be run (Debian package prometheus): {error}"));
            None
        }
    }
}

/// Whether there is a Prometheus to run.
pub(crate) fn is_here() -> bool {
    let ran = Command::new("prometheus").arg("--version").output();
    if let Err(error) = &ran {
        skip(&format!("prometheus cannot be run (Debian package prometheus): {error}"));
    }
    ran.is_ok()
}

/// The process; it ends with this.
pub(crate) struct Prometheus {
    process: Child,
    address: String,
    http: reqwest::Client,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one with the configuration that is delivered, but for the nodes' addresses and the
    /// intervals.
    pub(crate) fn start(nodes: &[String]) -> Self {
        let dir = TempDir::new().expect("a directory");
        let config = std::fs::read_to_string(deploy("prometheus.yml")).expect("prometheus.yml");
        let targets = r#"["node1:8100", "node2:8100", "node3:8100"]"#;
        assert!(config.contains(targets), "the targets are written otherwise: {config}");
        let rules = format!("{}/*.yml", deploy("rules").display());
        let config = config
            .replace(targets, &format!("{nodes:?}"))
            .replace("interval: 5s", "interval: 1s")
            .replace("rules/*.yml", &rules);
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("the configuration is written");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr());
        let address = free.expect("a free port").to_string();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--log.level=error"])
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { process, address, http, _dir: dir }
    }

    /// Waits until so many nodes are scraped.
    pub(crate) async fn until_up(&self, nodes: usize) {
        until("the nodes to be scraped", || async {
            let result = self.query("up == 1").await?;
            (result.as_array()?.len() == nodes).then_some(())
        })
        .await;
    }

    /// Whether the query has a result now of which some value is a finite number.
    pub(crate) async fn has_numbers(&self, expr: &str) -> bool {
        let Some(Value::Array(series)) = self.query(expr).await else {
            return false;
        };
        let value = |one: &Value| one["value"][1].as_str().and_then(|text| text.parse().ok());
        series.iter().filter_map(value).any(f64::is_finite)
    }

    /// The names of the alerts that fire.
    pub(crate) async fn firing(&self) -> Vec<String> {
        let result = self.query(r#"ALERTS{alertstate="firing"}"#).await.expect("an answer");
        let alerts = result.as_array().expect("a vector").iter();
        let name = |one: &Value| one["metric"]["alertname"].as_str().map(str::to_owned);
        alerts.map(|one| name(one).expect("a name")).collect()
    }

    /// The result of a query now; none while Prometheus does not answer.
    async fn query(&self, expr: &str) -> Option<Value> {
        let url = format!("http://{}/api/v1/query", self.address);
        let form = url_encoded(expr);
        let answer = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("query={form}"))
            .send()
            .await
            .ok()?;
        let text = answer.text().await.ok()?;
        let mut body: Value = serde_json::from_str(&text).ok()?;
        assert_ne!(body["status"], "error", "{expr}: {text}");
        Some(body["data"]["result"].take())
    }
}

fn url_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").expect("a string takes it");
        encoded
    })
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
