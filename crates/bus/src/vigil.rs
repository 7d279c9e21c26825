//! Who looks at whom, without I/O: each host of a kind looks at the one that follows it, and knows by its own clock when that one is dead.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::shares::{Share, shares, wanted};

/// The longest pause before others are asked again for a share that they do not give, in lives of a session.
const LONGEST_PAUSE: u32 = 100;

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

/// A host that lacks a part of its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asking {
    /// When it asks next.
    due: Duration,
    /// From then on until it asks again.
    pause: Duration,
}

/// What a host knows of the claims on the partitions of its kind, and of the sessions behind them. `S` names a session. Times count
/// from any one instant.
///
/// The sessions that hold something stand in a ring, by name. A host looks at those that follow it, up to the first that was renewed
/// lately. So each is looked at by somebody however many die at once, and nobody looks at all of them.
///
/// A host that has fewer partitions than its share asks those that have more ([`Vigil::asks`], [`Vigil::gives`]).
#[derive(Debug)]
pub struct Vigil<S> {
    /// This host's place in the ring.
    me: S,
    ttl: Duration,
    claims: BTreeMap<u16, Claim<S>>,
    sightings: BTreeMap<S, Sighting>,
    /// Of this host's claims, those that it hands over: to whom.
    promised: BTreeMap<u16, S>,
    asking: Option<Asking>,
}

impl<S: Ord + Clone> Vigil<S> {
    /// Of the host whose place in the ring is `me`, over sessions of life `ttl`.
    pub fn new(me: S, ttl: Duration) -> Self {
        Self {
            me,
            ttl,
            claims: BTreeMap::new(),
            sightings: BTreeMap::new(),
            promised: BTreeMap::new(),
            asking: None,
        }
    }

