//! Virtual time and chance: a heap of what is to happen, and a generator that a seed determines.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Virtual time since the run began, microseconds.
pub type Micros = u64;

/// A millisecond.
pub const MS: Micros = 1_000;
/// A second.
pub const SECOND: Micros = 1_000_000;

/// What is to happen, by time; of two things at one time the one that was planned first comes first.
#[derive(Debug)]
pub struct Clock<E> {
    heap: BinaryHeap<Planned<E>>,
    planned: u64,
    now: Micros,
}

#[derive(Debug)]
struct Planned<E> {
    at: Micros,
    number: u64,
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    /// The heap gives the greatest: the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> Default for Clock<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0, now: 0 }
    }
}

impl<E> Clock<E> {
    /// Now.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Plans `event` for `after` from now.
    pub fn plan(&mut self, after: Micros, event: E) {
        self.planned += 1;
        self.heap.push(Planned { at: self.now + after, number: self.planned, event });
    }

    /// The next event; the clock moves on to it.
    pub fn advance(&mut self) -> Option<E> {
        let next = self.heap.pop()?;
        self.now = next.at;
        Some(next.event)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, the same numbers on every machine and in every version.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `low..high`; `low` when that is empty.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        if high <= low { low } else { low + self.bits() % (high - low) }
    }

    /// True `of_1000` times out of 1000.
    pub fn hit(&mut self, of_1000: u32) -> bool {
        of_1000 > 0 && self.bits() % 1000 < u64::from(of_1000)
    }
}

/// The finalizer of SplitMix64.
pub fn mix(bits: u64) -> u64 {
    let mut z = bits;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number that a text determines.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
