//! Work that several requests want at once is done once.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// A lock for each key that somebody works on.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<String, Weak<Mutex<()>>>>);

impl Flights {
    /// The lock of `key`: who holds it does the work; who waited for it finds the result.
    pub(crate) fn enter(&self, key: &str) -> Arc<Mutex<()>> {
        let mut flights = self.0.lock();
        if let Some(flight) = flights.get(key).and_then(Weak::upgrade) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::new(Mutex::new(()));
        flights.insert(key.to_owned(), Arc::downgrade(&flight));
        flight
    }
}
