//! Which effects run: the difference between what a state waits for and what is under way. Pure.

use std::collections::{HashMap, HashSet};

use crate::Part;

/// The effects of one actor that this host has started since it loaded the actor.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    started: HashMap<String, Progress>,
    /// Of parts that wait for anything: the keys.
    wanted: HashMap<Part, Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Running,
    /// It ended, and its key may still be wanted: not again before a restart.
    Ended,
}

impl Agenda {
    /// Takes in what a part waits for now: drops what it does not wait for any more, and gives the keys that were running;
    /// leaves in `wanted` what is to start. `journaled`: does the journal know the key's result?
    pub fn reconcile<E>(
        &mut self,
        part: Part,
        wanted: &mut Vec<(String, E)>,
        journaled: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let before = self.wanted.remove(&part).unwrap_or_default();
        let keys: Vec<String> = wanted.iter().map(|(key, _)| key.clone()).collect();
        let kept: HashSet<&str> = keys.iter().map(String::as_str).collect();
        let gone = before.into_iter().filter(|key| !kept.contains(key.as_str()));
        let cancel = gone.filter(|key| self.started.remove(key) == Some(Progress::Running)).collect();
        wanted.retain(|(key, _)| {
            let starts = !self.started.contains_key(key) && !journaled(key);
            if starts {
                self.started.insert(key.clone(), Progress::Running);
            }
            starts
        });
        if !keys.is_empty() {
            self.wanted.insert(part, keys);
        }
        cancel
    }

    /// Whether no part waits for anything.
    pub fn is_idle(&self) -> bool {
        self.wanted.is_empty()
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
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// A part of the state waits for these of its keys from now on.
        Want(Part, BTreeSet<u8>),
        /// An effect ends; its result may be journaled.
        End { key: u8, journaled: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3u32, prop::collection::btree_set(0u8..4, 0..4))
                .prop_map(|(part, keys)| Step::Want(part, keys)),
            (0u8..12, any::<bool>()).prop_map(|(key, journaled)| Step::End { key, journaled }),
        ]
    }

    proptest! {
        /// Whatever the state asks for and whenever effects end: exactly those run that are wanted, have
        /// no journaled result and have not ended since they were first wanted.
        #[test]
        fn what_runs_is_what_is_wanted_and_not_done(steps in prop::collection::vec(step(), 0..60)) {
            let mut agenda = Agenda::default();
            let mut parts: BTreeMap<Part, BTreeSet<u8>> = BTreeMap::new();
            let mut running: HashSet<String> = HashSet::new();
            let mut ended: HashSet<String> = HashSet::new();
            let mut journal: HashSet<String> = HashSet::new();
            for step in steps {
                match step {
                    Step::Want(part, keys) => {
                        // A key stays in its part.
                        let keys: BTreeSet<u8> = keys.iter().map(|key| key + 4 * part as u8).collect();
                        let wanted = || -> Vec<(String, ())> { keys.iter().map(|key| (key.to_string(), ())).collect() };
                        let mut start = wanted();
                        for key in agenda.reconcile(part, &mut start, |key| journal.contains(key)) {
                            prop_assert!(running.remove(&key), "only what runs is cancelled");
                        }
                        for (key, ()) in start {
                            prop_assert!(!journal.contains(&key), "a journaled result is not asked for again");
                            prop_assert!(running.insert(key), "nothing is started twice");
                        }
                        let mut again = wanted();
                        prop_assert_eq!(agenda.reconcile(part, &mut again, |key| journal.contains(key)), Vec::<String>::new());
                        prop_assert!(again.is_empty(), "settled");
                        parts.insert(part, keys);
                        let all: HashSet<String> = parts.values().flatten().map(u8::to_string).collect();
                        prop_assert_eq!(agenda.is_idle(), all.is_empty());
                        ended.retain(|key| all.contains(key));
                        let due = |key: &String| !ended.contains(key) && (running.contains(key) || !journal.contains(key));
                        let expected: HashSet<String> = all.into_iter().filter(due).collect();
                        prop_assert_eq!(&running, &expected);
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
