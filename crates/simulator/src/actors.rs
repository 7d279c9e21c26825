//! Actors by number: what facts, journals and queues name them by.

use atlas_domain::{ActorId, ActorKind, RunId};

use crate::table::Table;

/// An actor, by number.
pub type ActorIx = u32;

/// A partition of a kind of actor.
pub type Place = (ActorKind, u16);

/// Names of actors.
#[derive(Debug)]
pub struct Actors {
    run: RunId,
    partitions: u16,
    ids: Vec<ActorId>,
    names: Vec<Box<str>>,
    places: Vec<Place>,
    known: Table<ActorKind, Table<String, ActorIx>>,
    singletons: Table<ActorKind, ActorIx>,
}

impl Actors {
    /// Of a run with so many partitions of agents.
    pub fn new(run: RunId, partitions: u16) -> Self {
        Self {
            run,
            partitions,
            ids: Vec::new(),
            names: Vec::new(),
            places: Vec::new(),
            known: Table::default(),
            singletons: Table::default(),
        }
    }

    /// The number of an actor.
    pub fn of(&mut self, kind: ActorKind, id: &str) -> ActorIx {
        let known = self.known.entry(kind).or_default();
        if let Some(&ix) = known.get(id) {
            return ix;
        }
        let actor = ActorId { run: self.run.clone(), kind, id: id.to_owned() };
        let ix = self.ids.len() as ActorIx;
        known.insert(id.to_owned(), ix);
        self.names.push(format!("{kind}/{id}").into());
        self.places.push((kind, actor.partition(self.partitions)));
        self.ids.push(actor);
        ix
    }

    /// The one actor of a kind that the run has.
    pub fn singleton(&mut self, kind: ActorKind) -> ActorIx {
        if let Some(&ix) = self.singletons.get(&kind) {
            return ix;
        }
        let id = self.run.to_string();
        let ix = self.of(kind, &id);
        self.singletons.insert(kind, ix);
        ix
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: ActorKind) -> usize {
        self.places.iter().filter(|place| place.0 == kind).count()
    }

    /// Its address.
    pub fn id(&self, actor: ActorIx) -> &ActorId {
        &self.ids[actor as usize]
    }

    /// Its name in a history.
    pub fn name(&self, actor: ActorIx) -> &str {
        &self.names[actor as usize]
    }

    /// Its partition.
    pub fn place(&self, actor: ActorIx) -> Place {
        self.places[actor as usize]
    }
}
