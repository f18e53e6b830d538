//! The routes: each path once, with its methods, as axum matches it and as the metrics label it.
//!
//! A further endpoint is a line here, a `mod` line in `mod.rs`, and its file. The line names the
//! handler and, beside it, what the OpenAPI document says of it.

use super::docs::Docs;
use super::live::{events, sse, ws};
use super::pages::{self, room, storm};
use super::{Finished, FrontState, method_not_allowed};
use super::{batch, buys, cancel, cluster, explain, export, health, holds, orders};
use super::{cursors, drop_in, openapi, problems, products, scrape, swagger};
use axum::routing::MethodRouter;
use std::fmt;
use std::sync::Arc;

macro_rules! routes {
    ($($variant:ident $path:literal {
        $($method:ident $module:ident::{$endpoint:ident, $docs:ident}),* $(,)?
    })*) => {
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
                        $(.$method(Finished {
                            route: self,
                            docs: Some(&$module::$docs),
                            endpoint: $module::$endpoint,
                        }))*,)*
                    Self::Unmatched => MethodRouter::new(),
                };
                methods.fallback(Finished {
                    route: self,
                    docs: None,
                    endpoint: method_not_allowed,
                })
            }

            /// What its methods say of themselves, by method.
            pub(super) const fn docs(self) -> &'static [(&'static str, &'static Docs)] {
                match self {
                    $(Self::$variant => &[$((stringify!($method), &$module::$docs)),*],)*
                    Self::Unmatched => &[],
                }
            }
        }
    };
}

routes! {
    Buys "/v1/buys" { post buys::{post, POST} }
    BuysBatch "/v1/buys/batch" { post batch::{post, POST} }
    Products "/v1/products" { get products::{list, LIST} }
    Product "/v1/products/{id}" {
        get products::{show, SHOW}, put products::{put, PUT}, patch products::{patch, PATCH},
    }
    Restock "/v1/products/{id}/restock" { post products::{restock, RESTOCK} }
    Holds "/v1/holds" { get holds::{list, LIST}, post holds::{post, POST} }
    Hold "/v1/holds/{id}" { get holds::{show, SHOW}, delete holds::{release, RELEASE} }
    Confirm "/v1/holds/{id}/confirm" { post holds::{confirm, CONFIRM} }
    Orders "/v1/orders" { get orders::{list, LIST} }
    Order "/v1/orders/{id}" { get orders::{show, SHOW} }
    Cancel "/v1/orders/{id}/cancel" { post cancel::{post, POST} }
    Explain "/v1/explain" { get explain::{show, SHOW} }
    Events "/v1/events" { get events::{show, SHOW} }
    Export "/v1/export" { get export::{show, SHOW} }
    Levels "/v1/levels" { get sse::{show, SHOW} }
    LevelsSocket "/ws" { get ws::{show, SHOW} }
    Cursors "/v1/cursors" { get cursors::{list, LIST} }
    Cursor "/v1/cursors/{name}" {
        get cursors::{show, SHOW}, put cursors::{put, PUT}, delete cursors::{remove, REMOVE},
    }
    Beli "/beli" { post drop_in::{beli, BELI} }
    Reset "/reset" { post drop_in::{reset, RESET} }
    ApiBuy "/api/buy" { post drop_in::{api_buy, API_BUY} }
    FlashSale "/api/flash-sale/buy" { post drop_in::{flash_sale, FLASH_SALE} }
    Control "/v1/control" { get room::{show, SHOW} }
    Storm "/v1/demo/storm" { post storm::{post, POST}, delete storm::{stop, STOP} }
    Cluster "/v1/cluster" { get cluster::{show, SHOW} }
    Livez "/livez" { get health::{livez, LIVEZ} }
    Readyz "/readyz" { get health::{readyz, READYZ} }
    Metrics "/metrics" { get scrape::{show, SHOW} }
    Problem "/problems/{name}" { get problems::{show, SHOW} }
    OpenApi "/openapi.json" { get openapi::{show, SHOW} }
    Shop "/" { get pages::{shop, SHOP} }
    ControlRoom "/control" { get pages::{control, CONTROL} }
    Asset "/assets/{file}" { get pages::{asset, ASSET} }
    Docs "/docs" { get swagger::{enter, ENTER} }
    DocsPage "/docs/" { get swagger::{page, PAGE} }
    DocsFile "/docs/{file}" { get swagger::{file, FILE} }
}

impl Route {
    /// Whether it tells nothing of the stock, so that a node whose state is wrong answers it.
    pub(super) const fn is_operational(self) -> bool {
        matches!(
            self,
            Self::Cluster
                | Self::Livez
                | Self::Readyz
                | Self::Metrics
                | Self::Problem
                | Self::OpenApi
                | Self::Docs
                | Self::DocsPage
                | Self::DocsFile
                | Self::Shop
                | Self::ControlRoom
                | Self::Asset
                | Self::Unmatched
        )
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}
