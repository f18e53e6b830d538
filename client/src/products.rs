//! Products: put on sale, updated, restocked, shown, listed.
//!
//! Never does: keep one. Called by `flashctl`, `audit`, `cluster` and tests.

use crate::api::json;
use crate::settle::{Settled, Target};
use crate::{Client, ClientError};
use reqwest::Method;
use stock::api::{PatchProduct, PostRestock, ProductList, ProductView, PutProduct};
use stock::{RequestId, Seq, Sku};

/// The most products asked for at once.
const PRODUCTS_PAGE_MAX: u32 = 1000;

impl Client {
    /// Puts a product on sale, or finds it on sale on exactly these terms.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when it exists on other terms or the terms are not valid,
    /// [`ClientError::Unavailable`] when no node answered in time.
    pub async fn create_product(
        &self,
        sku: &Sku,
        terms: &PutProduct,
    ) -> Result<ProductView, ClientError> {
        // The same PUT twice is the same product, so it may be repeated like a read.
        let body = json(terms);
        self.ask(Method::PUT, &format!("v1/products/{sku}"), Some(&body)).await
    }

    /// Adds units, or (negative) takes back units that are still available. Exactly once: all
    /// attempts go under one request id.
    pub async fn restock(
        &self,
        (sku, quantity): (&Sku, i64),
        request: &RequestId,
    ) -> Settled<ProductView> {
        let body = json(&PostRestock { quantity });
        let path = format!("v1/products/{sku}/restock");
        self.command(Target::Post(&path), Some(&body), request).await
    }

    /// The product, linearizable: at least as new as every answer given before this was called.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is none, [`ClientError::Unavailable`].
    pub async fn product(&self, sku: &Sku) -> Result<ProductView, ClientError> {
        self.ask(Method::GET, &format!("v1/products/{sku}"), None).await
    }

    /// The product as this node has applied it, at once, even without a quorum.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when it knows none, [`ClientError::Unavailable`].
    pub async fn product_stale(&self, node: usize, sku: &Sku) -> Result<ProductView, ClientError> {
        let path = format!("v1/products/{sku}?consistency=stale");
        self.ask_one(node, Method::GET, &path, None).await
    }

    /// Changes a product's terms; with `if_match`, only if its version is still that one.
    pub async fn update_product(
        &self,
        (sku, changes): (&Sku, &PatchProduct),
        if_match: Option<Seq>,
        request: &RequestId,
    ) -> Settled<ProductView> {
        let path = format!("v1/products/{sku}");
        self.command(Target::Patch { path: &path, if_match }, Some(&json(changes)), request).await
    }

    /// A page of the products after this one, by id, linearizable.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn products_after(&self, after: Option<&Sku>) -> Result<ProductList, ClientError> {
        let after = after.map_or(String::new(), |sku| format!("&after={sku}"));
        self.ask(Method::GET, &format!("v1/products?limit={PRODUCTS_PAGE_MAX}{after}"), None).await
    }
}
