//! Partitions by lease: a session that is renewed, claims that name it, and a look at the sessions of others.

use super::*;

impl<M: Modelled> Host<M> {
    /// Of what concerns no single partition.
    pub(super) fn wide(what: What) -> Cont {
        Cont { partition: 0, tenure: 0, what }
    }

    fn own(&self) -> Option<u64> {
        self.session.as_ref().map(|session| session.number)
    }

    fn write(&self, net: &mut Net, me: Addr, key: Key, after: u64, names: Option<u64>, cont: Cont) {
        net.ask(me, Op::Write { key, after, names, process: me.process }, cont);
    }

    /// Reads all claims anew; news of them may have been lost.
    pub(super) fn refresh(&self, net: &mut Net, me: Addr) {
        net.ask(me, Op::Claims(M::KIND), Self::wide(What::Claims));
    }

    /// News of a claim.
    pub fn heard(&mut self, net: &mut Net, me: Addr, partition: u16, entry: Entry) {
        let (revision, names) = entry;
        let seat = &self.seats[usize::from(partition)];
        if seat.held && seat.epoch < revision && names != self.own() {
            self.lose(net, me, partition);
        }
        let news = self.vigil.claimed(partition, revision, names);
        if news && names.is_none() {
            self.reach(net, me, partition);
        } else if names.is_some() && names == self.own() {
            self.accept(net, me, partition, revision);
        }
    }

    /// What concerns the host as a whole; gives back what does not.
    pub(super) fn tell_session(&mut self, net: &mut Net, me: Addr, what: What, said: &Said) -> Option<What> {
        match what {
            What::Began(session, sent) => self.began(net, me, session, sent, said),
            What::Renew(session) if self.own() == Some(session) => self.renew(net, me, None),
            What::Renewed { session, sent, verify } if self.own() == Some(session) => {
                self.renewed(net, me, (sent, verify), said)
            }
            What::RenewedSeen { session, sent, verify } if self.own() == Some(session) => match said {
                Said::Entry((revision, Some(_))) if self.is_newer(*revision) => {
                    self.renewed_earlier(net, me, *revision, verify)
                }
                Said::Entry((_, None)) => self.give_up(net, me),
                _ => self.renewed(net, me, (sent, verify), &Said::Unknown),
            },
            What::Renew(_) | What::Renewed { .. } | What::RenewedSeen { .. } => {}
            What::Claims => {
                let Said::Claims(claims) = said else { return None };
                for (partition, entry) in claims {
                    self.heard(net, me, *partition, *entry);
                }
                for partition in 0..self.seats.len() as u16 {
                    if !self.vigil.is_claimed(partition) {
                        self.reach(net, me, partition);
                    }
                }
            }
            What::Look => self.look(net, me),
            What::Watched(session) => self.watched(net, me, session, said),
            What::Ended(session) => {
                if matches!(said, Said::Stored(_)) {
                    self.free(net, me, session);
                }
            }
            other => return Some(other),
        }
        None
    }

    fn begin_session(&mut self, net: &mut Net, me: Addr) {
        if self.beginning.is_none() {
            let number = self.ring + self.sessions + 1;
            self.sessions += 1;
            self.beginning = Some(number);
            let cont = Self::wide(What::Began(number, net.clock.now()));
            self.write(net, me, Key::Session(number), 0, Some(number), cont);
        }
    }

    fn began(&mut self, net: &mut Net, me: Addr, number: u64, sent: Micros, said: &Said) {
        self.beginning = None;
        let Said::Stored(revision) = *said else { return };
        let term = Term::new(duration(LEASE), duration(sent));
        self.session = Some(Session { number, revision, term, unanswered: None });
        self.plan_renewal(net, me);
        if let Some(of) = self.wanted.take() {
            self.ask(net, me, of);
        }
        for partition in 0..self.seats.len() as u16 {
            if !self.vigil.is_claimed(partition) {
                self.reach(net, me, partition);
            }
        }
    }

