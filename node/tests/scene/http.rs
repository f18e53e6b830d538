//! Plain HTTP to any node of a scene's cluster: what a client that knows nothing of ours sends.

use client::cluster::ProcessCluster;
use reqwest::Method;
use serde_json::Value;

/// One exchange, in the words of the contract.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

pub(crate) struct Caller {
    pub(crate) http: reqwest::Client,
    pub(crate) nodes: Vec<String>,
}

impl Caller {
    pub(crate) fn new(cluster: &ProcessCluster) -> Self {
        Self { http: reqwest::Client::new(), nodes: cluster.addresses() }
    }

    pub(crate) async fn call(
        &self,
        node: usize,
        method: Method,
        path: &str,
        ask: Ask<'_>,
    ) -> Answer {
        self.text(node, method, path, ask).await.0
    }

    /// As [`Caller::call`], with the body as it came.
    pub(crate) async fn text(
        &self,
        node: usize,
        method: Method,
        path: &str,
        ask: Ask<'_>,
    ) -> (Answer, String) {
        let mut request = self.http.request(method, format!("http://{}{path}", self.nodes[node]));
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = ask.body {
            request = request.body(body.to_owned());
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        (Answer { status, headers, body }, text)
    }

    pub(crate) async fn buy(&self, node: usize, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let body = body.to_string();
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.call(node, Method::POST, "/v1/buys", Ask { body: Some(&body), headers: &all }).await
    }

    pub(crate) async fn get(&self, node: usize, path: &str) -> Answer {
        self.call(node, Method::GET, path, Ask::default()).await
    }
}

#[derive(Default)]
pub(crate) struct Ask<'a> {
    pub(crate) body: Option<&'a str>,
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or("")
    }
}
