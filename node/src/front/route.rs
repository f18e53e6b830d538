//! The routes: each path once, with its methods, as axum matches it and as the metrics label it.
//!
//! A further endpoint is a line here, a `mod` line in `mod.rs`, and its file.

use super::live::{events, ws};
use super::{Finished, FrontState, method_not_allowed};
use super::{batch, buys, cancel, cluster, explain, export, health, holds, orders};
use super::{drop_in, problems, products, scrape};
use axum::routing::MethodRouter;
use std::fmt;
use std::sync::Arc;

macro_rules! routes {
    ($($variant:ident $path:literal { $($method:ident $module:ident::$endpoint:ident),* })*) => {
        /// A route of the public listener.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Route {
            $(#[doc = concat!("`", $path, "`")] $variant,)*
            /// Whatever else is asked for.
            Unmatched,
        }

        impl Route {
            /// Every route, in the order of their discriminants.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)* Self::Unmatched];

            /// Its path as axum writes it; a label of the metrics.
            pub(crate) const fn path(self) -> &'static str {
                match self {
                    $(Self::$variant => $path,)*
                    Self::Unmatched => "unmatched",
                }
            }

            /// The methods that it takes. Another method is a 405 with an `Allow` header.
            pub(super) fn methods(self) -> MethodRouter<Arc<FrontState>> {
                let methods = match self {
                    $(Self::$variant => MethodRouter::new()
                        $(.$method(Finished { route: self, endpoint: $module::$endpoint }))*,)*
                    Self::Unmatched => MethodRouter::new(),
                };
                methods.fallback(Finished { route: self, endpoint: method_not_allowed })
            }
        }
    };
}

routes! {
    Buys "/v1/buys" { post buys::post }
    BuysBatch "/v1/buys/batch" { post batch::post }
    Products "/v1/products" { get products::list }
    Product "/v1/products/{id}" { get products::show, put products::put, patch products::patch }
    Restock "/v1/products/{id}/restock" { post products::restock }
    Holds "/v1/holds" { get holds::list, post holds::post }
    Hold "/v1/holds/{id}" { get holds::show, delete holds::release }
    Confirm "/v1/holds/{id}/confirm" { post holds::confirm }
    Orders "/v1/orders" { get orders::list }
    Order "/v1/orders/{id}" { get orders::show }
    Cancel "/v1/orders/{id}/cancel" { post cancel::post }
    Explain "/v1/explain" { get explain::show }
    Events "/v1/events" { get events::show }
    Export "/v1/export" { get export::show }
    Levels "/ws" { get ws::show }
    Beli "/beli" { post drop_in::beli }
    Reset "/reset" { post drop_in::reset }
    ApiBuy "/api/buy" { post drop_in::api_buy }
    FlashSale "/api/flash-sale/buy" { post drop_in::flash_sale }
    Cluster "/v1/cluster" { get cluster::show }
    Livez "/livez" { get health::livez }
    Readyz "/readyz" { get health::readyz }
    Metrics "/metrics" { get scrape::show }
    Problem "/problems/{name}" { get problems::show }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}
