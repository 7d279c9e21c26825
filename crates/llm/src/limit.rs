//! Calls and tokens a minute: token buckets that make callers wait, in the order in which they came.

use std::time::Duration;

use atlas_api::Limits;
use parking_lot::Mutex;
use tokio::time::Instant;

/// What a bucket holds at most, in seconds of its rate: providers enforce their limits over less than a minute.
const BURST_SECONDS: f64 = 10.0;

/// A token bucket that may go into debt: who takes from it waits until the debt that he left is paid. So an amount larger
/// than the bucket passes too, and nobody overtakes.
#[derive(Debug)]
struct Bucket {
    level: f64,
    capacity: f64,
    per_second: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_minute: f64, now: Instant) -> Self {
        let per_second = per_minute / 60.0;
        let capacity = (per_second * BURST_SECONDS).max(1.0);
        Self { level: capacity, capacity, per_second, at: now }
    }

    /// Takes `amount` and says how long the taker must wait.
    fn take(&mut self, amount: f64, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + elapsed * self.per_second).min(self.capacity);
        self.at = self.at.max(now);
        self.level -= amount;
        if self.level >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-self.level / self.per_second)
        }
    }

    /// Takes back what was taken too much, or (negative) takes what was taken too little.
    fn give_back(&mut self, amount: f64) {
        self.level = (self.level + amount).min(self.capacity);
    }
}

#[derive(Debug)]
struct State {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    /// The provider asked for silence until then.
    not_before: Option<Instant>,
}

/// The limits of one model, shared by all its callers.
#[derive(Debug)]
pub(crate) struct Limiter(Mutex<State>);

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            requests: limits.requests_per_minute.map(|n| Bucket::new(f64::from(n), now)),
            tokens: limits.tokens_per_minute.map(|n| Bucket::new(n as f64, now)),
            not_before: None,
        }))
    }

    /// Waits until a call of about `tokens` tokens may be made.
    pub(crate) async fn reserve(&self, tokens: u64) -> Reservation<'_> {
        let wait = {
            let mut state = self.0.lock();
            let now = Instant::now();
            let requests = state.requests.as_mut().map_or(Duration::ZERO, |bucket| bucket.take(1.0, now));
            requests
                .max(state.tokens.as_mut().map_or(Duration::ZERO, |bucket| bucket.take(tokens as f64, now)))
        };
        let mut reservation = Reservation { limiter: self, tokens, sent: false };
        if !wait.is_zero() {
            tracing::debug!(?wait, "waiting for the model's limits");
            tokio::time::sleep(wait).await;
        }
        // Another caller may be told to be silent while this one waits.
        while let Some(until) = { self.0.lock().not_before.filter(|until| *until > Instant::now()) } {
            tokio::time::sleep_until(until).await;
        }
        reservation.sent = true;
        reservation
    }

    /// Makes every caller wait for `time`: the provider asked for it.
    pub(crate) fn silence(&self, time: Duration) {
        let mut state = self.0.lock();
        let until = Instant::now() + time;
        state.not_before = Some(state.not_before.map_or(until, |before| before.max(until)));
    }
}

/// Leave to make one call. What it did not use goes back.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    limiter: &'a Limiter,
    tokens: u64,
    sent: bool,
}

impl Reservation<'_> {
    /// The call used `tokens`.
    pub(crate) fn settle(mut self, tokens: u64) {
        if let Some(bucket) = &mut self.limiter.0.lock().tokens {
            bucket.give_back(self.tokens as f64 - tokens as f64);
        }
        self.tokens = 0;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.0.lock();
        if let Some(bucket) = &mut state.tokens {
            bucket.give_back(self.tokens as f64);
        }
        if !self.sent
            && let Some(bucket) = &mut state.requests
        {
            bucket.give_back(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// However callers come, over any stretch of time no more passes than the rate and one bucket allow.
        #[test]
        fn a_bucket_never_lets_more_pass_than_its_rate(
            per_minute in 1.0_f64..10_000.0,
            takes in proptest::collection::vec((0_u64..30_000, 0.1_f64..500.0), 1..60),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(per_minute, start);
            let capacity = bucket.capacity;
            let mut now = start;
            let mut passed: Vec<(f64, f64)> = Vec::new();
            for (pause, amount) in takes {
                now += Duration::from_millis(pause);
                let wait = bucket.take(amount, now);
                passed.push(((now + wait - start).as_secs_f64(), amount));
            }
            for window in 0..passed.len() {
                let (from, _) = passed[window];
                let sum: f64 = passed.iter().filter(|(at, _)| *at > from).map(|(_, amount)| amount).sum();
                let last = passed.iter().map(|(at, _)| *at).fold(from, f64::max);
                proptest::prop_assert!(sum <= (last - from) * per_minute / 60.0 + capacity + 1e-3);
            }
            proptest::prop_assert!(passed.windows(2).all(|pair| pair[0].0 <= pair[1].0 + 1e-6), "nobody overtakes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_beyond_the_limit_wait_and_unused_tokens_go_back() {
        let limiter =
            Limiter::new(&Limits { requests_per_minute: None, tokens_per_minute: Some(600), retries: 0 });
        let start = Instant::now();
        limiter.reserve(100).await.settle(50); // the bucket holds 10 s, 100 tokens
        limiter.reserve(50).await.settle(50);
        assert_eq!(start.elapsed(), Duration::ZERO, "what was settled lower came back");
        limiter.reserve(100).await.settle(100);
        assert_eq!(start.elapsed().as_secs(), 10, "10 tokens a second");
        drop(limiter.reserve(10_000)); // never polled: takes nothing
        limiter.reserve(10).await.settle(10);
        assert_eq!(start.elapsed().as_secs(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_while_it_waits_leaves_the_limit_as_it_was() {
        let limiter =
            Limiter::new(&Limits { requests_per_minute: Some(6), tokens_per_minute: None, retries: 0 });
        limiter.reserve(0).await.settle(0);
        let start = Instant::now();
        let given_up = tokio::time::timeout(Duration::from_secs(1), limiter.reserve(0)).await;
        assert!(given_up.is_err());
        limiter.reserve(0).await.settle(0);
        assert_eq!(start.elapsed().as_secs(), 10, "one call in ten seconds, not two");
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_provider_asks_for_silence_all_callers_keep_it() {
        let limiter = Limiter::new(&Limits::default());
        let start = Instant::now();
        limiter.silence(Duration::from_secs(30));
        limiter.silence(Duration::from_secs(5));
        limiter.reserve(1).await.settle(1);
        assert_eq!(start.elapsed().as_secs(), 30);
    }
}
