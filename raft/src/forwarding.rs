//! From a follower's actor to the leader's: commands for its next batch, and clicks to be counted.
//!
//! Never tries again: whoever forwards knows the buyers' deadlines.

use crate::peer::{Call, Click, ClicksAnswer, ForwardAnswer};
use crate::{Proposed, Replica};
use std::time::Duration;
use stock::{Envelope, NodeId};
use tokio::time::Instant;

/// The longest that peers may take for a forwarded frame beyond its deadline: the leader keeps
/// the same deadline, and its answer needs time to come back.
const FORWARD_GRACE: Duration = Duration::from_millis(200);

impl Replica {
    /// Sends commands to the leader's actor as one frame, and waits for its answer.
    pub async fn forward(
        &self,
        leader: NodeId,
        commands: &[Envelope],
        deadline: Instant,
    ) -> Proposed {
        let timeout = deadline.saturating_duration_since(Instant::now()) + FORWARD_GRACE;
        let call = Call { to: leader, incarnation: None, path: "/peer/forward", timeout };
        let answer = tokio::select! {
            answer = self.shared().links.call(call, &commands) => answer,
            () = self.shared().leader_differs_from(Some(leader)) => return Proposed::Unknown,
        };
        match answer {
            Ok(ForwardAnswer::Decided(replies)) if replies.len() == commands.len() => {
                Proposed::Decided(replies)
            }
            Ok(ForwardAnswer::NotProposed) => Proposed::NotProposed,
            Err(error) if error.surely_not_taken() => Proposed::NotProposed,
            Ok(ForwardAnswer::Decided(_) | ForwardAnswer::Unknown) | Err(_) => Proposed::Unknown,
        }
    }

    /// Whether clicks are counted by this leader; none stands for whoever will lead next, who is
    /// taken to be configured as this node.
    pub fn counts(&self, leader: Option<NodeId>) -> bool {
        match leader {
            Some(leader) if leader != self.id() => self.shared().counting.at(leader),
            Some(_) | None => self.shared().counting.here(),
        }
    }

    /// Sends clicks to the leader's actor, which counts them, as one frame; waits for its answers.
    ///
    /// [`ClicksAnswer::Taken`] has as many answers as there are clicks. What is decided as an
    /// order is on the disks of a majority.
    pub async fn pass_clicks(
        &self,
        leader: NodeId,
        clicks: &[Click],
        deadline: Instant,
    ) -> ClicksAnswer {
        let timeout = deadline.saturating_duration_since(Instant::now()) + FORWARD_GRACE;
        let call = Call { to: leader, incarnation: None, path: "/peer/clicks", timeout };
        let answer = tokio::select! {
            answer = self.shared().links.call(call, &clicks) => answer,
            () = self.shared().leader_differs_from(Some(leader)) => return ClicksAnswer::Unknown,
        };
        match answer {
            Ok(ClicksAnswer::Taken(answers)) if answers.len() != clicks.len() => {
                ClicksAnswer::Unknown
            }
            Ok(answer) => answer,
            Err(error) if error.surely_not_taken() => ClicksAnswer::NotTaken,
            Err(_) => ClicksAnswer::Unknown,
        }
    }
}