    /// A partition's claim is at `revision` and names `session`, or nobody. False: that is older than what is known, or known.
    pub fn claimed(&mut self, partition: u16, revision: u64, session: Option<S>) -> bool {
        if self.claims.get(&partition).is_some_and(|known| known.revision >= revision) {
            return false;
        }
        self.claims.insert(partition, Claim { revision, session });
        self.promised.remove(&partition);
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

    /// Whom to ask now for how many of their partitions; nobody, where this host has its share, or where it has asked lately. It asks
    /// for the first time half a session's life after it was found to lack some: most of what is claimed by then was free, and moves no more. Then
    /// in pauses that double, until it has had its share for as long as the last one. `own`: this host's session, if it has one.
    pub fn asks(&mut self, own: Option<&S>, now: Duration) -> BTreeMap<S, u16> {
        let own = own.unwrap_or(&self.me);
        let lacks = wanted(&self.shares(own), own);
        match &mut self.asking {
            None if lacks.is_empty() => {}
            None => self.asking = Some(Asking { due: now + self.ttl / 2, pause: self.ttl }),
            Some(asking) if now < asking.due => {}
            Some(_) if lacks.is_empty() => self.asking = None,
            Some(asking) => {
                asking.due = now + asking.pause;
                asking.pause = (asking.pause * 2).min(self.ttl * LONGEST_PAUSE);
                return lacks;
            }
        }
        BTreeMap::new()
    }

    /// Whether this host lacks a part of its share, or did lately: then others may hand partitions over to it.
    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// What this host hands over to `to`, which asks it for so many: partitions with the revisions of their claims, those of the least
    /// `load` first. No more than leaves it its own share and gives `to` its, by what it knows; what it hands over counts as
    /// given from now on. `own`: this host's session.
    pub fn gives(&mut self, own: &S, to: &S, asked: u16, load: impl Fn(u16) -> usize) -> Vec<(u16, u64)> {
        let shares = self.shares(to);
        let share = |of| shares.get(of).copied();
        let (Some(mine), Some(theirs)) = (share(own), share(to)) else { return Vec::new() };
        let most = usize::from(asked).min(mine.surplus()).min(theirs.lack());
        let mut given = self.claims_of(own);
        given.retain(|(partition, _)| !self.promised.contains_key(partition));
        given.sort_by_key(|(partition, _)| (load(*partition), *partition));
        given.truncate(most);
        self.promised.extend(given.iter().map(|(partition, _)| (*partition, to.clone())));
        given
    }

    /// The shares of all that hold something, and of `also`.
    fn shares(&self, also: &S) -> BTreeMap<S, Share> {
        let mut held = BTreeMap::from([(also.clone(), 0)]);
        for (partition, claim) in &self.claims {
            if let Some(session) = &claim.session {
                let holder = self.promised.get(partition).unwrap_or(session);
                *held.entry(holder.clone()).or_default() += 1;
            }
        }
        shares(held)
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

    /// All hosts of a kind, who hear of each write at once. No host has the number 0.
    struct Hosts {
        vigils: BTreeMap<u32, Vigil<u32>>,
        claims: BTreeMap<u16, u32>,
        revision: u64,
        now: Duration,
    }

    impl Hosts {
        fn of(claims: BTreeMap<u16, u32>, newcomers: impl IntoIterator<Item = u32>) -> Self {
            let hosts = claims.values().copied().chain(newcomers);
            let vigils = hosts.map(|host| (host, Vigil::new(host, TTL))).collect();
            let mut hosts = Self { vigils, claims: BTreeMap::new(), revision: 0, now: at(0) };
            for (partition, host) in claims {
                hosts.claim(partition, host);
            }
            hosts
        }

        fn claim(&mut self, partition: u16, host: u32) {
            self.revision += 1;
            self.claims.insert(partition, host);
            for vigil in self.vigils.values_mut() {
                assert!(vigil.claimed(partition, self.revision, Some(host)));
            }
        }

        fn held(&self) -> BTreeMap<u32, usize> {
            let mut held: BTreeMap<u32, usize> = self.vigils.keys().map(|host| (*host, 0)).collect();
            for host in self.claims.values() {
                *held.entry(*host).or_default() += 1;
            }
            held
        }

        /// All look at what they have until nobody asks for more. Returns how many partitions have moved.
        fn settle(&mut self) -> usize {
            let mut moved = 0;
            while self.vigils.values().any(Vigil::is_asking) || self.now == at(0) {
                self.now += TTL / 2;
                assert!(self.now < TTL * 1000, "they never agree: {:?}", self.held());
                for host in self.vigils.keys().copied().collect::<Vec<_>>() {
                    moved += self.look(host);
                }
            }
            moved
        }

        fn look(&mut self, host: u32) -> usize {
            let asked = self.vigils.get_mut(&host).unwrap().asks(Some(&host), self.now);
            let mut moved = 0;
            for (giver, many) in asked {
                let giver = self.vigils.get_mut(&giver).unwrap();
                let given = giver.gives(&giver.me.clone(), &host, many, |_| 0);
                assert!(given.len() <= usize::from(many));
                moved += given.len();
                for (partition, _) in given {
                    self.claim(partition, host);
                }
            }
            moved
        }
    }

    fn spread(held: &BTreeMap<u32, usize>) -> usize {
        held.values().max().unwrap() - held.values().min().unwrap()
    }

    proptest::proptest! {
        #[test]
        fn shares_end_fair_with_as_few_moves_as_possible(
            owners in proptest::collection::vec(1..9_u32, 1..65),
            hosts in 1..9_u32,
            joins in proptest::bool::ANY,
        ) {
            // However they lie, or fairly shared out among the others when one comes late.
            let owner = |(partition, owner)| (partition, if joins { u32::from(partition) % hosts + 1 } else { owner });
            let claims = (0..).zip(owners).map(owner).collect();
            let mut hosts = Hosts::of(claims, joins.then_some(9));
            let before = hosts.held();
            let moved = hosts.settle();
            proptest::prop_assert!(spread(&hosts.held()) <= 1, "{:?}", hosts.held());
            // Each host that has fewer than the least share gets them, and those that are to have one more are those that had most.
            let mut ranked: Vec<usize> = before.values().copied().collect();
            ranked.sort_unstable_by(|a, b| b.cmp(a));
            let (all, many) = (ranked.iter().sum::<usize>(), ranked.len());
            let due = |rank| all / many + usize::from(rank < all % many);
            let fewest: usize = ranked.iter().enumerate().map(|(rank, held)| held.saturating_sub(due(rank))).sum();
            proptest::prop_assert_eq!(moved, fewest, "{:?} to {:?}", before, hosts.held());
        }

        #[test]
        fn many_who_come_at_once_get_their_shares(
            owners in proptest::collection::vec(1..4_u32, 1..65),
            newcomers in 0..9_u32,
        ) {
            let claims = (0..).zip(owners).collect();
            let mut hosts = Hosts::of(claims, 4..4 + newcomers);
            hosts.settle();
            proptest::prop_assert!(spread(&hosts.held()) <= 1, "{:?}", hosts.held());
        }
    }

    #[test]
    fn a_host_asks_soon_and_then_more_and_more_rarely_and_not_at_all_once_it_has_its_share() {
        let mut vigil = Vigil::new(5, TTL);
        for partition in 0..4 {
            vigil.claimed(partition, 1, Some(10));
        }
        let asked: Vec<u64> = (0..60).filter(|second| !vigil.asks(None, at(*second)).is_empty()).collect();
        assert_eq!(asked, [2, 6, 14, 30]);
        for partition in 0..2 {
            vigil.claimed(partition, 2, Some(50));
        }
        assert!(vigil.asks(Some(&50), at(61)).is_empty() && vigil.is_asking(), "it may lose them again");
        assert!(vigil.asks(Some(&50), at(62)).is_empty() && !vigil.is_asking());
    }

    #[test]
    fn what_has_least_to_do_is_given_first_and_once() {
        let mut vigil = Vigil::new(1, TTL);
        for partition in 0..6 {
            vigil.claimed(partition, u64::from(partition) + 1, Some(10));
        }
        let load = |partition| [3, 0, 2, 0, 1, 5][usize::from(partition)];
        assert_eq!(vigil.gives(&10, &20, 2, load), [(1, 2), (3, 4)]);
        assert_eq!(vigil.gives(&10, &30, 9, load), [(4, 5), (2, 3)], "with two others it keeps two");
        assert_eq!(vigil.gives(&10, &30, 9, load), []);
        assert_eq!(vigil.gives(&40, &50, 9, load), [], "who has nothing gives nothing");
        // The third was not handed over after all: it was freed, and this host has it again.
        assert!(vigil.claimed(4, 9, None) && vigil.claimed(4, 10, Some(10)));
        assert_eq!(vigil.gives(&10, &30, 9, load), [(4, 10)]);
    }
}
