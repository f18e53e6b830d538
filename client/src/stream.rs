//! An answer of one node whose end is not waited for.
//!
//! Owns: what may stand in the way of its first byte. Never does: read on, or go to another node.
//! Called by `events` and `export`.

use crate::call::in_words;
use crate::{Client, ClientError};
use reqwest::Response;
use stock::Seq;
use stock::api::Problem;

impl Client {
    /// Asks one node for a stream, whose end is not waited for.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when it has none to give, [`ClientError::Unavailable`] when it
    /// cannot or does not answer.
    pub(crate) async fn open_stream(
        &self,
        node: usize,
        path: &str,
        after: Option<Seq>,
    ) -> Result<Response, ClientError> {
        let unavailable = |why: &str| {
            let why = format!("{}: {why}", self.address(node));
            ClientError::Unavailable { why }
        };
        let mut request = self.http.get(self.nodes.at(node).url(path)?);
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let answered = async {
            let stream = request.send().await.map_err(|why| unavailable(&in_words(&why)))?;
            let status = stream.status().as_u16();
            if status == 200 {
                return Ok(stream);
            }
            let words = stream.bytes().await.map_err(|why| unavailable(&in_words(&why)))?;
            Err(match serde_json::from_slice::<Problem>(&words) {
                // 429: it has too much to do, as with a 503.
                Ok(problem) if status < 500 && status != 429 => {
                    ClientError::Refused(Box::new(problem))
                }
                Ok(problem) => unavailable(&problem.detail),
                Err(_) => unavailable(&format!("it answered {status}, not as a flashnode does")),
            })
        };
        let answered = tokio::time::timeout(self.timeouts.attempt, answered).await;
        answered.unwrap_or_else(|_| Err(unavailable("no answer in time")))
    }
}
