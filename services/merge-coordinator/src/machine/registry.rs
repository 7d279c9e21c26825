//! The statements that may not change any more.

use std::collections::{BTreeMap, BTreeSet};

use atlas_proto::{DeclarationFacts, Expectation, MergeRequest};
use serde::{Deserialize, Serialize};

use super::shared::Shared;
use super::verdict::name_hash;

/// A landed declaration of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Its target.
    pub target: String,
    /// The module that declares it.
    pub module: String,
    /// Hash of its statement's closure as terms.
    pub statement_hash: String,
    /// The same of the statement's negation; empty when it is no proposition.
    pub negation_hash: String,
    /// It is stated; its own proof is `sorry`.
    pub may_sorry: bool,
    /// Digest of what its own proof names: changes when another proof takes its place.
    pub proof: u64,
    /// Others whose `sorry` it rested on when its proof last changed. Some may have been proved since.
    pub rests_on: Vec<String>,
    /// It states the negation of its target's statement.
    pub negated: bool,
    /// Its value is part of the statement.
    pub definition: bool,
}

/// Frozen statements by declaration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    frozen: Shared<String, Frozen>,
    /// Declarations by module: what a candidate must keep is asked of its modules alone.
    modules: Shared<String, BTreeSet<String>>,
}

impl Registry {
    /// What must hold of a candidate that changes the modules in `check`: every frozen statement there, and what its
    /// submissions say of their own targets. What they unfreeze must be there but may say something else, unless it is
    /// refuted; a proof that they reopen may be `sorry` again.
    ///
    /// # Errors
    /// A submission refutes a statement that is not frozen: why, for its author.
    pub fn expectations(
        &self,
        check: &BTreeSet<String>,
        requests: &[&MergeRequest],
    ) -> Result<Vec<Expectation>, String> {
        let named = |list: fn(&MergeRequest) -> &Vec<String>| -> BTreeSet<&str> {
            requests.iter().flat_map(|request| list(request)).map(String::as_str).collect()
        };
        let (unfrozen, reopened) = (named(|r| &r.unfreeze), named(|r| &r.reopen));
        let gone: BTreeSet<&str> = requests.iter().flat_map(|request| refuted(request)).collect();
        let mut expected: BTreeMap<&str, Expectation> = BTreeMap::new();
        for (name, frozen) in self.declared_in(check) {
            let mut expectation = frozen.expectation(name);
            if unfrozen.contains(name.as_str()) {
                expectation.statement_hash.clear();
            }
            expectation.may_sorry |=
                reopened.contains(name.as_str()) && !frozen.definition && !frozen.negated;
            if !gone.contains(name.as_str()) {
                expected.insert(name, expectation);
            }
        }
        for request in requests {
            for own in &request.expectations {
                let own_filled = self.fill(own, unfrozen.contains(own.declaration.as_str()))?;
                expected.insert(&own.declaration, own_filled);
            }
        }
        Ok(expected.into_values().collect())
    }

    /// Theorems in the modules of `reads` whose `sorry` a candidate's proofs may inherit: those that are stated and not
    /// proved, before it or with it.
    pub fn stated(&self, reads: &BTreeSet<String>, requests: &[&MergeRequest]) -> Vec<String> {
        let own = || requests.iter().flat_map(|request| &request.expectations);
        let gone: BTreeSet<&str> = requests.iter().flat_map(|request| refuted(request)).collect();
        let settled: BTreeSet<&str> = own().map(|own| own.declaration.as_str()).collect();
        let before = self.declared_in(reads).filter(|(name, frozen)| {
            frozen.may_sorry && !settled.contains(name.as_str()) && !gone.contains(name.as_str())
        });
        let reopened = requests.iter().flat_map(|request| &request.reopen);
        let with = own().filter(|own| own.may_sorry).map(|own| &own.declaration);
        let stated: BTreeSet<&String> = before.map(|(name, _)| name).chain(reopened).chain(with).collect();
        stated.into_iter().cloned().collect()
    }

