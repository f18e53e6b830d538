//! Orders: by id, by request, page by page.
//!
//! Never does: keep an order. Called by `flashctl`, `audit` and tests.

use crate::api::query_text;
use crate::{Client, ClientError};
use reqwest::Method;
use stock::api::{OrderList, OrderView};
use stock::{RequestId, Seq, UserId};

/// The most orders asked for at once.
pub(crate) const ORDERS_PAGE_MAX: u32 = 1000;

impl Client {
    /// An order, linearizable.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is none, [`ClientError::Unavailable`].
    pub async fn order(&self, order: Seq) -> Result<OrderView, ClientError> {
        self.ask(Method::GET, &format!("v1/orders/{order}"), None).await
    }

    /// The order that a request has won so far. `None` settles nothing: a lost attempt may still
    /// enter the log; only another attempt under the same id can tell.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn order_by_request(
        &self,
        user: &UserId,
        request: &RequestId,
    ) -> Result<Option<OrderView>, ClientError> {
        let (user, request) = (query_text(user.as_str()), query_text(request.as_str()));
        let path = format!("v1/orders?user_id={user}&request_id={request}");
        let list: OrderList = self.ask(Method::GET, &path, None).await?;
        Ok(list.orders.into_iter().next())
    }

    /// A page of all orders after this one, by id, of a state not older than `min_seq`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn orders_after(&self, after: Seq, min_seq: Seq) -> Result<OrderList, ClientError> {
        let path = format!("v1/orders?after={after}&limit={ORDERS_PAGE_MAX}&min_seq={min_seq}");
        self.ask(Method::GET, &path, None).await
    }
}
