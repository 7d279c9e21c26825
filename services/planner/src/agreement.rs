//! What extractors agree on, and how their findings become the targets of a run.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use atlas_domain::TargetKind;
use atlas_proto::{Chapter, Extracted, Target};
use serde::{Deserialize, Serialize};

/// A target as extractors found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub target: Target,
    /// Labels that other extractors gave it.
    pub aliases: Vec<String>,
    /// Extractors that found it.
    pub votes: usize,
}

/// Sorts what the extractors of one piece found into what all have and what only some have. A finding's words are the first
/// extractor's; it rests on what any of them saw it rest on, and has a proof if one of them saw one.
pub(crate) fn compare<'a>(
    found: impl ExactSizeIterator<Item = &'a Vec<Target>>,
) -> (Vec<Finding>, Vec<Finding>) {
    let extractors = found.len();
    let mut findings: Vec<Finding> = Vec::new();
    for extractor in found {
        let mut voted: BTreeSet<usize> = BTreeSet::new();
        for target in extractor {
            let same = findings.iter().position(|finding| is_same(&finding.target, target));
            match same {
                Some(at) => {
                    let finding = &mut findings[at];
                    if voted.insert(at) {
                        finding.votes += 1;
                    }
                    finding.aliases.push(target.id.clone());
                    finding.learn(target);
                }
                None => {
                    voted.insert(findings.len());
                    findings.push(Finding { target: target.clone(), aliases: Vec::new(), votes: 1 });
                }
            }
        }
    }
    findings.into_iter().partition(|finding| finding.votes == extractors)
}

impl Finding {
    /// Takes up what another extractor saw of the same target.
    fn learn(&mut self, other: &Target) {
        let own = &mut self.target;
        let more = |own: &mut Vec<String>, other: &[String]| {
            for reference in other {
                if !own.contains(reference) {
                    own.push(reference.clone());
                }
            }
        };
        more(&mut own.statement_depends_on, &other.statement_depends_on);
        more(&mut own.proof_depends_on, &other.proof_depends_on);
        if own.proof.is_empty() {
            own.proof.clone_from(&other.proof);
        }
    }
}

/// What the referee decided on, with the labels that it is known by.
pub(crate) fn settled(target: Target, disputed: &[Finding]) -> Finding {
    let aliases = disputed
        .iter()
        .filter(|finding| is_same(&finding.target, &target))
        .flat_map(|finding| finding.aliases.iter().chain([&finding.target.id]).cloned())
        .collect();
    Finding { target, aliases, votes: 1 }
}

/// True when two findings in one piece are one: by words, place or label.
fn is_same(a: &Target, b: &Target) -> bool {
    is_twin(a, b) || (a.kind == b.kind && label(a) == label(b))
}

/// True when two findings are one: by their words, or by line and kind. Labels that extractors of different pieces
/// make up say nothing.
fn is_twin(a: &Target, b: &Target) -> bool {
    let words = normalized(&a.statement);
    let same_words = !words.is_empty() && words == normalized(&b.statement);
    same_words || (a.kind == b.kind && a.line > 0 && a.line == b.line)
}

/// A statement's words without what typesetting and typing add: case, blanks, punctuation, dollar signs.
fn normalized(statement: &str) -> String {
    let mut words = String::with_capacity(statement.len());
    for c in statement.chars() {
        if c.is_alphanumeric() || "+-*/=<>^_|\\".contains(c) {
            words.extend(c.to_lowercase());
        }
    }
    words
}

fn label(target: &Target) -> String {
    atlas_book::label(&target.id)
}

/// The run's targets: duplicates of overlapping pieces merged, labels and names unique, references resolved.
/// A target can rest only on what stands before it, so no circle can arise.
pub(crate) fn targets<'a>(
    package: &str,
    chapters: &[Chapter],
    findings: impl Iterator<Item = (usize, &'a Finding)>,
) -> Extracted {
    let mut notes = Vec::new();
    let mut kept: Vec<(usize, Finding)> = Vec::new();
    for (chapter, finding) in findings {
        let twin =
            kept.iter_mut().find(|(other, twin)| *other == chapter && is_twin(&twin.target, &finding.target));
        match twin {
            Some((_, twin)) => {
                twin.aliases.extend(finding.aliases.iter().cloned());
                twin.aliases.push(finding.target.id.clone());
            }
            None => kept.push((chapter, finding.clone())),
        }
    }
    // Stable: what extractors gave no line for stays where it was found.
    kept.sort_by_key(|(chapter, finding)| (*chapter, finding.target.line));

    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut ids: Vec<String> = Vec::new();
    let mut by_alias: HashMap<String, usize> = HashMap::new();
    for (at, (_, finding)) in kept.iter().enumerate() {
        let id = unique(&or(label(&finding.target), "target"), "-", &mut taken);
        for alias in finding.aliases.iter().chain([&finding.target.id]) {
            by_alias.entry(atlas_book::label(alias)).or_insert(at);
        }
        ids.push(id);
    }
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut targets = Vec::new();
    for (at, (chapter, finding)) in kept.iter().enumerate() {
        let chapter = &chapters[*chapter];
        let mut resolve = |references: &[String]| {
            let mut resolved: BTreeMap<usize, String> = BTreeMap::new();
            for reference in references {
                match by_alias.get(&atlas_book::label(reference)) {
                    Some(&to) if to < at => {
                        resolved.insert(to, ids[to].clone());
                    }
                    Some(&to) if to == at => {}
                    Some(_) => notes
                        .push(format!("{}: left out `{reference}`, which comes later in the book", ids[at])),
                    None => notes.push(format!("{}: left out `{reference}`, which is no target", ids[at])),
                }
            }
            resolved.into_values().collect::<Vec<_>>()
        };
        let statement_depends_on = resolve(&finding.target.statement_depends_on);
        let mut proof_depends_on = resolve(&finding.target.proof_depends_on);
        proof_depends_on.retain(|id| !statement_depends_on.contains(id));
        let kind: TargetKind = finding.target.kind.parse().unwrap_or(TargetKind::Theorem);
        let name = format!("{package}.{}", atlas_book::declaration_name(kind, &ids[at]));
        targets.push(Target {
            id: ids[at].clone(),
            kind: kind.to_string(),
            chapter: chapter.slug.clone(),
            statement_depends_on,
            proof_depends_on,
            declaration: unique(&name, "_", &mut names),
            module: chapter.module.clone(),
            source: chapter.source.clone(),
            parent: String::new(),
            ..finding.target.clone()
        });
    }
    Extracted { targets, notes }
}

