//! A storm by batches: each call has many buyers.
//!
//! Called by `worker`.

use super::worker::{Worker, us};
use crate::BuyAnswer;
use crate::batch::{BatchBuy, Form};
use std::time::Instant;
use stock::RequestId;
use stock::api::PostBuy;
use uuid::Uuid;

impl Worker<'_> {
    /// Sends call after call until every buyer was in one.
    pub(super) async fn call_batches(&mut self, size: usize) {
        while let Some(buyers) = self.progress.next_buyers(size as u64, self.plan.buyers) {
            let requests: Vec<Uuid> = buyers.clone().map(|_| Uuid::now_v7()).collect();
            let buys: Vec<BatchBuy> = buyers
                .clone()
                .zip(&requests)
                .map(|(buyer, request)| self.batch_buy(buyer, *request))
                .collect();
            let route = self.route(buyers.start / size as u64);
            let began = Instant::now();
            let outcomes = self.client.settle_call(&buys, Form::Lines, route).await;
            let settled = |answer: &BuyAnswer| {
                !matches!(answer, BuyAnswer::NotProposed { .. } | BuyAnswer::Unknown { .. })
            };
            if outcomes.iter().all(|outcome| settled(&outcome.answer)) {
                self.tally.latencies_us.push(us(began.elapsed()));
            }
            self.count_retries(outcomes.iter().map(|outcome| outcome.attempts).max().unwrap_or(1));
            for ((buyer, request), outcome) in buyers.zip(requests).zip(outcomes) {
                let node = outcome.node;
                if self.record(buyer, request, outcome) {
                    self.tally.answers_by_node[node] += 1;
                }
            }
        }
    }

    fn batch_buy(&self, buyer: u64, request: Uuid) -> BatchBuy {
        let request = RequestId::new(request.to_string())
            .unwrap_or_else(|error| unreachable!("a UUID is a request id: {error}"));
        let (product_id, quantity) = (self.plan.product.clone(), self.plan.quantity);
        let buy = PostBuy { product_id, user_id: self.plan.user(buyer), quantity };
        BatchBuy { request, buy }
    }
}
