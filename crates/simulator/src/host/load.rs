//! How journals come into memory: swept, read whole, or from a snapshot on.

use super::*;

impl<M: Modelled> Host<M> {
    /// Whether actors of this kind have snapshots here.
    fn is_snapshotted(net: &Net) -> bool {
        M::SNAPSHOT.is_some() && net.options.snapshot_every > 0
    }

    /// Asks for all journals of a partition that was just won. The kinds that have snapshots have one actor.
    pub(super) fn load_all(&self, net: &mut Net, me: Addr, partition: u16) {
        let cont = self.cont(partition, What::Swept);
        if Self::is_snapshotted(net) {
            let actor = net.actors.singleton(M::KIND);
            self.load(net, me, actor, cont);
        } else {
            net.ask(me, Op::Sweep(Self::place(partition)), cont);
        }
    }

    /// Asks for an actor's journal: from its snapshot on, where it has one.
    pub(super) fn load(&self, net: &mut Net, me: Addr, actor: ActorIx, cont: Cont) {
        let then = Box::new(cont.what);
        if Self::is_snapshotted(net) {
            net.ask(me, Op::Recall(actor), Cont { what: What::Recalled(actor, then), ..cont });
        } else {
            net.ask(me, Op::Read(actor), Cont { what: What::Read(actor, None, then), ..cont });
        }
    }

    /// An actor's snapshot, or that it has none.
    pub(super) fn recalled(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        actor: ActorIx,
        then: What,
        said: Said,
    ) {
        let (op, snapshot) = match said {
            Said::Snapshot(Some(snapshot)) => {
                (Op::ReadAfter(actor, snapshot.sequence.saturating_sub(1)), Some(snapshot))
            }
            _ => (Op::Read(actor), None),
        };
        let what = What::Read(actor, snapshot, Box::new(then));
        net.ask(me, op, self.cont(partition, what));
    }

    /// An actor's journal. A snapshot that it does not fit is left alone, and the journal read whole.
    pub(super) fn read(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        actor: ActorIx,
        (snapshot, then): (Option<Arc<Snapshot>>, What),
        said: Said,
    ) {
        let (found, records) = match &said {
            Said::Records(records) => {
                let folded = Self::fold(net, me, actor, snapshot.as_deref(), records);
                if folded.is_none() && snapshot.is_some() {
                    let what = What::Read(actor, None, Box::new(then));
                    return net.ask(me, Op::Read(actor), self.cont(partition, what));
                }
                net.restored += u64::from(snapshot.is_some());
                (folded.map_or(Found::Unreadable, |folded| Found::Journal(Box::new(folded))), records.len())
            }
            _ => (Found::Nothing, 0),
        };
        match (then, found) {
            (What::LoadFor(delivered), found) => self.loaded_for(net, me, partition, *delivered, found),
            (What::Step(actor, number), Found::Journal(journaled)) => {
                self.give(net, me, partition, (actor, number), Given::Loaded(journaled));
            }
            (What::Step(actor, number), Found::Unreadable) => {
                let given = Given::Unreadable("the journal is not this program's".to_owned());
                self.give(net, me, partition, (actor, number), given);
            }
            (what @ What::Step(..), Found::Nothing) => net.timer(me, PAUSE, self.cont(partition, what)),
            (What::Swept, Found::Nothing) => self.lose(net, me, partition),
            (What::Swept, found) => {
                let found = match found {
                    Found::Journal(journaled) => Some(*journaled),
                    _ => None,
                };
                let unborn = found.as_ref().is_some_and(|journaled| journaled.after() == 0);
                if unborn || self.activate(net, me, partition, actor, (found, records)) {
                    self.open(net, me, partition);
                }
            }
            _ => {}
        }
    }

    /// All journals of a partition.
    pub(super) fn swept(&mut self, net: &mut Net, me: Addr, partition: u16, said: Said) {
        let Said::Journals(journals) = said else { return self.lose(net, me, partition) };
        for (actor, records) in journals {
            let found = Self::fold(net, me, actor, None, &records);
            if !self.activate(net, me, partition, actor, (found, records.len())) {
                return;
            }
        }
        self.open(net, me, partition);
    }

    /// `None`: the journal is not this program's, or not the snapshot's.
    fn fold(
        net: &Net,
        me: Addr,
        actor: ActorIx,
        snapshot: Option<&Snapshot>,
        records: &[(u64, Arc<Record>)],
    ) -> Option<Journaled<M>> {
        let id = net.actors.id(actor);
        let mut journaled = match snapshot {
            Some(snapshot) => Journaled::restore(id, recalled::<M>(net, me, snapshot)).ok()?,
            None => Journaled::new(id),
        };
        for (sequence, record) in records {
            journaled.fold(id, *sequence, readable::<M>(net, me, record)).ok()?;
        }
        journaled.is_proven().then_some(journaled)
    }

    /// Has a snapshot stored when one is due.
    pub(super) fn keep(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx) {
        let every = net.options.snapshot_every;
        if !Self::is_snapshotted(net) || !self.may_act(net, Sabotage::LeaseClock) {
            return;
        }
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        if let Some(snapshot) = live.life.snapshot(every) {
            let snapshot = kept::<M>(net, me, snapshot);
            net.ask(me, Op::Keep { actor, snapshot }, self.cont(partition, What::Nothing));
        }
    }
}