fn or(text: String, other: &str) -> String {
    if text.is_empty() { other.to_owned() } else { text }
}

fn unique(name: &str, joint: &str, taken: &mut BTreeSet<String>) -> String {
    let mut unique = name.to_owned();
    let mut number = 1;
    while !taken.insert(unique.clone()) {
        number += 1;
        unique = format!("{name}{joint}{number}");
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(id: &str, line: u32, statement: &str) -> Target {
        Target {
            id: id.into(),
            kind: "theorem".into(),
            line,
            statement: statement.into(),
            ..Target::default()
        }
    }

    #[test]
    fn extractors_agree_by_words_or_place_and_disagree_on_the_rest() {
        let found = [
            vec![
                target("even-sum", 10, "If $m$ and $n$ are even, $m+n$ is even."),
                target("odd", 20, "One is odd."),
            ],
            vec![target("thm-1", 11, "if m and n are even, m + n is even"), target("extra", 40, "A remark.")],
        ];
        let (agreed, disputed) = compare(found.iter());
        let ids = |f: &[Finding]| f.iter().map(|f| f.target.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&agreed), ["even-sum"]);
        assert_eq!(agreed[0].aliases, ["thm-1"]);
        assert_eq!(ids(&disputed), ["odd", "extra"]);
    }

    #[test]
    fn a_target_rests_on_what_any_extractor_saw_it_rest_on() {
        let one = Target {
            statement_depends_on: vec!["even".into()],
            proof_depends_on: vec!["halves".into()],
            ..target("sum", 10, "Sums of even numbers are even.")
        };
        let other = Target {
            statement_depends_on: vec!["number".into(), "even".into()],
            proof: "Add the halves.".into(),
            ..target("even-sum", 10, "The sum of even numbers.")
        };
        let (agreed, _) = compare([vec![one], vec![other]].iter());
        let sum = &agreed[0].target;
        assert_eq!((sum.id.as_str(), sum.statement.as_str()), ("sum", "Sums of even numbers are even."));
        assert_eq!(sum.statement_depends_on, ["even", "number"]);
        assert_eq!(
            (sum.proof_depends_on.as_slice(), sum.proof.as_str()),
            (&["halves".to_owned()][..], "Add the halves.")
        );
    }

    #[test]
    fn overlaps_are_merged_labels_made_unique_and_references_followed() {
        let chapter = Chapter {
            slug: "01-one".into(),
            module: "N.One".into(),
            source: "b.md".into(),
            ..Chapter::default()
        };
        let finding = |target: Target, alias: &str| Finding { target, aliases: vec![alias.into()], votes: 2 };
        let mut sum = target("sum", 30, "Sums.");
        sum.proof_depends_on = vec!["first-alias".into(), "sum".into(), "later".into(), "nowhere".into()];
        let findings = [
            finding(target("lemma", 10, "First."), "first-alias"),
            finding(sum, "x"),
            finding(target("lemma-again", 10, "First!"), "y"),
            finding(target("later", 50, "Later."), "z"),
            finding(target("later", 60, "Another."), "z"),
        ];
        let out = targets("N", &[chapter], findings.iter().map(|f| (0, f)));
        let ids: Vec<&str> = out.targets.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids, ["lemma", "sum", "later", "later-2"]);
        assert_eq!(out.targets[1].proof_depends_on, ["lemma"]);
        assert_eq!(out.targets[1].declaration, "N.sum");
        assert_eq!(
            out.notes,
            [
                "sum: left out `later`, which comes later in the book",
                "sum: left out `nowhere`, which is no target"
            ]
        );
    }
}
