//! Holds: units set aside for a user until a deadline, then confirmed, released, or expired.
//!
//! Owns: the five calls. Each command goes under one request id, which all its attempts keep, so
//! that nothing is held or sold twice. Never does: watch a deadline; the cluster does. Called by
//! `flashctl` and testers.

use crate::api::{json, query_text};
use crate::settle::{Settled, Target};
use crate::{Client, ClientError};
use reqwest::Method;
use stock::api::{
    HoldAccepted, HoldList, HoldReleased, HoldView, OrderAccepted, PostConfirm, PostHold,
};
use stock::{RequestId, Seq, UserId};

impl Client {
    /// Sets units aside, over as many attempts and nodes as it takes within the deadline.
    pub async fn hold(&self, hold: &PostHold, request: &RequestId) -> Settled<HoldAccepted> {
        self.command(Target::Post("v1/holds"), Some(&json(hold)), request).await
    }

    /// Makes a hold an order of its user.
    pub async fn confirm(
        &self,
        hold: Seq,
        user: &UserId,
        request: &RequestId,
    ) -> Settled<OrderAccepted> {
        let body = json(&PostConfirm { user_id: user.clone() });
        self.command(Target::Post(&confirm_path(hold)), Some(&body), request).await
    }

    /// Gives a hold up, in its user's name or (`None`) the operator's.
    pub async fn release(
        &self,
        hold: Seq,
        user: Option<&UserId>,
        request: &RequestId,
    ) -> Settled<HoldReleased> {
        self.command(Target::Delete(&release_path(hold, user)), None, request).await
    }

    /// A hold, open or ended, linearizable.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is none, [`ClientError::Unavailable`].
    pub async fn hold_view(&self, hold: Seq) -> Result<HoldView, ClientError> {
        self.ask(Method::GET, &format!("v1/holds/{hold}"), None).await
    }

    /// A user's open holds, by id, linearizable.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`].
    pub async fn holds_of(&self, user: &UserId) -> Result<HoldList, ClientError> {
        let path = format!("v1/holds?user_id={}", query_text(user.as_str()));
        self.ask(Method::GET, &path, None).await
    }
}

pub(crate) fn confirm_path(hold: Seq) -> String {
    format!("v1/holds/{hold}/confirm")
}

pub(crate) fn release_path(hold: Seq, user: Option<&UserId>) -> String {
    match user {
        Some(user) => format!("v1/holds/{hold}?user_id={}", query_text(user.as_str())),
        None => format!("v1/holds/{hold}"),
    }
}
