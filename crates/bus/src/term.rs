//! How long the holder of a session may act, by its own clock.

use std::time::Duration;

/// A session's term by its holder's monotonic clock, without I/O: when to renew, when to give up. Times count from any one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    ttl: Duration,
    renewed: Duration,
}

impl Term {
    /// A session of life `ttl` whose last successful write was sent at `renewed`.
    pub fn new(ttl: Duration, renewed: Duration) -> Self {
        Self { ttl, renewed }
    }

    /// A renewal that was sent at `sent` has succeeded.
    pub fn renew(&mut self, sent: Duration) {
        self.renewed = self.renewed.max(sent);
    }

    /// When to renew: at a third of its life.
    pub fn renewal(&self) -> Duration {
        self.renewed + self.ttl / 3
    }

    /// When the holder gives up by itself: at two thirds, before anyone else can have what it holds.
    pub fn end(&self) -> Duration {
        self.renewed + self.ttl * 2 / 3
    }

    /// Until when to wait for the answer to a renewal sent at `sent`: there is time for another.
    pub fn patience(&self, sent: Duration) -> Duration {
        self.end().min(sent + self.ttl / 6)
    }

    /// Whether its holder may act.
    pub fn holds(&self, now: Duration) -> bool {
        now < self.end()
    }
}
