//! Who asks, and how much of the verifier one client may have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

/// Clients that are remembered at most before those that have nothing open are forgotten.
const MOST_REMEMBERED: usize = 10_000;
/// The window of the rate; a client may use all of it at once.
const WINDOW: Duration = Duration::from_secs(60);

/// What one client may have.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Checks asked and not yet answered; what goes beyond is refused.
    pub open: usize,
    /// Checks in Lean at once; others of the same client wait, so that no client holds all slots against the rest for long.
    pub at_once: usize,
    /// Checks in a minute; 0: any number.
    pub per_minute: u32,
}

/// The keys that may ask, as SHA-256, so that comparing takes no longer for one that nearly fits. None: everybody may.
#[derive(Default)]
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Keys of a text: one a line; blank lines and lines that begin with `#` are none.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(|key| Sha256::digest(key).into()).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everybody may ask.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, token: &str) -> Option<usize> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.0.iter().position(|key| *key == digest)
    }
}

/// A client: its key, or where it asks from when no keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// Place among the keys.
    Key(usize),
    /// Of IPv6 the network (/64), which is what a client has.
    Address(IpAddr),
}

/// Why a check is not taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reason {
    /// The client has too many open.
    ClientOpen,
    /// The client has asked for too many in the last minute.
    ClientRate,
    /// All clients together have too many open.
    Full,
    /// The verifier is being stopped.
    Stopping,
}

/// A check that was not taken on: nothing was done for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// When asking again makes sense.
    pub(super) again: Duration,
}

impl Refusal {
    /// Whole seconds, at least one.
    pub(super) fn retry_after(&self) -> u64 {
        self.again.as_secs_f64().ceil().max(1.0) as u64
    }

    /// For the client to read.
    pub(super) fn text(&self) -> String {
        let what = match self.reason {
            Reason::ClientOpen => "you have as many checks open as one client may",
            Reason::ClientRate => "you have asked for as many checks in a minute as one client may",
            Reason::Full => "the verifier has as much work as it takes on",
            Reason::Stopping => "the verifier is being stopped",
        };
        format!("not checked: {what}; ask again in {} s", self.retry_after())
    }
}

/// What each client has open and has used.
pub(super) struct Clients {
    keys: Keys,
    limits: ClientLimits,
    /// Checks that all clients together may have open.
    most_open: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: usize,
    known: HashMap<Client, Known>,
}

struct Known {
    open: usize,
    /// Checks that may be asked for at `at`; grows with time.
    allowance: f64,
    at: Instant,
    slots: Arc<Semaphore>,
}

impl Clients {
    pub(super) fn new(keys: Keys, limits: ClientLimits, most_open: usize) -> Self {
        Self { keys, limits, most_open, state: Mutex::default() }
    }

    /// Who asks from `address` with `token`; `None`: nobody that may.
    pub(super) fn identify(&self, token: Option<&str>, address: IpAddr) -> Option<Client> {
        if self.keys.is_empty() {
            let network = match address.to_canonical() {
                IpAddr::V6(v6) => {
                    let [a, b, c, d, ..] = v6.segments();
                    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
                }
                v4 => v4,
            };
            return Some(Client::Address(network));
        }
        self.keys.place(token?).map(Client::Key)
    }

    /// Takes a check of `client` on, if it may have another one.
    pub(super) fn admit(self: &Arc<Self>, client: Client, now: Instant) -> Result<Admission, Refusal> {
        let limits = self.limits;
        let burst = f64::from(limits.per_minute);
        let mut state = self.state.lock();
        if state.open >= self.most_open {
            return Err(Refusal { reason: Reason::Full, again: Duration::from_secs(1) });
        }
        if state.known.len() >= MOST_REMEMBERED {
            state.known.retain(|_, known| known.open > 0 || now.duration_since(known.at) < WINDOW);
        }
        let known = state.known.entry(client).or_insert_with(|| Known {
            open: 0,
            allowance: burst,
            at: now,
            slots: Arc::new(Semaphore::new(limits.at_once.max(1))),
        });
        if known.open >= limits.open {
            return Err(Refusal { reason: Reason::ClientOpen, again: Duration::from_secs(1) });
        }
        if limits.per_minute > 0 {
            let each = WINDOW.div_f64(burst);
            let earned = now.duration_since(known.at).as_secs_f64() / each.as_secs_f64();
            (known.allowance, known.at) = ((known.allowance + earned).min(burst), now);
            if known.allowance < 1.0 {
                let again = each.mul_f64(1.0 - known.allowance);
                return Err(Refusal { reason: Reason::ClientRate, again });
            }
            known.allowance -= 1.0;
        }
        known.at = now;
        known.open += 1;
        let slots = Arc::clone(&known.slots);
        state.open += 1;
        Ok(Admission { clients: Arc::clone(self), client, slots })
    }
}

/// A check that was taken on; it is open until this is dropped.
pub(super) struct Admission {
    clients: Arc<Clients>,
    client: Client,
    /// The client's share of Lean.
    pub(super) slots: Arc<Semaphore>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.clients.state.lock();
        state.open -= 1;
        if let Some(known) = state.known.get_mut(&self.client) {
            known.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(keys: &str, open: usize, per_minute: u32, most_open: usize) -> Arc<Clients> {
        let limits = ClientLimits { open, at_once: 1, per_minute };
        Arc::new(Clients::new(Keys::parse(keys), limits, most_open))
    }

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn a_key_is_a_client_wherever_it_asks_from_and_without_keys_an_address_is() {
        let keyed = clients("# ours\nalpha\n\nbeta\n", 1, 0, 9);
        assert_eq!(keyed.identify(Some("beta"), at("10.0.0.1")), Some(Client::Key(1)));
        assert_eq!(keyed.identify(Some("# ours"), at("10.0.0.1")), None);
        assert_eq!(keyed.identify(None, at("10.0.0.1")), None);
        let open = clients("", 1, 0, 9);
        let of = |address| open.identify(Some("whatever"), at(address)).unwrap();
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:1"), "one network is one client");
    }

    #[test]
    fn what_is_open_counts_until_it_is_dropped_for_the_client_and_for_all() {
        let clients = clients("", 2, 0, 3);
        let (one, two, now) = (Client::Key(0), Client::Key(1), Instant::now());
        let why = |refused: Result<Admission, Refusal>| refused.err().map(|refusal| refusal.reason);
        let held = [clients.admit(one, now).unwrap(), clients.admit(one, now).unwrap()];
        assert_eq!(why(clients.admit(one, now)), Some(Reason::ClientOpen));
        let other = clients.admit(two, now).unwrap();
        assert_eq!(why(clients.admit(two, now)), Some(Reason::Full));
        drop(held);
        assert!(clients.admit(one, now).is_ok());
        drop(other);
        assert_eq!(clients.state.lock().open, 0);
    }

    #[test]
    fn a_client_beyond_its_rate_is_told_when_the_next_check_is_due() {
        let clients = clients("", 9, 6, 9);
        let (client, start) = (Client::Key(0), Instant::now());
        for _ in 0..6 {
            drop(clients.admit(client, start).unwrap());
        }
        let refused = clients.admit(client, start).err().unwrap();
        assert_eq!((refused.reason, refused.retry_after()), (Reason::ClientRate, 10));
        assert!(clients.admit(Client::Key(1), start).is_ok(), "another client's rate is its own");
        assert!(clients.admit(client, start + Duration::from_secs(9)).is_err());
        assert!(clients.admit(client, start + Duration::from_secs(11)).is_ok());
    }
}
