//! Hash tables for keys that nobody chooses to collide. They are looked up in and never gone through: their order is no part of a run.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

/// A map.
pub type Table<K, V> = HashMap<K, V, FxBuildHasher>;
/// A set.
pub type Set<K> = HashSet<K, FxBuildHasher>;
