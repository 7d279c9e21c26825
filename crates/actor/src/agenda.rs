//! Which effects run: the difference between what a state waits for and what is under way. Pure.

use std::collections::{HashMap, HashSet};

/// The effects of one actor that this host has started since it loaded the actor.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    started: HashMap<String, Progress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Running,
    /// It ended, and its key may still be wanted: not again before a restart.
    Ended,
}

/// What is to be done to bring the world in line with the state.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Indices into the wanted effects.
    pub start: Vec<usize>,
    /// Keys.
    pub cancel: Vec<String>,
}

impl Agenda {
    /// Brings the agenda in line with what is wanted now. `journaled`: does the journal know the
    /// key's result?
    pub fn reconcile(&mut self, wanted: &[&str], journaled: impl Fn(&str) -> bool) -> Changes {
        let mut changes = Changes::default();
        let keys: HashSet<&str> = wanted.iter().copied().collect();
        self.started.retain(|key, progress| {
            let keep = keys.contains(key.as_str());
            if !keep && *progress == Progress::Running {
                changes.cancel.push(key.clone());
            }
            keep
        });
        for (index, &key) in wanted.iter().enumerate() {
            if !self.started.contains_key(key) && !journaled(key) {
                self.started.insert(key.to_owned(), Progress::Running);
                changes.start.push(index);
            }
        }
        changes
    }

    /// An effect ended. False when it is not running: its result comes too late and counts for nothing.
    pub fn end(&mut self, key: &str) -> bool {
        match self.started.get_mut(key) {
            Some(progress @ Progress::Running) => {
                *progress = Progress::Ended;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// The state waits for these keys from now on.
        Want(BTreeSet<u8>),
        /// An effect ends; its result may be journaled.
        End { key: u8, journaled: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            prop::collection::btree_set(0u8..8, 0..6).prop_map(Step::Want),
            (0u8..8, any::<bool>()).prop_map(|(key, journaled)| Step::End { key, journaled }),
        ]
    }

    proptest! {
        /// Whatever the state asks for and whenever effects end: exactly those run that are wanted, have
        /// no journaled result and have not ended since they were first wanted.
        #[test]
        fn what_runs_is_what_is_wanted_and_not_done(steps in prop::collection::vec(step(), 0..60)) {
            let mut agenda = Agenda::default();
            let mut running: HashSet<String> = HashSet::new();
            let mut ended: HashSet<String> = HashSet::new();
            let mut journal: HashSet<String> = HashSet::new();
            for step in steps {
                match step {
                    Step::Want(keys) => {
                        let keys: Vec<String> = keys.iter().map(u8::to_string).collect();
                        let wanted: Vec<&str> = keys.iter().map(String::as_str).collect();
                        let changes = agenda.reconcile(&wanted, |key| journal.contains(key));
                        for key in changes.cancel {
                            prop_assert!(running.remove(&key), "only what runs is cancelled");
                        }
                        for index in changes.start {
                            prop_assert!(!journal.contains(&keys[index]), "a journaled result is not asked for again");
                            prop_assert!(running.insert(keys[index].clone()), "nothing is started twice");
                        }
                        ended.retain(|key| keys.contains(key));
                        let expected: HashSet<String> =
                            keys.iter().filter(|key| !ended.contains(*key)).filter(|key| running.contains(*key) || !journal.contains(*key)).cloned().collect();
                        prop_assert_eq!(&running, &expected);
                        prop_assert_eq!(agenda.reconcile(&wanted, |key| journal.contains(key)), Changes::default(), "settled");
                    }
                    Step::End { key, journaled } => {
                        let key = key.to_string();
                        let ran = running.remove(&key);
                        prop_assert_eq!(agenda.end(&key), ran);
                        if ran {
                            ended.insert(key.clone());
                            if journaled {
                                journal.insert(key);
                            }
                        }
                    }
                }
            }
        }
    }
}
