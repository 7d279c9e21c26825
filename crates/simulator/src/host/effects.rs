//! Effects, stage by stage.

use super::*;

impl<M: Modelled> Host<M> {
    /// Drops an actor's effects: what was under way is interrupted.
    pub(super) fn forget(&mut self, net: &mut Net, partition: u16, actor: ActorIx) {
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        live.effects.clear();
        live.ended.clear();
        for key in std::mem::take(&mut live.paid) {
            net.note(Fact::Interrupted { actor, key: &key });
        }
    }

    pub(super) fn begin(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        of: (ActorIx, u32),
        key: Rc<str>,
        effect: M::Effect,
    ) {
        let (actor, number) = of;
        if !self.may_act(net, Sabotage::LeaseClock) {
            return self.give_up(net, me);
        }
        let seat = &mut self.seats[usize::from(partition)];
        if seat.leaving.is_some() {
            return;
        }
        let epoch = seat.epoch;
        let Some(live) = seat.lives.get_mut(&actor).filter(|live| live.number == number) else { return };
        let stages = M::stages(net, me, actor, &key, &effect).into();
        live.effects.insert(key.clone(), Running { ticket: 0, effect, stages });
        net.note(Fact::Begun { actor, key: &key, epoch, process: me.process });
        self.advance(net, me, partition, (actor, number), key);
    }

    /// Whether the session holds by this process's clock, unless looking at it is what is sabotaged.
    pub(super) fn may_act(&self, net: &Net, unless: Sabotage) -> bool {
        let now = duration(net.clock.now());
        self.session.as_ref().is_some_and(|session| session.term.holds(now)) || net.sabotaged(unless)
    }

    /// Does the next stage of an effect.
    pub(super) fn advance(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        of: (ActorIx, u32),
        key: Rc<str>,
    ) {
        let (actor, number) = of;
        let may_pay = self.may_act(net, Sabotage::LeaseAtCall);
        let seat = &mut self.seats[usize::from(partition)];
        let (tenure, epoch) = (seat.tenure, seat.epoch);
        let Some(live) = seat.lives.get_mut(&actor).filter(|live| live.number == number) else { return };
        let Some(running) = live.effects.get_mut(&key) else { return };
        self.tickets += 1;
        running.ticket = self.tickets;
        let cont = Cont { partition, tenure, what: What::Stage(actor, number, key.clone(), running.ticket) };
        match running.stages.front_mut() {
            None | Some(Stage::Never) => {}
            Some(Stage::Ask(op)) => {
                if let Some(op) = op.take() {
                    net.ask(me, op, cont);
                }
            }
            Some(Stage::Local(command)) => {
                let until = net.clock.now() + SECOND;
                let event =
                    crate::net::Event::Asked { to: me, command: command.clone(), asker: me, cont, until };
                net.clock.plan(0, event);
            }
            Some(Stage::Wait(after)) => net.timer(me, *after, cont),
            Some(Stage::Pay(_)) if !may_pay => self.give_up(net, me),
            Some(Stage::Pay(microdollars)) => {
                let microdollars = *microdollars;
                live.paid.insert(key.clone());
                running.stages.pop_front();
                net.note(Fact::Paid { actor, key: &key, epoch, microdollars });
                self.advance(net, me, partition, of, key);
            }
            Some(Stage::End(end)) => {
                let command = end.take().and_then(|end| end(net));
                live.effects.remove(&key);
                live.ended.push_back((key.to_string(), command));
                if !live.busy {
                    self.turn(net, me, partition, actor);
                }
            }
            Some(Stage::Act(_)) => {
                if let Some(Stage::Act(act)) = running.stages.pop_front() {
                    let command = act(net);
                    running.stages.push_back(Stage::End(Some(Box::new(move |_| command))));
                }
                self.advance(net, me, partition, of, key);
            }
            Some(Stage::Denied(_)) => {
                running.stages.pop_front();
                self.advance(net, me, partition, of, key);
            }
        }
    }

    pub(super) fn staged(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        of: (ActorIx, u32),
        (key, ticket): (Rc<str>, u32),
        said: Said,
    ) {
        let (actor, number) = of;
        let seat = &mut self.seats[usize::from(partition)];
        let Some(live) = seat.lives.get_mut(&actor).filter(|live| live.number == number) else { return };
        let Some(running) = live.effects.get_mut(&key).filter(|running| running.ticket == ticket) else {
            return;
        };
        match said {
            Said::Unknown => {
                running.stages = VecDeque::from([Stage::Wait(PAUSE), Stage::Never]);
                self.advance(net, me, partition, of, key);
            }
            Said::Denied(why) => {
                running.stages.pop_front();
                let denied = running.stages.pop_front();
                running.stages.clear();
                if let Some(Stage::Denied(command)) = denied {
                    running.stages.push_back(Stage::End(Some(Box::new(move |_| Some(command(why))))));
                }
                self.advance(net, me, partition, of, key);
            }
            _ if matches!(running.stages.get(1), Some(Stage::Never)) => {
                // It failed, and the pause is over: from the beginning.
                let effect = running.effect.clone();
                live.effects.remove(&key);
                self.begin(net, me, partition, of, key, effect);
            }
            _ => {
                running.stages.pop_front();
                self.advance(net, me, partition, of, key);
            }
        }
    }
}
