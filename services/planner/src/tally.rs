//! Sums over targets and attempts, kept up to date as these change, so that the status after a record costs what the record changed.

use std::collections::{BTreeMap, BTreeSet};

use atlas_domain::{TargetIx, TargetState};

use crate::role::Role;
use crate::status::TargetStatus;

/// Of targets by state, of attempts at work by role, and who asks a person.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally {
    states: BTreeMap<TargetState, u64>,
    roles: BTreeMap<Role, u64>,
    asking: BTreeSet<TargetIx>,
}

impl Tally {
    /// A target's entry was `before` and is `now`.
    pub fn entry(&mut self, ix: TargetIx, before: Option<&TargetStatus>, now: &TargetStatus) {
        if let Some(before) = before {
            less(&mut self.states, before.state);
        }
        *self.states.entry(now.state).or_default() += 1;
        if now.question.is_some() {
            self.asking.insert(ix);
        } else {
            self.asking.remove(&ix);
        }
    }

    /// An attempt began.
    pub fn began(&mut self, role: Role) {
        *self.roles.entry(role).or_default() += 1;
    }

    /// An attempt ended.
    pub fn ended(&mut self, role: Role) {
        less(&mut self.roles, role);
    }

    /// Targets in a state.
    pub fn of(&self, state: TargetState) -> usize {
        self.states.get(&state).map_or(0, |&count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Targets by state, without states that none is in.
    pub fn states(&self) -> BTreeMap<String, u64> {
        self.states.iter().map(|(state, count)| (state.to_string(), *count)).collect()
    }

    /// Attempts at work by role, without roles that none has.
    pub fn roles(&self) -> BTreeMap<String, u64> {
        self.roles.iter().map(|(role, count)| (role.to_string(), *count)).collect()
    }

    /// The targets that ask a person, in their order.
    pub fn asking(&self) -> &BTreeSet<TargetIx> {
        &self.asking
    }
}

fn less<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
