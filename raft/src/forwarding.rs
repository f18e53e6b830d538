//! From a follower's actor to the leader's: commands for its next batch, and clicks to be counted.
//!
//! Never tries again: whoever forwards knows the buyers' deadlines.

use crate::peer::{Call, Click, ClicksAnswer, ForwardAnswer, PeerError};
use crate::{Proposed, Replica};
use std::time::Duration;
use stock::{Envelope, NodeId};
use tokio::time::Instant;

/// The longest that peers may take for a forwarded frame beyond its deadline: the leader keeps
/// the same deadline, and its answer needs time to come back.
const FORWARD_GRACE: Duration = Duration::from_millis(200);

impl Replica {
    /// Sends commands to the leader's actor as one frame, and waits for its answer. The leader is
    /// told how many commands wait at this node in all, these among them, unless it is of a build
    /// that does not ask.
    pub async fn forward(
        &self,
        leader: NodeId,
        commands: &[Envelope],
        waiting: usize,
        deadline: Instant,
    ) -> Proposed {
        let answer = tokio::select! {
            answer = self.send_commands(leader, commands, waiting, deadline) => answer,
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

    async fn send_commands(
        &self,
        leader: NodeId,
        commands: &[Envelope],
        waiting: usize,
        deadline: Instant,
    ) -> Result<ForwardAnswer, PeerError> {
        let shared = self.shared();
        let timeout = deadline.saturating_duration_since(Instant::now()) + FORWARD_GRACE;
        let call = |path| Call { to: leader, incarnation: None, path, timeout };
        if !shared.knows_no_queue(leader) {
            let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
            match shared.links.call(call("/peer/forward-waiting"), &(waiting, commands)).await {
                Err(PeerError::NoRoute { .. }) => shared.note_knows_no_queue(leader),
                answer => return answer,
            }
        }
        shared.links.call(call("/peer/forward"), &commands).await
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
