//! Cursors: how far somebody who copies the changes elsewhere has come.
//!
//! Never does: keep one. Called by whoever copies changes.

use crate::api::json;
use crate::settle::{Settled, Target};
use crate::{Client, ClientError};
use reqwest::Method;
use stock::api::{CursorList, CursorRemoved, CursorView, PutCursor};
use stock::{CursorName, RequestId};

impl Client {
    /// Moves a cursor if it stands at `expected`, `None` if there is none. Replicated and durable
    /// once it is answered; refused as `cursor-moved` (409, with the `position`) when it stands
    /// elsewhere, and as `cursor-of-another` (409) when it is for another target than `put` says.
    /// All attempts go under one request id: a copy of the move that brought the cursor where it
    /// stands changes nothing, and a later copy is refused, unless somebody has meanwhile set the
    /// cursor back to `expected`. A copy of what made a cursor changes nothing for a day, even if
    /// the cursor was removed meanwhile.
    pub async fn move_cursor(
        &self,
        name: &CursorName,
        put: &PutCursor,
        request: &RequestId,
    ) -> Settled<CursorView> {
        let path = format!("v1/cursors/{name}");
        self.command(Target::Put(&path), Some(&json(put)), request).await
    }

    /// Removes a cursor if it stands at `expected`; its name is free then. Refused as
    /// `unknown-cursor` (404) when there is none, as `cursor-moved` (409) when it stands elsewhere.
    /// For a day a copy of it removes no other of that name.
    pub async fn remove_cursor(
        &self,
        name: &CursorName,
        expected: u64,
        request: &RequestId,
    ) -> Settled<CursorRemoved> {
        let path = format!("v1/cursors/{name}?expected={expected}");
        self.command(Target::Delete(&path), None, request).await
    }

    /// The cursor, linearizable.
    ///
    /// # Errors
    /// [`ClientError::Refused`] as `unknown-cursor` when there is none,
    /// [`ClientError::Unavailable`].
    pub async fn cursor(&self, name: &CursorName) -> Result<CursorView, ClientError> {
        self.ask(Method::GET, &format!("v1/cursors/{name}"), None).await
    }

    /// All cursors, by name, linearizable.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn cursors(&self) -> Result<CursorList, ClientError> {
        self.ask(Method::GET, "v1/cursors", None).await
    }
}