    /// Reaches for a partition that seems to be free.
    pub(super) fn reach(&mut self, net: &mut Net, me: Addr, partition: u16) {
        let seat = &mut self.seats[usize::from(partition)];
        if seat.held || seat.reaching {
            return;
        }
        if self.session.is_none() {
            return self.begin_session(net, me);
        }
        seat.reaching = true;
        net.ask(me, Op::Look(Key::Claim(Self::place(partition))), self.cont(partition, What::Reached));
    }

    /// Takes a partition whose claim names its session and that it does not hold: it was handed over, or the claim was written, and
    /// nobody heard of it.
    fn accept(&mut self, net: &mut Net, me: Addr, partition: u16, revision: u64) {
        let (seat, own) = (&mut self.seats[usize::from(partition)], self.session.as_ref());
        if let (false, false, Some(&Session { number, .. })) = (seat.held, seat.reaching, own) {
            seat.reaching = true;
            let cont = self.cont(partition, What::Claimed(number));
            self.write(net, me, Key::Claim(Self::place(partition)), revision, Some(number), cont);
        }
    }

    pub(super) fn reached(&mut self, net: &mut Net, me: Addr, partition: u16, said: &Said) {
        let (key, own) = (Key::Claim(Self::place(partition)), self.own());
        self.seats[usize::from(partition)].reaching =
            matches!((said, own), (Said::Entry((_, None)), Some(_)));
        match (said, own) {
            (Said::Entry((revision, None)), Some(session)) => {
                let cont = self.cont(partition, What::Claimed(session));
                self.write(net, me, key, *revision, own, cont);
            }
            (Said::Entry(_), _) => {}
            _ => self.try_later(net, me, partition),
        }
    }

    fn try_later(&self, net: &mut Net, me: Addr, partition: u16) {
        let cont = self.cont(partition, What::Try);
        net.timer(me, TRY_AGAIN + u64::from(partition % 32) * 20 * MS, cont);
    }

    pub(super) fn claimed(&mut self, net: &mut Net, me: Addr, partition: u16, session: u64, said: &Said) {
        let now = duration(net.clock.now());
        let holds = |own: &Session| own.number == session && own.term.holds(now);
        self.seats[usize::from(partition)].reaching = false;
        match *said {
            Said::Stored(revision) => {
                if !self.session.as_ref().is_some_and(holds) {
                    let cont = self.cont(partition, What::Nothing);
                    return self.write(net, me, Key::Claim(Self::place(partition)), revision, None, cont);
                }
                self.tenures += 1;
                let seat = &mut self.seats[usize::from(partition)];
                (seat.held, seat.tenure, seat.epoch) = (true, self.tenures, revision);
                self.load_all(net, me, partition);
            }
            Said::Unknown => self.try_later(net, me, partition),
            _ => {}
        }
    }

    /// Renews the session: because it is time, or because a life wants to know whether it may go on.
    pub(super) fn renew(&mut self, net: &mut Net, me: Addr, verify: Option<Verify>) {
        let Some(&Session { number, revision, .. }) = self.session.as_ref() else { return };
        let what = What::Renewed { session: number, sent: net.clock.now(), verify };
        self.write(net, me, Key::Session(number), revision, Some(number), Self::wide(what));
    }

    fn plan_renewal(&self, net: &mut Net, me: Addr) {
        let Some(session) = &self.session else { return };
        let at = session.term.renewal().as_micros() as Micros;
        net.timer(me, at.saturating_sub(net.clock.now()), Self::wide(What::Renew(session.number)));
    }

