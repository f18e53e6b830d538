//! Counts clicks by all limits that are on: by each of them, or by none.

use super::RateLimits;
use super::gcra::Nanos;
use super::ledger::Ledger;
use raft::{Allowance, Limit, Limited, Room};
use std::net::IpAddr;
use stock::{Attempt, UserId};
use tokio::time::Instant;

/// Whose click it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clicker<'a> {
    pub(crate) user: &'a UserId,
    /// None where it is not known: then only the user counts.
    pub(crate) address: Option<IpAddr>,
    /// Later attempts are counted apart, with a quota as large, so that whoever has used up all
    /// clicks can still settle an outcome that is unknown.
    pub(crate) attempt: Attempt,
}

/// What a count comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Within every limit, and counted by each.
    Within(Allowance),
    /// Beyond a limit, and counted by none.
    Beyond(Limited, Allowance),
}

/// The counters of one node. They begin empty: at a start, and anew for whoever leads next.
#[derive(Debug)]
pub(crate) struct Counter {
    per_user: Option<Ledger>,
    per_ip: Option<Ledger>,
    began: Instant,
}

impl Counter {
    /// None when no limit is on.
    pub(crate) fn new(limits: RateLimits, now: Instant) -> Option<Self> {
        let RateLimits { per_user, per_ip } = limits;
        limits.any().then(|| Self {
            per_user: per_user.map(Ledger::new),
            per_ip: per_ip.map(Ledger::new),
            began: now,
        })
    }

    /// Counts a click, if it is within every limit.
    pub(crate) fn count(&mut self, clicker: Clicker<'_>, now: Instant) -> Counted {
        let Clicker { user, address, attempt } = clicker;
        let later = attempt == Attempt::Later;
        let ns = now.saturating_duration_since(self.began).as_nanos();
        let now = Nanos(u64::try_from(ns).unwrap_or(u64::MAX));
        let user = self.per_user.as_mut().map(|ledger| {
            let entry = ledger.look((user.as_str(), later), now);
            (ledger, entry)
        });
        let address = self.per_ip.as_mut().zip(address).map(|(ledger, address)| {
            let entry = ledger.look((address, later), now);
            (ledger, entry)
        });
        // Both are looked at before either is counted.
        let [beyond_user, beyond_address] = [&user, &address]
            .map(|looked| looked.as_ref().is_some_and(|(ledger, entry)| !ledger.admits(*entry)));
        let beyond = beyond_user || beyond_address;
        let [user, address] = [user, address].map(|looked| {
            looked.map(|(ledger, entry)| {
                let entry = if beyond { entry } else { ledger.count(entry, now) };
                ledger.room(entry)
            })
        });
        let allowance = Allowance { attempt, user, address };
        if !beyond {
            return Counted::Within(allowance);
        }
        let wait = |room: Option<Room>, beyond: bool| {
            room.filter(|_| beyond).map_or(0, |room| room.more_in_ms)
        };
        let (user_ms, address_ms) = (wait(user, beyond_user), wait(address, beyond_address));
        let by = if user_ms >= address_ms { Limit::User } else { Limit::Address };
        Counted::Beyond(Limited { by, wait_ms: user_ms.max(address_ms) }, allowance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    struct Scene {
        counter: Counter,
        start: Instant,
    }

    impl Scene {
        fn new(per_user: Option<&str>, per_ip: Option<&str>) -> Self {
            let start = Instant::now();
            let quota = |text: Option<&str>| text.map(|text| text.parse().unwrap());
            let limits = RateLimits { per_user: quota(per_user), per_ip: quota(per_ip) };
            Self { counter: Counter::new(limits, start).unwrap(), start }
        }

        fn click_as(&mut self, user: &str, attempt: Attempt, at_ms: u64) -> Counted {
            let user: UserId = user.parse().unwrap();
            let clicker = Clicker { user: &user, address: Some(HOME), attempt };
            self.counter.count(clicker, self.start + Duration::from_millis(at_ms))
        }

        fn click(&mut self, user: &str, at_ms: u64) -> Counted {
            self.click_as(user, Attempt::First, at_ms)
        }
    }

    fn left(counted: Counted) -> (Option<u32>, Option<u32>) {
        let (Counted::Within(allowance) | Counted::Beyond(_, allowance)) = counted;
        (allowance.user.map(|room| room.left), allowance.address.map(|room| room.left))
    }

    fn beyond(counted: Counted) -> Option<Limited> {
        match counted {
            Counted::Within(_) => None,
            Counted::Beyond(limited, _) => Some(limited),
        }
    }

    #[test]
    fn no_limit_needs_no_counter() {
        assert!(Counter::new(RateLimits::default(), Instant::now()).is_none());
    }

    #[test]
    fn a_click_beyond_one_limit_is_counted_by_none() {
        let mut scene = Scene::new(Some("2/min"), Some("3/min"));
        assert_eq!(left(scene.click("ann", 0)), (Some(1), Some(2)));
        assert_eq!(left(scene.click("ann", 0)), (Some(0), Some(1)));
        for _ in 0..5 {
            let counted = scene.click("ann", 0);
            assert_eq!(beyond(counted), Some(Limited { by: Limit::User, wait_ms: 30_000 }));
            assert_eq!(left(counted), (Some(0), Some(1)), "the address pays nothing");
        }
        assert_eq!(left(scene.click("bob", 0)), (Some(1), Some(0)));
        for _ in 0..5 {
            let counted = scene.click("cy", 0);
            assert_eq!(beyond(counted), Some(Limited { by: Limit::Address, wait_ms: 20_000 }));
            assert_eq!(left(counted), (Some(2), Some(0)), "the user pays nothing");
        }
        // Of both limits the one that lasts longer says how long to wait.
        let both = scene.click("ann", 0);
        assert_eq!(beyond(both), Some(Limited { by: Limit::User, wait_ms: 30_000 }));
        // A refused click postpones nothing.
        assert_eq!(beyond(scene.click("cy", 20_000)), None);
        assert_eq!(beyond(scene.click("ann", 40_000)), None);
    }

    #[test]
    fn later_attempts_have_a_quota_of_their_own() {
        let mut scene = Scene::new(Some("1/min"), None);
        assert_eq!(left(scene.click("ann", 0)), (Some(0), None));
        assert!(beyond(scene.click("ann", 0)).is_some());
        assert!(beyond(scene.click_as("ann", Attempt::Later, 0)).is_none());
        assert!(beyond(scene.click_as("ann", Attempt::Later, 0)).is_some());
        assert!(beyond(scene.click("bob", 0)).is_none());
    }

    #[test]
    fn an_unknown_address_is_not_counted() {
        let mut scene = Scene::new(None, Some("1/min"));
        let user: UserId = "ann".parse().unwrap();
        for _ in 0..3 {
            let clicker = Clicker { user: &user, address: None, attempt: Attempt::First };
            let counted = scene.counter.count(clicker, scene.start);
            assert_eq!((beyond(counted), left(counted)), (None, (None, None)));
        }
    }
}