    /// A submission's own expectation, with the hash that is frozen already.
    fn fill(&self, own: &Expectation, unfrozen: bool) -> Result<Expectation, String> {
        let mut filled = own.clone();
        if own.negated {
            let Some(original) = self.original(own) else {
                return Err(format!(
                    "`{}` refutes target `{}`, whose statement has not landed; state it first",
                    own.declaration, own.target
                ));
            };
            if original.negation_hash.is_empty() {
                return Err(format!(
                    "target `{}` is no proposition, so that `{}` cannot state its negation",
                    own.target, own.declaration
                ));
            }
            filled.statement_hash = original.negation_hash.clone();
        } else if let Some(frozen) = self.frozen.get(&own.declaration).filter(|_| !unfrozen) {
            // What is frozen wins over what a submission says of itself.
            filled.statement_hash = frozen.statement_hash.clone();
            filled.definition |= frozen.definition;
            filled.may_sorry &= frozen.may_sorry;
        }
        Ok(filled)
    }

    /// The statement that a negated expectation is about.
    fn original(&self, own: &Expectation) -> Option<&Frozen> {
        let named = own.declaration.strip_suffix("_refuted").and_then(|name| self.frozen.get(name));
        let plain = |frozen: &&Frozen| frozen.target == own.target && !frozen.negated;
        named
            .or_else(|| self.frozen.values().find(plain))
            // A proof of the negation that lands again, e.g. repaired, finds the original gone and itself frozen.
            .or_else(|| self.frozen.get(&own.declaration).filter(|frozen| frozen.negated))
    }

    /// Records that `request` landed, with what Lean said of its declarations and of what else has changed.
    pub fn land(&mut self, request: &MergeRequest, facts: &[DeclarationFacts]) {
        let filled: Vec<Expectation> = request
            .expectations
            .iter()
            .map(|own| {
                let unfrozen = request.unfreeze.contains(&own.declaration);
                self.fill(own, unfrozen).unwrap_or_else(|_| own.clone())
            })
            .collect();
        for name in refuted(request) {
            if let Some(frozen) = self.frozen.remove(name) {
                self.leave(&frozen.module, name);
            }
        }
        for own in filled {
            let found = facts.iter().find(|facts| facts.name == own.declaration);
            let hash = match found {
                Some(facts) if own.statement_hash.is_empty() => facts.statement_hash.clone(),
                _ => own.statement_hash.clone(),
            };
            let before = self.frozen.get(&own.declaration);
            let module = found.map(|facts| facts.module.clone()).or_else(|| before.map(|b| b.module.clone()));
            let (Some(module), false) = (module, hash.is_empty()) else { continue };
            // The negation of a negation is never asked for: keep the hash that a refutation is compared with.
            let negation_hash = match (found, own.negated) {
                (_, true) => own.statement_hash.clone(),
                (Some(facts), false) => facts.negation_hash.clone(),
                (None, false) => before.map(|b| b.negation_hash.clone()).unwrap_or_default(),
            };
            self.enter(&own.declaration, &module);
            self.frozen.insert(
                own.declaration.clone(),
                Frozen {
                    target: own.target,
                    module,
                    statement_hash: hash,
                    negation_hash,
                    may_sorry: own.may_sorry,
                    proof: 0,
                    rests_on: Vec::new(),
                    negated: own.negated,
                    definition: own.definition,
                },
            );
        }
        for facts in facts.iter().filter(|facts| self.frozen.contains_key(&facts.name)).collect::<Vec<_>>() {
            self.enter(&facts.name, &facts.module);
            let Some(frozen) = self.frozen.get_mut(&facts.name) else { continue };
            frozen.module.clone_from(&facts.module);
            frozen.may_sorry = is_open(facts);
            frozen.proof = proof(facts);
            frozen.rests_on = inherited(facts).cloned().collect();
            if request.unfreeze.contains(&facts.name) {
                frozen.statement_hash.clone_from(&facts.statement_hash);
                frozen.negation_hash.clone_from(&facts.negation_hash);
            }
        }
    }