    fn renewed(&mut self, net: &mut Net, me: Addr, of: (Micros, Option<Verify>), said: &Said) {
        let (sent, verify) = of;
        let now = duration(net.clock.now());
        let Some(session) = &mut self.session else { return };
        let number = session.number;
        match (said, verify) {
            (Said::Stored(revision), verify) => {
                session.revision = session.revision.max(*revision);
                match verify {
                    None => {
                        session.term.renew(duration(sent));
                        session.unanswered = None;
                        self.plan_renewal(net, me);
                    }
                    Some((partition, tenure, actor, number)) => {
                        let cont = Cont { partition, tenure, what: What::Verified(actor, number) };
                        net.ask(me, Op::Look(Key::Claim(Self::place(partition))), cont);
                    }
                }
            }
            (Said::Refused, verify) if session.term.holds(now) => {
                let what = What::RenewedSeen { session: number, sent, verify };
                net.ask(me, Op::Look(Key::Session(number)), Self::wide(what));
            }
            (Said::Unknown, None) if session.term.holds(now) => {
                session.unanswered = session.unanswered.or(Some(sent));
                net.timer(me, 200 * MS, Self::wide(What::Renew(number)));
            }
            _ => self.give_up(net, me),
        }
    }

    fn is_newer(&self, revision: u64) -> bool {
        self.session.as_ref().is_some_and(|session| session.revision < revision)
    }

    /// One of the renewals did whose answers did not come.
    fn renewed_earlier(&mut self, net: &mut Net, me: Addr, revision: u64, verify: Option<Verify>) {
        let Some(session) = self.session.as_mut() else { return };
        session.revision = revision;
        match session.unanswered.take().filter(|_| verify.is_none()) {
            Some(first) => {
                session.term.renew(duration(first));
                self.plan_renewal(net, me);
            }
            None => self.renew(net, me, verify),
        }
    }

    /// The session holds; does the claim?
    pub(super) fn verified(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        of: (ActorIx, u32),
        said: &Said,
    ) {
        let epoch = self.seats[usize::from(partition)].epoch;
        // An older revision is what a reader knows that lags.
        let held = matches!(said, Said::Entry((revision, _)) if *revision <= epoch);
        self.give(net, me, partition, of, Given::Held(held));
        if !held {
            self.lose(net, me, partition);
        }
    }

    /// The session is, or may be, over: so is all that was held under it.
    pub(super) fn give_up(&mut self, net: &mut Net, me: Addr) {
        self.session = None;
        for partition in 0..self.seats.len() as u16 {
            if self.seats[usize::from(partition)].held {
                self.lose(net, me, partition);
            }
        }
    }

    /// The partition is, or may be, another's. Nothing is under way here any more: whoever wants it need not wait.
    pub(super) fn lose(&mut self, net: &mut Net, me: Addr, partition: u16) {
        let epoch = self.seats[usize::from(partition)].epoch;
        self.stop(net, me, partition);
        let cont = self.cont(partition, What::Nothing);
        self.write(net, me, Key::Claim(Self::place(partition)), epoch, None, cont);
        self.try_later(net, me, partition);
    }

    /// Nothing is under way in the partition any more, and no letters come.
    fn stop(&mut self, net: &mut Net, me: Addr, partition: u16) {
        self.drop_lives(net, partition);
        net.ask(me, Op::Close(Self::place(partition)), self.cont(partition, What::Nothing));
    }

    /// A host asks for partitions, to be handed over to its session `by`.
    pub fn sought(&mut self, net: &mut Net, me: Addr, by: u64, of: &Asked) {
        let Some(own) = self.own() else { return };
        let seats = &self.seats;
        let load = |partition| {
            let lives = seats.get(usize::from(partition)).map(|seat: &Seat<M>| seat.lives.values());
            lives.map_or(0, |lives| lives.map(|live| live.effects.len()).sum())
        };
        for (partition, epoch) in self.vigil.gives(&own, &by, of.get(&own).copied().unwrap_or_default(), load)
        {
            let seat = &mut self.seats[usize::from(partition)];
            if seat.held && seat.epoch == epoch {
                (seat.leaving, seat.open) = (Some(by), false);
                net.ask(me, Op::Close(Self::place(partition)), self.cont(partition, What::Nothing));
                self.settle(net, me, partition);
            }
        }
    }

