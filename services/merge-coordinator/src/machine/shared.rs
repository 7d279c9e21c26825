//! A sorted map whose clones share what neither has changed.
//!
//! The queue decides on a copy of itself, and remembers all that has ever landed: what a copy and a change of it cost must not
//! grow with that.

use std::borrow::Borrow;
use std::sync::Arc;

use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Entries of a chunk. Copying one costs about as much as copying the list of chunks of a map with fifty thousand.
const CHUNK: usize = 128;

/// Entries by key, never empty.
type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// A map in chunks, each shared by the clones that have not changed it.
#[derive(Debug, Clone)]
pub struct Shared<K, V> {
    /// Keys ascend through them.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Shared<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for Shared<K, V> {}

impl<K, V> Shared<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries by key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, value))
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values by key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord + Clone, V: Clone> Shared<K, V> {
    /// The chunk that holds `key` or would, and its place there, if it is.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let after = self.chunks.partition_point(|chunk| chunk[0].0.borrow() <= key);
        let at = after.saturating_sub(1);
        let place = self
            .chunks
            .get(at)
            .map_or(Err(0), |chunk| chunk.binary_search_by(|(known, _)| known.borrow().cmp(key)));
        (at, place)
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (chunk, place) = self.find(key);
        let place = place.ok()?;
        Some(&self.chunks[chunk][place].1)
    }

    /// Whether the key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).1.is_ok()
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (chunk, place) = self.find(key);
        let place = place.ok()?;
        let chunk = &mut Arc::make_mut(&mut self.chunks)[chunk];
        Some(&mut Arc::make_mut(chunk)[place].1)
    }

    /// Sets the value of a key; gives the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, place) = self.find(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(at) else {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        match place {
            Ok(place) => return Some(std::mem::replace(&mut chunk[place].1, value)),
            Err(place) => chunk.insert(place, (key, value)),
        }
        self.len += 1;
        if chunk.len() > CHUNK {
            let upper = chunk.split_off(CHUNK / 2);
            chunks.insert(at + 1, Arc::new(upper));
        }
        None
    }

    /// Takes a key out; gives its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        let place = place.ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[at]);
        let (_, value) = chunk.remove(place);
        if chunk.is_empty() {
            chunks.remove(at);
        }
        self.len -= 1;
        Some(value)
    }

    /// Takes out what `keep` says no to.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let gone: Vec<K> =
            self.iter().filter(|(key, value)| !keep(key, value)).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            self.remove(key);
        }
    }

    /// Changes every value.
    pub fn for_each_mut(&mut self, mut change: impl FnMut(&mut V)) {
        for chunk in Arc::make_mut(&mut self.chunks) {
            Arc::make_mut(chunk).iter_mut().for_each(|(_, value)| change(value));
        }
    }
}

/// As the list of its entries: what is shared is nobody else's business.
impl<K: Serialize, V: Serialize> Serialize for Shared<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = serializer.serialize_seq(Some(self.len))?;
        self.iter().try_for_each(|entry| entries.serialize_element(&entry))?;
        entries.end()
    }
}

impl<'de, K, V> Deserialize<'de> for Shared<K, V>
where
    K: Ord + Clone + Deserialize<'de>,
    V: Clone + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from_iter)
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for Shared<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Shared<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is a sorted map, and a clone stays what it was.
        #[test]
        fn clones_keep_what_they_had(steps in prop::collection::vec((0u16..900, 0u8..4), 0..2_000)) {
            let (mut shared, mut map) = (Shared::default(), BTreeMap::new());
            let mut kept = (shared.clone(), map.clone());
            for (at, (key, what)) in steps.into_iter().enumerate() {
                match what {
                    0 => prop_assert_eq!(shared.remove(&key), map.remove(&key)),
                    1 => {
                        if let Some(value) = shared.get_mut(&key) {
                            *value += 1;
                        }
                        map.entry(key).and_modify(|value| *value += 1);
                    }
                    _ => prop_assert_eq!(shared.insert(key, at), map.insert(key, at)),
                }
                prop_assert_eq!(shared.get(&key), map.get(&key));
                if at % 300 == 0 {
                    prop_assert!(kept.0.iter().eq(kept.1.iter()));
                    kept = (shared.clone(), map.clone());
                }
            }
            prop_assert!(shared.iter().eq(map.iter()) && shared.len() == map.len());
        }
    }
}
