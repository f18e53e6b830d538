//! `POST /v1/buys/batch` of the fake node.

use super::{Plant, Shop, json};
use serde_json::{Value, json};
use stock::RequestId;

impl Shop {
    /// One result an item, in the same order; `None` closes the connection without an answer.
    pub(crate) fn batch(&mut self, head: &str, body: &str) -> Option<(u16, String)> {
        let lines = head.contains("content-type: application/x-ndjson");
        let items: Vec<Value> = if lines {
            body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        } else {
            serde_json::from_str(body).unwrap()
        };
        self.calls += 1;
        let mut results: Vec<Value> = Vec::new();
        let mut answered = true;
        for item in &items {
            let request_id = item["request_id"].as_str().unwrap();
            let buy = json!({"product_id": item["product_id"], "user_id": item["user_id"],
                             "quantity": item["quantity"]});
            let attempt = item["attempt"].to_string();
            let request = RequestId::new(request_id).unwrap();
            match self.buy(&request, &attempt, &buy.to_string()) {
                Some((status, body)) => {
                    let body: Value = serde_json::from_str(&body).unwrap();
                    let says = if status == 201 { "order" } else { "problem" };
                    results.push(json!({"status": status, "request_id": request_id,
                                        "replayed": false, says: body}));
                }
                None => answered = false,
            }
        }
        if self.plant == Plant::DropAResult && self.calls == 1 {
            results.remove(1);
        }
        if self.plant == Plant::SwapResults && self.calls == 1 {
            results.swap(0, 1);
        }
        let lines: Vec<String> = results.iter().map(json).collect();
        answered.then(|| (200, lines.join("\n")))
    }
}
