//! The routes: each path once, as axum matches it and as the metrics label it.

use std::fmt;

macro_rules! routes {
    ($($variant:ident $path:literal)*) => {
        /// A route of the public listener.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Route {
            $(#[doc = concat!("`", $path, "`")] $variant,)*
        }

        impl Route {
            /// Every route, in the order of their discriminants.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its path as axum writes it; a label of the metrics.
            pub(crate) const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)* }
            }
        }
    };
}

routes! {
    Buys "/v1/buys"
    Products "/v1/products"
    Product "/v1/products/{id}"
    Restock "/v1/products/{id}/restock"
    Orders "/v1/orders"
    Order "/v1/orders/{id}"
    Cluster "/v1/cluster"
    Livez "/livez"
    Readyz "/readyz"
    Metrics "/metrics"
    Problem "/problems/{name}"
    Unmatched "unmatched"
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}
