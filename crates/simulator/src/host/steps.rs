//! What a life's steps do at the modelled bus.

use super::*;

impl<M: Modelled> Host<M> {
    /// An actor that rests takes what has come meanwhile, one after the other until something takes time. A turn that comes of
    /// one that is being taken is that one's: thousands may have come.
    pub(super) fn turn(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx) {
        if self.turning == Some(actor) {
            return;
        }
        let outer = self.turning.replace(actor);
        while self.take_one(net, me, partition, actor) {}
        self.turning = outer;
    }

    /// Whether there was anything, and time for it.
    fn take_one(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx) -> bool {
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return false };
        // What begins in a step may end at once and be acted on before the step itself is through.
        if live.busy {
            return false;
        }
        // As unbiased as the real host's choice.
        let effect_first = live.mailbox.is_empty() || (!live.ended.is_empty() && net.chance.hit(500));
        let number = live.number;
        // What is not taken now stays where it is: an end that is dropped here never happened.
        let given = match effect_first.then(|| live.ended.pop_front()).flatten() {
            Some((key, command)) => Given::Ended { key, traceparent: String::new(), result: Ok(command) },
            None => match live.mailbox.pop_front() {
                Some(delivered) => {
                    live.letters += 1;
                    let given = read::<M>(net, &delivered);
                    live.letter = Some(delivered);
                    given
                }
                None => return false,
            },
        };
        self.give(net, me, partition, (actor, number), given);
        true
    }

    /// Gives a life what came of its step, and follows its next ones.
    pub(super) fn give(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        of: (ActorIx, u32),
        given: Given<M>,
    ) {
        let (actor, number) = of;
        let now_ms = net.now_ms(me.process);
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        if live.number != number {
            return;
        }
        live.busy = false;
        let letter = matches!(given, Given::Letter { .. });
        let learned = matches!(given, Given::Stored(_) | Given::Loaded(_));
        let step = live.life.next(given, now_ms);
        if letter
            && matches!(step, Step::Ack | Step::Bury { .. })
            && let Some(delivered) = &live.letter
        {
            net.note(Fact::Passed { actor, letter: &delivered.id });
        }
        if letter
            && matches!(step, Step::Append { .. })
            && net.sabotaged(Sabotage::AcknowledgementOrder)
            && let Some(delivered) = live.letter.clone()
        {
            self.ack(net, me, partition, actor, &delivered, false);
        }
        if learned {
            self.keep(net, me, partition, actor);
        }
        self.follow(net, me, partition, actor, step);
    }

    pub(super) fn follow(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx, step: Step<M>) {
        let seat = &mut self.seats[usize::from(partition)];
        let Some(live) = seat.lives.get_mut(&actor) else { return };
        let number = live.number;
        live.busy = true;
        let again = Cont { partition, tenure: seat.tenure, what: What::Step(actor, number) };
        match step {
            Step::Wait { start, cancel, idle } => {
                for key in cancel {
                    live.effects.remove(key.as_str());
                    live.paid.remove(key.as_str());
                }
                live.busy = false;
                let letters = live.letters;
                if idle {
                    let id = net.actors.id(actor).id.clone();
                    for gone in seat.roster.rest(Idle { actor: id, letters }) {
                        seat.lives.remove(&gone);
                    }
                }
                for (key, effect) in start {
                    self.begin(net, me, partition, (actor, number), key.into(), effect);
                }
                self.turn(net, me, partition, actor);
            }
            Step::Append { record, after } => {
                let record = written::<M>(net, me, record);
                live.append = Some((Append::default(), record.clone(), after, net.clock.now()));
                self.append(net, me, partition, actor, record, after);
            }
            Step::Verify => {
                self.forget(net, partition, actor);
                self.renew(net, me, Some((again.partition, again.tenure, actor, number)));
            }
            Step::Load => self.load(net, me, actor, again),
            Step::Again => {
                if let Some(delivered) = &live.letter {
                    let given = read::<M>(net, delivered);
                    self.give(net, me, partition, (actor, number), given);
                }
            }
            Step::Ack => {
                let delivered = live.letter.take();
                if !self.may_act(net, Sabotage::LeaseAtAck) {
                    return self.give_up(net, me);
                }
                if let Some(delivered) = delivered {
                    self.ack(net, me, partition, actor, &delivered, false);
                }
                self.give(net, me, partition, (actor, number), Given::Done);
            }
            Step::Bury { reason } => {
                if let Some(delivered) = live.letter.take() {
                    let what = format!("{} to {}: {reason}", delivered.id, net.actors.name(actor));
                    let cont = Cont { what: What::Nothing, ..again };
                    net.ask(me, Op::Bury { message: Some((delivered.queue, delivered.number)), what }, cont);
                }
                self.give(net, me, partition, (actor, number), Given::Done);
            }
            Step::BuryEffect { key, reason } => {
                let what = format!("{key} of {}: {reason}", net.actors.name(actor));
                net.ask(me, Op::Bury { message: None, what }, Cont { what: What::Nothing, ..again });
                self.give(net, me, partition, (actor, number), Given::Done);
            }
            Step::Archive => {
                self.forget(net, partition, actor);
                net.ask(me, Op::Archive(actor), again);
            }
            Step::End(end) => self.end(net, me, partition, actor, &end),
        }
    }

    pub(super) fn end(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx, end: &End) {
        let seat = &mut self.seats[usize::from(partition)];
        seat.roster.ended(net.actors.id(actor).id.clone(), end);
        if let Some(live) = seat.lives.remove(&actor)
            && *end == End::Finished
        {
            for delivered in live.mailbox {
                self.ack(net, me, partition, actor, &delivered, true);
            }
        }
    }

    pub(super) fn append(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        actor: ActorIx,
        record: Arc<Record>,
        after: u64,
    ) {
        let Some(live) = self.seats[usize::from(partition)].lives.get(&actor) else { return };
        let cont = self.cont(partition, What::Step(actor, live.number));
        let after = (!net.sabotaged(Sabotage::Fencing)).then_some(after);
        net.ask(me, Op::Append { actor, record, after }, cont);
    }

    /// What came of a step that the server was asked for.
    pub(super) fn stepped(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        of: (ActorIx, u32),
        said: Said,
    ) {
        let (actor, number) = of;
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        if live.number != number {
            return;
        }
        let again = Cont {
            partition,
            tenure: self.seats[usize::from(partition)].tenure,
            what: What::Step(actor, number),
        };
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        if let Some((append, record, after, since)) = &mut live.append {
            let (record, after, since) = (record.clone(), *after, *since);
            let next = match said {
                Said::Stored(sequence) => append.tried(Attempt::Stored(sequence)),
                Said::Refused => append.tried(Attempt::Outdated),
                Said::Last(same) => append.found(same),
                Said::Tick => return self.append(net, me, partition, actor, record, after),
                _ => append.tried(Attempt::Unknown),
            };
            let given = match next {
                Next::Stored(sequence) => {
                    live.paid.remove(record.cause.as_str());
                    let cause = net.cause(&record);
                    net.note(Fact::Told { actor, sequence, cause });
                    Given::Stored(sequence)
                }
                Next::Conflict => Given::Conflict,
                Next::LookUp => return net.ask(me, Op::Last { actor, record }, again),
                Next::Again if net.clock.now() < since + APPEND_PATIENCE => {
                    return net.timer(me, PAUSE, again);
                }
                Next::Again => Given::Failed,
            };
            live.append = None;
            return self.give(net, me, partition, of, given);
        }
        match said {
            // The archive is stored.
            Said::Stored(_) => self.give(net, me, partition, of, Given::Done),
            Said::Tick if live.life.machine().is_finished() => net.ask(me, Op::Archive(actor), again),
            Said::Tick => self.give(net, me, partition, of, Given::Failed),
            _ => net.timer(me, PAUSE, again),
        }
    }
}
