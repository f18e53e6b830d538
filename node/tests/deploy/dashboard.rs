//! The queries of Grafana's dashboard, as Grafana would send them.

use super::prometheus::deploy;
use serde_json::Value;

/// What a panel asks.
pub(crate) struct Query {
    pub(crate) panel: String,
    pub(crate) expr: String,
}

/// Every query of every panel, its variables filled in.
pub(crate) fn queries() -> Vec<Query> {
    let file = std::fs::read_to_string(deploy("grafana/dashboards/flashnode.json"));
    let dashboard: Value = serde_json::from_str(&file.expect("the dashboard")).expect("JSON");
    let source = std::fs::read_to_string(deploy("grafana/provisioning/datasources/prometheus.yml"))
        .expect("the data source");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title").to_owned();
        if panel["type"] == "row" {
            continue;
        }
        let uid = panel["datasource"]["uid"].as_str().expect("a data source");
        assert!(source.contains(&format!("\n    uid: {uid}\n")), "{title}: {uid} is not provided");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title} asks nothing");
        for target in targets {
            let expr = target["expr"].as_str().expect("a query");
            let expr = expr.replace("$__rate_interval", "1m").replace("$product", ".*");
            assert!(!expr.contains('$'), "{title}: {expr}");
            queries.push(Query { panel: title.clone(), expr });
        }
    }
    queries
}
