//! Which modules a change concerns, and when two changes have nothing to do with each other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The modules that a candidate concerns; the generated root module is left out, it concerns everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Modules whose source differs from the base's.
    pub writes: BTreeSet<String>,
    /// Those and all that import them.
    pub check: BTreeSet<String>,
    /// `check` and all that it imports: what its verdict rests on.
    pub reads: BTreeSet<String>,
    /// What `writes` imports, directly or not, without those themselves.
    pub below: BTreeSet<String>,
}

impl Footprint {
    /// Whether each leaves alone what the other's verdict rests on, so that both verdicts hold of both changes together,
    /// in any order. The import graph makes this exact.
    pub fn commutes(&self, other: &Self) -> bool {
        disjoint(&self.writes, &other.reads) && disjoint(&other.writes, &self.reads)
    }
}

fn disjoint(few: &BTreeSet<String>, many: &BTreeSet<String>) -> bool {
    few.iter().all(|module| !many.contains(module))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(writes: &[&str], check: &[&str], reads: &[&str]) -> Footprint {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Footprint { writes: set(writes), check: set(check), reads: set(reads), ..Footprint::default() }
    }

    #[test]
    fn changes_commute_unless_one_writes_what_the_other_rests_on() {
        let a = footprint(&["A"], &["A", "C"], &["A", "B", "C"]);
        let b = footprint(&["B"], &["B", "C"], &["A", "B", "C"]);
        let d = footprint(&["D"], &["D"], &["D"]);
        assert!(!a.commutes(&b), "C imports both");
        assert!(a.commutes(&d) && d.commutes(&a));
        let imports_d = footprint(&["A"], &["A"], &["A", "D"]);
        assert!(!imports_d.commutes(&d) && !d.commutes(&imports_d), "a new import is seen from either side");
    }
}
