//! The book beside the Lean.

use super::{Kind, Tag};

/// A definition that the book's statement depends on.
#[derive(Debug, Clone, Copy)]
pub struct Dependency<'a> {
    /// The book's label.
    pub id: &'a str,
    /// Its Lean name.
    pub declaration: &'a str,
}

/// The definitions among `dependencies` that a Lean statement does not speak of, at any depth: `constants` are the library constants
/// that it rests on.
pub fn unmentioned(dependencies: &[Dependency<'_>], constants: &[String]) -> Vec<Tag> {
    let speaks_of = |declaration: &str| {
        constants.iter().any(|constant| {
            // Constructors and projections stand for their type.
            constant.strip_prefix(declaration).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let missing = dependencies.iter().filter(|d| !d.declaration.is_empty() && !speaks_of(d.declaration));
    missing
        .map(|d| {
            let evidence = format!(
                "the book's statement depends on `{}`; the Lean statement speaks of `{}` at no depth",
                d.id, d.declaration
            );
            Tag::new(Kind::BookDependencyMissing, evidence)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_met_by_its_name_or_a_part_of_it_at_any_depth() {
        let dependencies = [
            Dependency { id: "even", declaration: "N.Even" },
            Dependency { id: "group", declaration: "N.Group" },
            Dependency { id: "odd", declaration: "N.Odd" },
        ];
        let constants = ["N.Evenly", "N.Group.mul", "N.Odd"].map(str::to_owned);
        let tags = unmentioned(&dependencies, &constants);
        assert_eq!(tags.len(), 1);
        assert!(tags[0].evidence.contains("`even`") && tags[0].evidence.contains("`N.Even`"), "{tags:?}");
    }
}