    /// Hands a partition over that is to be, unless an effect that costs is still under way there.
    pub(super) fn settle(&mut self, net: &mut Net, me: Addr, partition: u16) {
        let seat = &self.seats[usize::from(partition)];
        if let Some(names) = seat.leaving
            && !seat.lives.values().any(Live::costs)
        {
            let after = seat.epoch;
            self.stop(net, me, partition);
            let op = Op::HandOver { place: Self::place(partition), after, names };
            net.ask(me, op, self.cont(partition, What::Nothing));
        }
    }

    /// Asks others for what this host lacks, under a session.
    fn ask(&mut self, net: &mut Net, me: Addr, of: Asked) {
        match self.own() {
            Some(by) => net.ask(me, Op::Ask { kind: M::KIND, by, of: of.into() }, Self::wide(What::Nothing)),
            None => {
                self.wanted = Some(of);
                self.begin_session(net, me);
            }
        }
    }

    /// Looks at the sessions that this host is to look at, and at what it has itself.
    fn look(&mut self, net: &mut Net, me: Addr) {
        let (own, now) = (self.own(), net.clock.now());
        for session in self.vigil.watched(own.as_ref(), duration(now)) {
            net.ask(me, Op::Look(Key::Session(session)), Self::wide(What::Watched(session)));
        }
        let of = self.vigil.asks(own.as_ref(), duration(now));
        if !of.is_empty() {
            self.ask(net, me, of);
        }
        let next = self.vigil.next_look(own.as_ref(), duration(now)).as_micros() as Micros;
        net.timer(me, next.saturating_sub(now), Self::wide(What::Look));
    }

    fn watched(&mut self, net: &mut Net, me: Addr, session: u64, said: &Said) {
        let Said::Entry(entry) = *said else { return };
        let now = duration(net.clock.now());
        match entry {
            (1.., None) => self.free(net, me, session),
            (revision, names) => {
                // The server decides whether a key of which there is no trace was ever there.
                let over = names.is_none()
                    || self.vigil.saw(&session, revision, now)
                    || net.sabotaged(Sabotage::EarlyEnd);
                if over {
                    let cont = Self::wide(What::Ended(session));
                    self.write(net, me, Key::Session(session), revision, None, cont);
                }
            }
        }
    }

    /// Frees what a session held that is over.
    fn free(&self, net: &mut Net, me: Addr, session: u64) {
        for (partition, revision) in self.vigil.claims_of(&session) {
            let cont = Self::wide(What::Nothing);
            self.write(net, me, Key::Claim(Self::place(partition)), revision, None, cont);
        }
    }

    /// Takes what was found of an actor as it takes a partition. False: that found out that the lease is over.
    pub(super) fn activate(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        actor: ActorIx,
        (found, records): (Option<Journaled<M>>, usize),
    ) -> bool {
        let id = net.actors.id(actor).id.clone();
        let seat = &mut self.seats[usize::from(partition)];
        let tenure = seat.tenure;
        if let Some(journaled) = seat.roster.activated(&id, found, records as u32) {
            self.wake(net, me, partition, actor, journaled);
        }
        // Its first effect may have been what found out.
        self.seats[usize::from(partition)].tenure == tenure
    }

    /// All actors of the partition are awake: letters may come.
    pub(super) fn open(&mut self, net: &mut Net, me: Addr, partition: u16) {
        let seat = &mut self.seats[usize::from(partition)];
        if seat.leaving.is_some() {
            return;
        }
        seat.open = true;
        let tenure = seat.tenure;
        let cont = self.cont(partition, What::Nothing);
        // The real inbox opens again and again until it is open; so is this one asked for with each renewal.
        net.ask(me, Op::Open { place: Self::place(partition), tenure }, cont);
    }

    /// Asks again for letters and for the claims; the server may have forgotten, and news may have been lost.
    pub fn reopen(&mut self, net: &mut Net, me: Addr) {
        self.refresh(net, me);
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
