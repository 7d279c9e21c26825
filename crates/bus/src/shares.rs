//! How many partitions each host should have, without I/O.

use std::collections::BTreeMap;

/// What a host has, and what it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    held: usize,
    due: usize,
}

impl Share {
    /// How many it has too many.
    pub fn surplus(self) -> usize {
        self.held.saturating_sub(self.due)
    }

    /// How many it has too few.
    pub fn lack(self) -> usize {
        self.due.saturating_sub(self.held)
    }
}

/// The share of each host, of those that have so many: the same for all but for one partition. Those that have most are due the one
/// more, so no shares that differ by no more than one can be had with fewer moves; and where they do not, nothing moves.
pub(crate) fn shares<S: Ord>(held: BTreeMap<S, usize>) -> BTreeMap<S, Share> {
    let (all, hosts) = (held.values().sum::<usize>(), held.len().max(1));
    let mut ranked: Vec<(S, usize)> = held.into_iter().collect();
    // Among equals by name: the sort is stable.
    ranked.sort_by_key(|(_, held)| std::cmp::Reverse(*held));
    let due = |rank| all / hosts + usize::from(rank < all % hosts);
    let share = |(rank, (host, held))| (host, Share { held, due: due(rank) });
    ranked.into_iter().enumerate().map(share).collect()
}

/// Whom `own` asks for how many of the partitions that it lacks: whoever has most too many first.
pub(crate) fn wanted<S: Ord + Clone>(shares: &BTreeMap<S, Share>, own: &S) -> BTreeMap<S, u16> {
    let mut lack = shares.get(own).map_or(0, |share| share.lack());
    let mut givers: Vec<(&S, usize)> = shares.iter().map(|(host, share)| (host, share.surplus())).collect();
    givers.sort_by_key(|(_, surplus)| std::cmp::Reverse(*surplus));
    let mut wanted = BTreeMap::new();
    for (giver, surplus) in givers {
        let part = surplus.min(lack);
        if part > 0 {
            // No kind has more partitions than that.
            wanted.insert(giver.clone(), u16::try_from(part).unwrap_or(u16::MAX));
            lack -= part;
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_by(own: char, held: &[(char, usize)]) -> Vec<(char, u16)> {
        wanted(&shares(held.iter().copied().collect()), &own).into_iter().collect()
    }

    #[test]
    fn who_lacks_some_asks_those_that_have_too_many() {
        assert_eq!(wanted_by('b', &[('a', 64), ('b', 0)]), [('a', 32)]);
        assert_eq!(wanted_by('c', &[('a', 32), ('b', 32), ('c', 0)]), [('a', 10), ('b', 11)]);
        assert_eq!(wanted_by('c', &[('a', 2), ('b', 8), ('c', 2)]), [('b', 2)]);
        assert_eq!(wanted_by('a', &[('a', 2), ('b', 8), ('c', 2)]), [('b', 2)]);
    }

    #[test]
    fn who_has_a_fair_share_asks_nobody() {
        for own in ['a', 'b', 'c'] {
            assert_eq!(wanted_by(own, &[('a', 3), ('b', 4), ('c', 4)]), []);
        }
        assert_eq!(wanted_by('b', &[('a', 1), ('b', 0)]), [], "a single partition never moves");
        assert_eq!(wanted_by('c', &[('a', 1), ('b', 1), ('c', 0)]), [], "more hosts than partitions");
        assert_eq!(wanted_by('a', &[('a', 0)]), []);
    }
}
