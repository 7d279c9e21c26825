//! Virtual time and chance: a heap of what is to happen, and a generator that a seed determines.

use std::cmp::Reverse;
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
    /// (time, number of the plan, place in `events`): what is sorted is small, however large events are.
    heap: BinaryHeap<Reverse<(Micros, u64, u32)>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    planned: u64,
    now: Micros,
}

impl<E> Default for Clock<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), planned: 0, now: 0 }
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
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                // Four thousand million events under way do not fit into memory.
                (self.events.len() - 1) as u32
            }
        };
        self.heap.push(Reverse((self.now + after, self.planned, place)));
    }

    /// The next event; the clock moves on to it.
    pub fn advance(&mut self) -> Option<E> {
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.now = at;
        self.free.push(place);
        self.events[place as usize].take()
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
