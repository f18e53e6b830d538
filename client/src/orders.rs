//! Orders: by id, by request, of a user, page by page; baskets and cancels.
//!
//! Never does: keep an order. Called by `flashctl`, `audit` and tests.

use crate::api::{json, query_text};
use crate::settle::{Settled, Target};
use crate::{Client, ClientError};
use reqwest::Method;
use stock::api::{
    Explanation, OrderAccepted, OrderCancelled, OrderList, OrderView, PostBasket, PostCancel,
};
use stock::{RequestId, Seq, Sku, UserId};

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

    /// A page of all orders after this one, by id, linearizable.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn orders_after(&self, after: Seq) -> Result<OrderList, ClientError> {
        let path = format!("v1/orders?after={after}&limit={ORDERS_PAGE_MAX}");
        self.ask(Method::GET, &path, None).await
    }

    /// A page of a user's orders after this one, by id, linearizable.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn orders_of(&self, user: &UserId, after: Seq) -> Result<OrderList, ClientError> {
        let user = query_text(user.as_str());
        let path = format!("v1/orders?user_id={user}&after={after}&limit={ORDERS_PAGE_MAX}");
        self.ask(Method::GET, &path, None).await
    }

    /// What became of a request.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn explain(
        &self,
        user: &UserId,
        request: &RequestId,
        product: Option<&Sku>,
    ) -> Result<Explanation, ClientError> {
        let (user, request) = (query_text(user.as_str()), query_text(request.as_str()));
        let product = product.map_or(String::new(), |sku| format!("&product_id={sku}"));
        let path = format!("v1/explain?user_id={user}&request_id={request}{product}");
        self.ask(Method::GET, &path, None).await
    }

    /// Buys several products, all or none, over as many attempts and nodes as it takes within the
    /// deadline.
    pub async fn buy_basket(
        &self,
        basket: &PostBasket,
        request: &RequestId,
    ) -> Settled<OrderAccepted> {
        self.buy_basket_from_attempt(basket, request, 1).await
    }

    /// Goes on with a basket of which attempts up to `first_attempt - 1` have no known outcome.
    ///
    /// # Panics
    /// When `first_attempt` is 0.
    pub async fn buy_basket_from_attempt(
        &self,
        basket: &PostBasket,
        request: &RequestId,
        first_attempt: u32,
    ) -> Settled<OrderAccepted> {
        self.command_from(first_attempt, Target::Buys, Some(&json(basket)), request).await
    }

    /// Takes an order back, in its user's name or (`None`) the operator's.
    pub async fn cancel(
        &self,
        order: Seq,
        user: Option<&UserId>,
        request: &RequestId,
    ) -> Settled<OrderCancelled> {
        let path = format!("v1/orders/{order}/cancel");
        let body = user.map(|user| json(&PostCancel { user_id: user.clone() }));
        self.command(Target::Post(&path), body.as_deref(), request).await
    }
}
