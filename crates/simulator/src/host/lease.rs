//! Partitions by lease: reached for, renewed, swept, opened.

use super::*;

impl<M: Modelled> Host<M> {
    pub(super) fn reach(&mut self, net: &mut Net, me: Addr, partition: u16) {
        let value = net.number();
        let cont = self.cont(partition, What::Tried(net.clock.now(), value));
        net.ask(me, Op::Take { place: Self::place(partition), value, process: me.process }, cont);
    }

    pub(super) fn renew(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        met: u8,
        verify: Option<(ActorIx, u32)>,
    ) {
        let seat = &self.seats[usize::from(partition)];
        let op = Op::Renew { place: Self::place(partition), value: seat.value, revision: seat.revision };
        let cont = self.cont(partition, What::Renewed { sent: net.clock.now(), met, verify });
        net.ask(me, op, cont);
    }

    pub(super) fn plan_renewal(&mut self, net: &mut Net, me: Addr, partition: u16) {
        let at = self.seats[usize::from(partition)].term.renewal().as_micros() as Micros;
        let cont = self.cont(partition, What::Renew);
        net.timer(me, at.saturating_sub(net.clock.now()), cont);
    }

    pub(super) fn renewed(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        said: Said,
        of: (Micros, u8, Option<(ActorIx, u32)>),
    ) {
        let (sent, met, verify) = of;
        let now = net.clock.now();
        let seat = &mut self.seats[usize::from(partition)];
        match (said, verify) {
            (Said::Stored(revision), verify) => {
                seat.revision = seat.revision.max(revision);
                match verify {
                    None => {
                        seat.term.renew(duration(sent));
                        self.plan_renewal(net, me, partition);
                    }
                    Some((actor, number)) => {
                        self.give(net, me, partition, (actor, number), Given::Held(true))
                    }
                }
            }
            (Said::Refused, verify) if met < 1 => {
                let cont = self.cont(partition, What::Looked { sent, met, verify });
                net.ask(me, Op::Look(Self::place(partition)), cont);
            }
            (Said::Unknown, None) if seat.term.holds(duration(now)) => {
                let cont = self.cont(partition, What::Renew);
                net.timer(me, 200 * MS, cont);
            }
            (_, Some((actor, number))) => {
                self.give(net, me, partition, (actor, number), Given::Held(false));
                self.lose(net, me, partition);
            }
            (_, None) => self.lose(net, me, partition),
        }
    }

    pub(super) fn activate(&mut self, net: &mut Net, me: Addr, partition: u16, said: Said) {
        let Said::Journals(journals) = said else {
            let seat = &self.seats[usize::from(partition)];
            let op = Op::Free { place: Self::place(partition), revision: seat.revision };
            let cont = self.cont(partition, What::Nothing);
            net.ask(me, op, cont);
            return self.lose(net, me, partition);
        };
        let tenure = self.seats[usize::from(partition)].tenure;
        for (actor, records) in journals {
            let id = net.actors.id(actor).id.clone();
            let found = self.fold(net, me, actor, &records);
            let seat = &mut self.seats[usize::from(partition)];
            if let Some(journaled) = seat.roster.activated(&id, found, records.len() as u32) {
                self.wake(net, me, partition, actor, journaled);
                // Its first effect may have been what found out that the lease is over.
                if self.seats[usize::from(partition)].tenure != tenure {
                    return;
                }
            }
        }
        self.seats[usize::from(partition)].open = true;
        let cont = self.cont(partition, What::Nothing);
        // The real inbox opens again and again until it is open; so is this one asked for with each renewal.
        net.ask(me, Op::Open { place: Self::place(partition), tenure }, cont);
    }

    /// Asks again for letters; the server may have forgotten.
    pub fn reopen(&mut self, net: &mut Net, me: Addr) {
        for partition in 0..self.seats.len() as u16 {
            let seat = &self.seats[usize::from(partition)];
            if seat.open {
                let op = Op::Open { place: Self::place(partition), tenure: seat.tenure };
                let cont = self.cont(partition, What::Nothing);
                net.ask(me, op, cont);
                let letters = self.held_letters(partition);
                net.note(Fact::Held { process: me.process, letters, most: MAX_PENDING * 2 });
            }
        }
    }
}
