//! The table of problem types: each has a name, a title, a status, and a page that explains it.
//!
//! Never renamed or given another status once released: programs match on them.

use axum::http::StatusCode;

macro_rules! kinds {
    ($($variant:ident $status:literal $name:literal $title:literal $meaning:literal)*) => {
        /// The kinds of problem. Each has a page, `/problems/{name}`, on every node.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = $meaning] $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The `type` of the problem: the path of its page.
            pub(crate) fn path(self) -> &'static str {
                match self { $(Self::$variant => concat!("/problems/", $name),)* }
            }

            /// The name of its page.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The problem in a few words.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The HTTP status.
            pub(crate) fn status(self) -> StatusCode {
                let code: u16 = match self { $(Self::$variant => $status,)* };
                StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// What it means in general, and what to do.
            pub(crate) fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

kinds! {
    InvalidJson 400 "invalid-json" "The body is not JSON"
        "The body is not well-formed JSON. The detail says where it breaks off."
    InvalidField 400 "invalid-field" "A field is missing, unknown or of the wrong type"
        "The body is JSON, but not of the shape that this route takes. The detail names the field."
    InvalidQuery 400 "invalid-query" "The query is not understood"
        "A query parameter is unknown, repeated, missing, or not of its type. The detail names it."
    InvalidHeader 400 "invalid-header" "A header is not understood"
        "Idempotency-Key takes 1 to 128 visible ASCII characters, quoted or bare; \
         Flashnode-Attempt takes a whole number from 1, and above 1 only with a key. If-Match takes \
         one ETag or *, where a route takes it; Last-Event-ID takes an id of the feed. Host must be \
         there once."
    ForeignOrigin 403 "foreign-origin" "The page of another site must not do this"
        "A browser sent this for a page of another site. Pages of the nodes themselves, and of the \
         site that serves them, may; so may every program that is no browser."
    UnknownProduct 404 "unknown-product" "No such product"
        "No product has this id."
    UnknownOrder 404 "unknown-order" "No such order"
        "No order has this id in the state that answered."
    UnknownCursor 404 "unknown-cursor" "No such cursor"
        "No cursor has this name."
    UnknownHold 404 "unknown-hold" "No such hold"
        "No hold of this user has this id in the state that answered, or it ended millions of holds ago."
    NotFound 404 "not-found" "No such route"
        "This node serves nothing at this path."
    DemoOff 404 "demo-off" "This node is not for demonstrations"
        "A storm is taken by nodes that were started with `--demo`, at loopback addresses."
    MethodNotAllowed 405 "method-not-allowed" "The route does not take this method"
        "The Allow header says which methods it takes."
    RequestTimeout 408 "request-timeout" "The body did not arrive in time"
        "The request was dropped before anything was asked. Send it again."
    ProductDiffers 409 "product-differs" "The product exists on other terms"
        "A product with this id is on sale on other terms, and stays as it is."
    Insufficient 409 "insufficient" "Fewer units are left than asked for"
        "The buy takes all its units or none. `remaining` says how many were left."
    LimitReached 409 "limit-reached" "The purchase limit is reached"
        "The product has a limit for each user, and this buy would pass it."
    NotOpen 409 "not-open" "The sale has not begun"
        "The product is not sold yet. Try again when it is: see `Retry-After`."
    HoldSettled 409 "hold-settled" "The hold has ended already"
        "The hold has become an order or was given up. The detail says which."
    TooManyUserHolds 409 "too-many-user-holds" "The user has as many open holds as one can"
        "A user can have 100 open holds. Confirm one or give one up."
    TooManyHolds 409 "too-many-holds" "As many holds are open as can be"
        "The cluster keeps 1000000 open holds. Buy at once, or try again when some have ended."
    StormRunning 409 "storm-running" "A storm is under way"
        "One storm at a time. It ends within 80 seconds, or with a DELETE."
    AlreadyCancelled 409 "already-cancelled" "The order is cancelled already"
        "The order was cancelled before, and its units were given back then."
    RestockOutOfRange 409 "restock-out-of-range" "The restock is out of range"
        "It would take back more units than are available, or pass the largest stock."
    TooManyProducts 409 "too-many-products" "The cluster holds as many products as it can"
        "No further product can be put on sale in this cluster."
    CursorMoved 409 "cursor-moved" "The cursor stands elsewhere"
        "Somebody else has moved the cursor, or made it. `position` says where it stands; it is \
         absent when there is none of this name."
    CursorOfAnother 409 "cursor-of-another" "The cursor is for another target"
        "The cursor is for another target than the request says, and stays where it is. Use a name \
         of its own for each target."
    TooManyCursors 409 "too-many-cursors" "The cluster holds as many cursors as it can"
        "No further cursor can be made: the cluster keeps 256."
    SoldOut 410 "sold-out" "Sold out"
        "Nothing was left at the state that `seq` names. A restock may change that."
    HoldExpired 410 "hold-expired" "The hold has expired"
        "Its deadline has passed, and its units went back on sale."
    SaleOver 410 "sale-over" "The sale is over"
        "The product is no longer sold."
    EventsGone 410 "events-gone" "The feed no longer reaches so far back"
        "The events after this id are no longer given one by one. Start from `/v1/export`, which is \
         the whole state at one `seq`, and go on from there."
    VersionDiffers 412 "version-differs" "The product has changed"
        "The product has changed since the version that If-Match names. Look at it again."
    TooLarge 413 "too-large" "The body is too large"
        "The detail says how large it may be."
    UnsupportedMediaType 415 "unsupported-media-type" "The body is of a type that is not taken"
        "Send `Content-Type: application/json`, or no Content-Type. The batch route takes \
         `application/x-ndjson` too, and a PATCH `application/merge-patch+json`."
    InvalidValue 422 "invalid-value" "A value is out of range"
        "The request is well formed, but a number or an id is not one that can be. \
         The detail names it and its range."
    EmptyWindow 422 "empty-window" "The sale would end before it begins"
        "The sale must open before it ends; what the update leaves as it is counts too."
    KeyReused 422 "key-reused" "The Idempotency-Key was used for another request"
        "A key stands for one request. Use a new key for a new request."
    RateLimited 429 "rate-limited" "Too many clicks"
        "More clicks came from this user, or from this address, than the limit allows. Nothing was \
         asked for: try again when `Retry-After` says. `RateLimit` says what is left."
    Internal 500 "internal" "The node failed"
        "The node could not answer because of a fault of its own; its log says more. A write may \
         or may not have happened: send it again under the same Idempotency-Key."
    NoLeader 503 "no-leader" "No leader in time"
        "The cluster had no leader within the deadline. Nothing was proposed: send it again."
    Overloaded 503 "overloaded" "The node is overloaded"
        "The node's mailbox is full. Nothing was proposed: send it again a little later."
    TooManyConnections 503 "too-many-connections" "The node has no room for another connection"
        "As many connections are open as this node takes. Nothing was asked: connect again a \
         little later, or to another node."
    TooManyListeners 503 "too-many-listeners" "As many listen as this node takes"
        "Three quarters of its connections may be streams of live stock, so that buyers find room. \
         Listen at another node, or here a little later; nothing else is refused for this."
    StorageFull 503 "storage-full" "The disk is full"
        "The leader has no room to write. Nothing was proposed; reads go on, and writes go on as \
         soon as there is room."
    ShuttingDown 503 "shutting-down" "The node is shutting down"
        "Nothing was proposed: send it again to another node."
    ReadTimeout 503 "read-timeout" "The read could not be confirmed in time"
        "No majority confirmed within the deadline that this state is current. Send it again, or \
         read with `?consistency=stale`."
    Lagging 503 "lagging" "This node has not got that far"
        "The node has not applied up to `min_seq` within the deadline. Send it again, or ask \
         another node."
    NotReady 503 "not-ready" "The node is not ready"
        "Ask another node. `/readyz?verbose` says why."
    OutcomeUnknown 504 "outcome-unknown" "The outcome is unknown"
        "The request was proposed and not answered in time, so it may or may not have happened. \
         Send it again under the same Idempotency-Key with `Flashnode-Attempt: 2` or more: that \
         settles it, and never does it twice."
}
