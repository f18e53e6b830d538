//! A body that names a user and nothing else: in whose name a hold is confirmed or an order taken
//! back.

use super::{body, field};
use crate::problem::Problem;
use serde::Deserialize;
use std::borrow::Cow;
use stock::UserId;

/// [`stock::api::PostConfirm`] and [`stock::api::PostCancel`] before their value is checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape<'b> {
    #[serde(borrow, deserialize_with = "readers::user_id")]
    user_id: Cow<'b, str>,
}

mod readers {
    use super::{Cow, field::readers};

    type Text<'b> = Cow<'b, str>;

    readers! {
        user_id as text -> Text<'de>;
    }
}

/// The user that a body names.
///
/// # Errors
/// `invalid-json`, `invalid-field` and `invalid-value`, naming the field.
pub(super) fn read(bytes: &[u8]) -> Result<UserId, Problem> {
    field::user(&body::parse::<Shape<'_>>(bytes)?.user_id, "user_id")
}
