//! Hash-consing tables of one layer.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};
use num_bigint::BigUint;

use super::{Expr, Facts, Level, LevelId, Name};

/// Interned values of one kind with consecutive ids from `start` on.
pub(crate) struct Table<T> {
    start: u32,
    nodes: Vec<T>,
    index: HashTable<u32>,
}

impl<T> Table<T> {
    pub fn over(start: u32) -> Self {
        Table { start, nodes: Vec::new(), index: HashTable::new() }
    }

    /// The id after the last one.
    pub fn end(&self) -> u32 {
        self.start + self.nodes.len() as u32
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The value with this id, if it lies in this layer.
    pub fn get(&self, id: u32) -> Option<&T> {
        self.nodes.get(id.checked_sub(self.start)? as usize)
    }

    /// All values of this layer, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.nodes.iter()
    }

    /// Makes room for `count` more values.
    pub fn reserve(&mut self, count: usize, rehash: impl Fn(&T) -> u64) {
        self.nodes.reserve(count);
        let (nodes, start) = (&self.nodes, self.start);
        self.index.reserve(count, |i| rehash(&nodes[(*i - start) as usize]));
    }

    pub fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<u32> {
        self.index.find(hash, |i| same(&self.nodes[(*i - self.start) as usize])).copied()
    }

    /// Adds a value that is in no layer yet.
    pub fn push(&mut self, hash: u64, value: T, rehash: impl Fn(&T) -> u64) -> u32 {
        let id = self.end();
        self.nodes.push(value);
        let (nodes, start) = (&self.nodes, self.start);
        self.index.insert_unique(hash, id, |i| rehash(&nodes[(*i - start) as usize]));
        id
    }

    /// Forgets everything; big allocations are given back.
    pub fn clear(&mut self) {
        if self.nodes.capacity() > 1 << 16 {
            *self = Table::over(self.start);
        } else {
            self.nodes.clear();
            self.index.clear();
        }
    }

    /// Appends the values of the layer above, which keep their ids.
    fn absorb(&mut self, above: &Table<T>, rehash: impl Fn(&T) -> u64)
    where
        T: Clone,
    {
        for value in &above.nodes {
            self.push(rehash(value), value.clone(), &rehash);
        }
    }
}

impl<T: Clone> Clone for Table<T> {
    fn clone(&self) -> Self {
        Table { start: self.start, nodes: self.nodes.clone(), index: self.index.clone() }
    }
}

/// A level and facts about it.
#[derive(Clone)]
pub(crate) struct LevelNode {
    pub level: Level,
    pub depth: u32,
    pub params: bool,
}

/// An expression and facts about it.
#[derive(Clone)]
pub(crate) struct ExprNode {
    pub expr: Expr,
    pub facts: Facts,
}

/// One layer of all tables. All layers of a stack share the hash.
#[derive(Clone)]
pub(crate) struct Tables {
    pub hash: DefaultHashBuilder,
    pub names: Table<Name>,
    pub levels: Table<LevelNode>,
    pub lists: Table<Box<[LevelId]>>,
    pub exprs: Table<ExprNode>,
    pub nats: Table<BigUint>,
    pub strs: Table<Box<str>>,
}

impl Tables {
    /// The first layer of a stack.
    pub fn root() -> Tables {
        Tables {
            hash: DefaultHashBuilder::default(),
            names: Table::over(0),
            levels: Table::over(0),
            lists: Table::over(0),
            exprs: Table::over(0),
            nats: Table::over(0),
            strs: Table::over(0),
        }
    }

    /// An empty layer on top of `below`.
    pub fn over(below: &Tables) -> Tables {
        Tables {
            hash: below.hash.clone(),
            names: Table::over(below.names.end()),
            levels: Table::over(below.levels.end()),
            lists: Table::over(below.lists.end()),
            exprs: Table::over(below.exprs.end()),
            nats: Table::over(below.nats.end()),
            strs: Table::over(below.strs.end()),
        }
    }

    pub fn hash_of<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        self.hash.hash_one(value)
    }

    pub fn clear(&mut self) {
        self.names.clear();
        self.levels.clear();
        self.lists.clear();
        self.exprs.clear();
        self.nats.clear();
        self.strs.clear();
    }

    /// Is nothing in it?
    pub fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// Number of entries of all kinds.
    pub fn size(&self) -> usize {
        self.names.len()
            + self.levels.len()
            + self.lists.len()
            + self.exprs.len()
            + self.nats.len()
            + self.strs.len()
    }

    /// Appends the layer above; all ids stay what they are.
    pub fn absorb(&mut self, above: &Tables) {
        let hash = self.hash.clone();
        self.names.absorb(&above.names, |n| hash.hash_one(n));
        self.levels.absorb(&above.levels, |n| hash.hash_one(n.level));
        self.lists.absorb(&above.lists, |n| hash.hash_one(n));
        self.exprs.absorb(&above.exprs, |n| hash.hash_one(n.expr));
        self.nats.absorb(&above.nats, |n| hash.hash_one(n));
        self.strs.absorb(&above.strs, |n| hash.hash_one(n));
    }
}
