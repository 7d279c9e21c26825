//! Who looks at whom, without I/O: each host of a kind looks at the one that follows it, and knows by its own clock when that one is dead.

use std::collections::BTreeMap;
use std::time::Duration;

/// A claim as it was read or heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim<S> {
    revision: u64,
    /// `None`: it was given back.
    session: Option<S>,
}

/// Since when a session has been seen as it is, by the observer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sighting {
    revision: u64,
    since: Duration,
}

/// What a host knows of the claims on the partitions of its kind, and of the sessions behind them. `S` names a session. Times count
/// from any one instant.
///
/// The sessions that hold something stand in a ring, by name. A host looks at those that follow it, up to the first that was renewed
/// lately. So each is looked at by somebody however many die at once, and nobody looks at all of them.
#[derive(Debug)]
pub struct Vigil<S> {
    /// This host's place in the ring.
    me: S,
    ttl: Duration,
    claims: BTreeMap<u16, Claim<S>>,
    sightings: BTreeMap<S, Sighting>,
}

impl<S: Ord + Clone> Vigil<S> {
    /// Of the host whose place in the ring is `me`, over sessions of life `ttl`.
    pub fn new(me: S, ttl: Duration) -> Self {
        Self { me, ttl, claims: BTreeMap::new(), sightings: BTreeMap::new() }
    }

    /// A partition's claim is at `revision` and names `session`, or nobody. False: that is older than what is known, or known.
    pub fn claimed(&mut self, partition: u16, revision: u64, session: Option<S>) -> bool {
        if self.claims.get(&partition).is_some_and(|known| known.revision >= revision) {
            return false;
        }
        self.claims.insert(partition, Claim { revision, session });
        let claims = &self.claims;
        self.sightings
            .retain(|session, _| claims.values().any(|claim| claim.session.as_ref() == Some(session)));
        true
    }

    /// Whether somebody's claim on a partition is known.
    pub fn is_claimed(&self, partition: u16) -> bool {
        self.claims.get(&partition).is_some_and(|claim| claim.session.is_some())
    }

    /// The claims that name `session`: partition and revision.
    pub fn claims_of(&self, session: &S) -> Vec<(u16, u64)> {
        let of = self.claims.iter().filter(|(_, claim)| claim.session.as_ref() == Some(session));
        of.map(|(partition, claim)| (*partition, claim.revision)).collect()
    }

    /// The sessions to look at now, the next one in the ring first. `own`: this host's session, if it has one.
    pub fn watched(&self, own: Option<&S>, now: Duration) -> Vec<S> {
        let named = self.claims.values().filter_map(|claim| claim.session.as_ref());
        let mut ring: Vec<&S> = named.filter(|session| Some(*session) != own).collect();
        ring.sort_unstable();
        ring.dedup();
        let first = ring.partition_point(|session| **session <= self.me);
        ring.rotate_left(first);
        // Late: a renewal is overdue by half.
        let late = |session: &S| {
            self.sightings.get(session).is_some_and(|seen| now.saturating_sub(seen.since) > self.ttl / 2)
        };
        let mut watched = Vec::new();
        for session in ring {
            watched.push(session.clone());
            if !late(session) {
                break;
            }
        }
        watched
    }

    /// When to look again: twice in a session's life, and as soon as one that is looked at may be dead.
    pub fn next_look(&self, own: Option<&S>, now: Duration) -> Duration {
        let watched = self.watched(own, now);
        let ends = watched
            .iter()
            .filter_map(|session| self.sightings.get(session))
            .map(|seen| seen.since + self.ttl);
        // Longer than its life, so one step later.
        let step = Duration::from_millis(1);
        ends.filter(|end| *end >= now).map(|end| end + step).chain([now + self.ttl / 2]).min().unwrap_or(now)
    }

    /// `session` was seen at `revision`, the answer being there at `now`. True: it has been at this revision for longer than its
    /// life, so its holder has long given up; it may be ended, by compare-and-set on this revision.
    pub fn saw(&mut self, session: &S, revision: u64, now: Duration) -> bool {
        match self.sightings.get(session) {
            // Else the answer is out of date.
            Some(seen) if seen.revision >= revision => {
                seen.revision == revision && now.saturating_sub(seen.since) > self.ttl
            }
            _ => {
                self.sightings.insert(session.clone(), Sighting { revision, since: now });
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(4);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Of host 20, with a partition each for sessions 10, 20, 30 and 40.
    fn vigil() -> Vigil<u32> {
        let mut vigil = Vigil::new(20, TTL);
        for (partition, session) in [10, 20, 30, 40].into_iter().enumerate() {
            assert!(vigil.claimed(partition as u16, partition as u64 + 1, Some(session)));
        }
        vigil
    }

    #[test]
    fn a_session_is_dead_when_one_revision_was_seen_for_longer_than_its_life() {
        let mut vigil = vigil();
        assert!(!vigil.saw(&30, 7, at(0)));
        assert!(!vigil.saw(&30, 7, at(4)));
        assert!(!vigil.saw(&30, 8, at(5)), "it was renewed");
        assert!(!vigil.saw(&40, 8, at(20)), "another session");
        assert!(!vigil.saw(&30, 7, at(6)), "an answer that is out of date");
        assert!(!vigil.saw(&30, 8, at(9)));
        assert!(vigil.saw(&30, 8, at(10)));
    }

    #[test]
    fn each_host_looks_at_the_next_one_and_past_those_that_are_late() {
        let mut vigil = vigil();
        assert_eq!(vigil.watched(Some(&20), at(0)), [30]);
        vigil.saw(&30, 1, at(0));
        assert_eq!(vigil.watched(Some(&20), at(2)), [30]);
        assert_eq!(vigil.watched(Some(&20), at(3)), [30, 40]);
        vigil.saw(&40, 1, at(3));
        assert_eq!(vigil.watched(Some(&20), at(3)), [30, 40]);
        assert_eq!(vigil.watched(Some(&20), at(6)), [30, 40, 10], "round the ring, past itself");
        // It holds nothing any more.
        assert!(vigil.claimed(2, 9, None) && !vigil.claimed(2, 3, Some(30)), "old news");
        assert_eq!(vigil.watched(Some(&20), at(4)), [40]);
        assert_eq!((vigil.claims_of(&40), vigil.is_claimed(2)), (vec![(3, 4)], false));
    }

    #[test]
    fn it_looks_twice_in_a_life_and_when_one_may_be_dead() {
        let mut vigil = vigil();
        assert_eq!(vigil.next_look(Some(&20), at(0)), at(2));
        vigil.saw(&30, 1, at(0));
        assert_eq!(vigil.next_look(Some(&20), at(1)), at(3));
        assert_eq!(vigil.next_look(Some(&20), at(3)), at(4) + Duration::from_millis(1));
        assert_eq!(vigil.next_look(Some(&20), at(5)), at(7));
    }
}