    /// Frozen declarations of some modules.
    fn declared_in<'a>(
        &'a self,
        modules: &BTreeSet<String>,
    ) -> impl Iterator<Item = (&'a String, &'a Frozen)> {
        let names = modules.iter().filter_map(|module| self.modules.get(module)).flatten();
        names.filter_map(|name| Some((name, self.frozen.get(name)?)))
    }

    /// The declaration lies in this module, wherever it lay before.
    fn enter(&mut self, name: &str, module: &str) {
        let before = self.frozen.get(name).map(|frozen| frozen.module.clone());
        if let Some(before) = before.filter(|before| before != module) {
            self.leave(&before, name);
        }
        match self.modules.get_mut(module) {
            Some(names) => drop(names.insert(name.to_owned())),
            None => drop(self.modules.insert(module.to_owned(), BTreeSet::from([name.to_owned()]))),
        }
    }

    fn leave(&mut self, module: &str, name: &str) {
        if let Some(names) = self.modules.get_mut(module) {
            names.remove(name);
        }
    }

    /// Whether Lean now says something of a frozen declaration that does not follow from what is known: another statement or
    /// proof, or `sorry` from elsewhere than from what its proof rested on when it landed and, where that has been proved
    /// since, from what those proofs rest on. `landing`: what lands now for targets of its own.
    pub fn is_news(&self, facts: &DeclarationFacts, landing: &BTreeMap<&str, &DeclarationFacts>) -> bool {
        let Some(frozen) = self.frozen.get(&facts.name) else { return false };
        frozen.statement_hash != facts.statement_hash
            || frozen.may_sorry != is_open(facts)
            || frozen.proof != proof(facts)
            || self.open_under(&frozen.rests_on, landing) != inherited(facts).map(String::as_str).collect()
    }

    /// Those of the names whose own proofs are open, and those under the proofs of the others.
    fn open_under<'a>(
        &'a self,
        names: &'a [String],
        landing: &BTreeMap<&str, &'a DeclarationFacts>,
    ) -> BTreeSet<&'a str> {
        let (mut open, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut todo: Vec<&str> = names.iter().map(String::as_str).collect();
        while let Some(name) = todo.pop() {
            if !seen.insert(name) {
                continue;
            }
            match (landing.get(name), self.frozen.get(name)) {
                (Some(facts), _) if is_open(facts) => {
                    open.insert(name);
                }
                (Some(facts), _) => todo.extend(inherited(facts).map(String::as_str)),
                (None, Some(frozen)) if frozen.may_sorry => {
                    open.insert(name);
                }
                (None, Some(frozen)) => todo.extend(frozen.rests_on.iter().map(String::as_str)),
                (None, None) => {} // refuted
            }
        }
        open
    }

    /// What is frozen of a declaration.
    pub fn get(&self, declaration: &str) -> Option<&Frozen> {
        self.frozen.get(declaration)
    }

    /// How many statements are frozen.
    pub fn len(&self) -> usize {
        self.frozen.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.frozen.is_empty()
    }
}

/// Statements whose negation lands in their place.
fn refuted(request: &MergeRequest) -> impl Iterator<Item = &str> {
    let negated = request.expectations.iter().filter(|own| own.negated);
    negated.filter_map(|own| own.declaration.strip_suffix("_refuted"))
}

/// Whether the declaration's own proof is `sorry`.
fn is_open(facts: &DeclarationFacts) -> bool {
    facts.sorry_from.contains(&facts.name)
}

/// Others whose `sorry` it rests on.
fn inherited(facts: &DeclarationFacts) -> impl Iterator<Item = &String> {
    facts.sorry_from.iter().filter(|name| **name != facts.name)
}

/// A digest of what the proof names.
fn proof(facts: &DeclarationFacts) -> u64 {
    name_hash(&facts.proof_constants.join("\n"))
}

