//! The statements that may not change any more.

use std::collections::{BTreeMap, BTreeSet};

use atlas_proto::{DeclarationFacts, Expectation, MergeRequest};

/// A landed declaration of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Its target.
    pub target: String,
    /// The module that declares it.
    pub module: String,
    /// Hash of its statement's closure as terms.
    pub statement_hash: String,
    /// The same of the statement's negation; empty when it is no proposition.
    pub negation_hash: String,
    /// It is stated, not proved.
    pub may_sorry: bool,
    /// It states the negation of its target's statement.
    pub negated: bool,
    /// Its value is part of the statement.
    pub definition: bool,
}

/// Frozen statements by declaration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    frozen: BTreeMap<String, Frozen>,
}

impl Registry {
    /// What must hold of a candidate that changes the modules in `check`: every frozen statement there, except what its
    /// submissions unfreeze, and what they say of their own targets.
    ///
    /// # Errors
    /// A submission refutes a statement that is not frozen: why, for its author.
    pub fn expectations(
        &self,
        check: &BTreeSet<String>,
        requests: &[&MergeRequest],
    ) -> Result<Vec<Expectation>, String> {
        let unfrozen: BTreeSet<&str> =
            requests.iter().flat_map(|request| &request.unfreeze).map(String::as_str).collect();
        let mut expected: BTreeMap<&str, Expectation> = self
            .frozen
            .iter()
            .filter(|(name, frozen)| check.contains(&frozen.module) && !unfrozen.contains(name.as_str()))
            .map(|(name, frozen)| (name.as_str(), frozen.expectation(name)))
            .collect();
        for request in requests {
            for name in &request.unfreeze {
                expected.remove(name.as_str());
            }
            for own in &request.expectations {
                let own_filled = self.fill(own, unfrozen.contains(own.declaration.as_str()))?;
                expected.insert(&own.declaration, own_filled);
            }
        }
        Ok(expected.into_values().collect())
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

    /// Records that `request` landed, with what Lean said of its declarations.
    pub fn land(&mut self, request: &MergeRequest, facts: &[DeclarationFacts]) {
        let filled: Vec<Expectation> = request
            .expectations
            .iter()
            .map(|own| {
                let unfrozen = request.unfreeze.contains(&own.declaration);
                self.fill(own, unfrozen).unwrap_or_else(|_| own.clone())
            })
            .collect();
        for name in &request.unfreeze {
            self.frozen.remove(name);
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
            self.frozen.insert(
                own.declaration.clone(),
                Frozen {
                    target: own.target,
                    module,
                    statement_hash: hash,
                    negation_hash,
                    may_sorry: own.may_sorry,
                    negated: own.negated,
                    definition: own.definition,
                },
            );
        }
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

    fn request(expectations: Vec<Expectation>, unfreeze: &[&str]) -> MergeRequest {
        let unfreeze = unfreeze.iter().map(|&name| name.to_owned()).collect();
        MergeRequest { expectations, unfreeze, ..MergeRequest::default() }
    }

    #[test]
    fn a_statement_is_frozen_when_it_lands_and_a_proof_cannot_bend_it() {
        let modules = BTreeSet::from(["N.A".to_owned()]);
        let mut registry = Registry::default();
        let state = request(vec![own("t", true)], &[]);
        assert_eq!(registry.expectations(&modules, &[&state]).unwrap()[0].statement_hash, "");
        registry.land(&state, &[facts("t")]);
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
        let modules = BTreeSet::from(["N.A".to_owned()]);
        let mut registry = Registry::default();
        let refutation = request(vec![Expectation { negated: true, ..own("t_refuted", false) }], &["t"]);
        let early = registry.expectations(&modules, &[&refutation]).unwrap_err();
        assert!(early.contains("has not landed"), "{early}");
        registry.land(&request(vec![own("t", true)], &[]), &[facts("t")]);
        let expected = registry.expectations(&modules, &[&refutation]).unwrap();
        assert_eq!(expected.len(), 1);
        assert_eq!(expected[0].statement_hash, "negation of t");
        registry.land(&refutation, &[facts("t_refuted")]);
        assert_eq!((registry.get("t"), registry.len()), (None, 1));
        let again = registry.expectations(&modules, &[&refutation]).unwrap();
        assert_eq!(again[0].statement_hash, "negation of t");
    }

    #[test]
    fn an_unfrozen_statement_may_change() {
        let modules = BTreeSet::from(["N.A".to_owned()]);
        let mut registry = Registry::default();
        registry.land(&request(vec![own("t", true)], &[]), &[facts("t")]);
        let corrected = request(vec![own("t", true)], &["t"]);
        assert_eq!(registry.expectations(&modules, &[&corrected]).unwrap()[0].statement_hash, "");
    }
}
