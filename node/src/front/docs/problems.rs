//! The problems that kinds of endpoints have in common.

use crate::problem::Kind;

/// Of every endpoint: the listener's, and faults.
pub(in super::super) const EVERYWHERE: &[Kind] =
    &[Kind::InvalidHeader, Kind::Internal, Kind::TooManyConnections];

/// Of every endpoint that reads or changes the stock: the node may be fenced.
pub(in super::super) const OF_THE_STOCK: &[Kind] = &[Kind::NotReady];

/// Of every read behind `consistency` and `min_seq`.
pub(in super::super) const READ_FAILS: &[Kind] =
    &[Kind::InvalidQuery, Kind::InvalidValue, Kind::NoLeader, Kind::ReadTimeout, Kind::Lagging];

/// Of every write: who sends it, its key, and the two outcomes that are no decision.
pub(in super::super) const WRITE_FAILS: &[Kind] = &[
    Kind::ForeignOrigin,
    Kind::InvalidQuery,
    Kind::InvalidHeader,
    Kind::KeyReused,
    Kind::NoLeader,
    Kind::Overloaded,
    Kind::StorageFull,
    Kind::ShuttingDown,
    Kind::OutcomeUnknown,
];

/// Of every body.
pub(in super::super) const BODY: &[Kind] = &[
    Kind::InvalidJson,
    Kind::InvalidField,
    Kind::InvalidValue,
    Kind::TooLarge,
    Kind::UnsupportedMediaType,
    Kind::RequestTimeout,
];

/// Of what counts as a click, when a rate limit is on.
pub(in super::super) const CLICK: &[Kind] = &[Kind::RateLimited];

/// Of whoever asks for units.
pub(in super::super) const SALE: &[Kind] = &[
    Kind::UnknownProduct,
    Kind::NotOpen,
    Kind::SaleOver,
    Kind::SoldOut,
    Kind::LimitReached,
    Kind::Insufficient,
];