impl Frozen {
    fn expectation(&self, declaration: &str) -> Expectation {
        Expectation {
            declaration: declaration.to_owned(),
            target: self.target.clone(),
            statement_hash: self.statement_hash.clone(),
            may_sorry: self.may_sorry,
            negated: self.negated,
            definition: self.definition,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(declaration: &str, may_sorry: bool) -> Expectation {
        Expectation {
            declaration: declaration.to_owned(),
            target: "t".to_owned(),
            may_sorry,
            ..Expectation::default()
        }
    }

    fn facts(name: &str) -> DeclarationFacts {
        DeclarationFacts {
            name: name.to_owned(),
            module: "N.A".to_owned(),
            statement_hash: format!("hash of {name}"),
            negation_hash: format!("negation of {name}"),
            ..DeclarationFacts::default()
        }
    }

    /// The same of a declaration whose proof rests on the `sorry` of others, or is one.
    fn open(name: &str, sorry_from: &[&str]) -> DeclarationFacts {
        let sorry_from = sorry_from.iter().map(|&from| from.to_owned()).collect();
        DeclarationFacts { sorry_from, uses_sorry: true, ..facts(name) }
    }

    fn modules() -> BTreeSet<String> {
        BTreeSet::from(["N.A".to_owned()])
    }

    fn request(expectations: Vec<Expectation>, unfreeze: &[&str]) -> MergeRequest {
        let unfreeze = unfreeze.iter().map(|&name| name.to_owned()).collect();
        MergeRequest { expectations, unfreeze, ..MergeRequest::default() }
    }

    #[test]
    fn a_statement_is_frozen_when_it_lands_and_a_proof_cannot_bend_it() {
        let modules = modules();
        let mut registry = Registry::default();
        let state = request(vec![own("t", true)], &[]);
        assert_eq!(registry.expectations(&modules, &[&state]).unwrap()[0].statement_hash, "");
        registry.land(&state, &[open("t", &["t"])]);
        let proof = request(vec![Expectation { statement_hash: "mine".to_owned(), ..own("t", false) }], &[]);
        let expected = registry.expectations(&modules, &[&proof]).unwrap();
        assert_eq!((expected[0].statement_hash.as_str(), expected[0].may_sorry), ("hash of t", false));
        registry.land(&proof, &[facts("t")]);
        // Whoever touches the module later must leave it proved.
        let other = request(vec![own("u", true)], &[]);
        let expected = registry.expectations(&modules, &[&other]).unwrap();
        assert_eq!(expected.len(), 2);
        assert!(!expected[0].may_sorry);
        assert!(!registry.expectations(&modules, &[&state]).unwrap()[0].may_sorry, "proved stays proved");
        assert_eq!(registry.expectations(&BTreeSet::new(), &[&other]).unwrap().len(), 1);
    }

    #[test]
    fn a_refutation_is_compared_with_the_frozen_negation_and_takes_its_place() {
        let modules = modules();
        let mut registry = Registry::default();
        let refutation = request(vec![Expectation { negated: true, ..own("t_refuted", false) }], &["t"]);
        let early = registry.expectations(&modules, &[&refutation]).unwrap_err();
        assert!(early.contains("has not landed"), "{early}");
        registry.land(&request(vec![own("t", true)], &[]), &[open("t", &["t"])]);
        let expected = registry.expectations(&modules, &[&refutation]).unwrap();
        assert_eq!(expected.len(), 1);
        assert_eq!(expected[0].statement_hash, "negation of t");
        registry.land(&refutation, &[facts("t_refuted")]);
        assert_eq!((registry.get("t"), registry.len()), (None, 1));
        let again = registry.expectations(&modules, &[&refutation]).unwrap();
        assert_eq!(again[0].statement_hash, "negation of t");
    }

    #[test]
    fn an_unfrozen_statement_may_change_and_is_frozen_anew() {
        let mut registry = Registry::default();
        registry.land(&request(vec![own("t", true)], &[]), &[open("t", &["t"])]);
        registry.land(&request(vec![own("above", true)], &[]), &[open("above", &["above"])]);
        let corrected = request(vec![own("t", true)], &["t", "above"]);
        let expected = registry.expectations(&modules(), &[&corrected]).unwrap();
        assert_eq!(expected.len(), 2, "what is above must still be there");
        assert!(expected.iter().all(|expected| expected.statement_hash.is_empty() && expected.may_sorry));
        let other = DeclarationFacts { statement_hash: "another".to_owned(), ..open("above", &["above"]) };
        assert!(registry.is_news(&other, &BTreeMap::new()));
        registry.land(&corrected, &[open("t", &["t"]), other]);
        assert_eq!(registry.get("above").unwrap().statement_hash, "another");
        assert_eq!(registry.expectations(&modules(), &[]).unwrap()[0].statement_hash, "another");
    }

    #[test]
    fn what_is_stated_and_not_proved_may_be_built_on_until_it_goes() {
        let mut registry = Registry::default();
        let stated = |registry: &Registry, requests: &[&MergeRequest]| registry.stated(&modules(), requests);
        let state = request(vec![own("low", true)], &[]);
        assert_eq!(stated(&registry, &[&state]), ["low"], "stated with it");
        registry.land(&state, &[open("low", &["low"])]);
        assert_eq!(stated(&registry, &[]), ["low"]);
        assert!(registry.stated(&BTreeSet::new(), &[]).is_empty(), "in a module that is not read");
        assert!(stated(&registry, &[&request(vec![own("low", false)], &[])]).is_empty(), "proved with it");
        let negated = request(vec![Expectation { negated: true, ..own("low_refuted", false) }], &["low"]);
        assert!(stated(&registry, &[&negated]).is_empty(), "refuted with it");
        // A statement that lands with its proof is never stated only, whatever was allowed.
        registry.land(&request(vec![own("whole", true)], &[]), &[facts("whole")]);
        assert_eq!(stated(&registry, &[]), ["low"]);
        assert!(!registry.expectations(&modules(), &[]).unwrap()[1].may_sorry);
    }

    #[test]
    fn a_proof_is_reopened_only_by_who_may_and_only_if_it_was() {
        let mut registry = Registry::default();
        registry.land(&request(vec![own("low", true)], &[]), &[open("low", &["low"])]);
        registry.land(&request(vec![own("top", false)], &[]), &[open("top", &["low"])]);
        let may_sorry = |registry: &Registry, request: &MergeRequest| {
            let expected = registry.expectations(&modules(), &[request]).unwrap();
            expected.iter().find(|expected| expected.declaration == "top").unwrap().may_sorry
        };
        let mut corrected = request(vec![own("low", true)], &["low"]);
        assert!(!may_sorry(&registry, &corrected));
        corrected.reopen = vec!["top".to_owned()];
        assert!(may_sorry(&registry, &corrected));
        assert_eq!(registry.stated(&modules(), &[&corrected]), ["low", "top"]);
        // It still holds: nothing is reopened, and nothing is news.
        let mut kept = registry.clone();
        assert!(!kept.is_news(&open("top", &["low"]), &BTreeMap::new()));
        kept.land(&corrected, &[open("low", &["low"])]);
        assert!(!may_sorry(&kept, &request(vec![own("low", false)], &[])));
        // It does not.
        assert!(registry.is_news(&open("top", &["top"]), &BTreeMap::new()));
        registry.land(&corrected, &[open("low", &["low"]), open("top", &["top"])]);
        assert_eq!(registry.stated(&modules(), &[]), ["low", "top"]);
    }

    #[test]
    fn news_is_what_does_not_follow_from_the_proofs_that_landed() {
        let mut registry = Registry::default();
        for name in ["deep", "low"] {
            registry.land(&request(vec![own(name, true)], &[]), &[open(name, &[name])]);
        }
        registry.land(&request(vec![own("top", false)], &[]), &[open("top", &["low"])]);
        let top = open("top", &["low"]);
        let nothing = BTreeMap::new();
        assert!(!registry.is_news(&top, &nothing) && registry.is_news(&facts("top"), &nothing));
        // `low` lands with a proof from `deep`: that `top` rests on `deep` now goes without saying, then and later.
        let proved = open("low", &["deep"]);
        let landing = BTreeMap::from([("low", &proved)]);
        assert!(!registry.is_news(&open("top", &["deep"]), &landing));
        registry.land(&request(vec![own("low", false)], &[]), std::slice::from_ref(&proved));
        assert!(!registry.is_news(&open("top", &["deep"]), &nothing) && registry.is_news(&top, &nothing));
        registry.land(&request(vec![own("deep", false)], &[]), &[facts("deep")]);
        assert!(!registry.is_news(&facts("top"), &nothing));
        assert!(registry.is_news(&open("top", &["other"]), &nothing));
        let another = DeclarationFacts { proof_constants: vec!["other".to_owned()], ..facts("top") };
        assert!(registry.is_news(&another, &nothing));
        assert!(!registry.is_news(&facts("helper"), &nothing), "only what is frozen");
    }
}
