//! The automation tier: tactics that are tried on a goal before an agent spends a token. Pure text in, candidates out; who
//! calls decides how to check them.

use std::ops::Range;

use atlas_proto::Diagnostic;

/// A region to be checked in which several tactics take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The region's text with the tactics in the place of `sorry`.
    pub region: String,
    /// The tactics in the order in which they are tried.
    pub tactics: Vec<String>,
}

/// What the message of the tactic that closed the goal begins with; its number in [`Candidate::tactics`] follows.
const MARK: &str = "atlas-automation ";

/// Candidates for a region that holds a statement proved by `sorry`; none when there is no such place.
///
/// `unfold` names definitions that `simp` and `grind` may unfold. Tactics that can use up the heartbeats (`grind`, induction)
/// are candidates apart: running out of heartbeats is not caught by `first`.
pub fn candidates(region: &str, unfold: &[&str]) -> Vec<Candidate> {
    let Some(place) = sorry(region) else { return Vec::new() };
    let [simp, simp_all, grind] = with_definitions(unfold);
    let mut cheap: Vec<String> = ["rfl", "decide", "omega", "simp"].map(str::to_owned).to_vec();
    cheap.extend([
        "intros; rfl".to_owned(),
        "intros; omega".to_owned(),
        simp_all.clone(),
        format!("intros; {simp_all}"),
    ]);
    if !unfold.is_empty() {
        cheap.push(simp);
        cheap.push(format!("unfold {} at *; omega", unfold.join(" ")));
    }
    cheap.push(format!("{simp_all}; omega"));
    let mut groups = vec![cheap, vec![grind.clone()]];
    let by_induction = |finish: &dyn Fn(&str) -> String| -> Vec<String> {
        variables(region.get(..place.start).unwrap_or_default())
            .iter()
            .map(|variable| finish(variable))
            .collect()
    };
    groups.push(by_induction(&|x| format!("induction {x} <;> {simp_all}")));
    groups.push(by_induction(&|x| format!("induction {x} <;> ({simp_all}; omega)")));
    groups.push(by_induction(&|x| format!("induction {x} <;> {grind}")));
    let groups = groups.into_iter().filter(|tactics| !tactics.is_empty());
    groups.map(|tactics| Candidate { region: put(region, &place, &first(&tactics)), tactics }).collect()
}

/// Candidates that prove `False` from the hypotheses of a statement proved by `sorry`: with one of them the statement says nothing. They say
/// so of every statement whose conclusion is `False` itself.
pub fn contradictions(region: &str, unfold: &[&str]) -> Vec<Candidate> {
    let Some(place) = sorry(region) else { return Vec::new() };
    let [_, simp_all, grind] = with_definitions(unfold);
    let cheap =
        ["contradiction".to_owned(), "omega".to_owned(), simp_all.clone(), format!("{simp_all}; omega")];
    let groups = [cheap.to_vec(), vec![grind]];
    groups
        .into_iter()
        .map(|tactics| {
            let tactics: Vec<String> = tactics.iter().map(|t| format!("intros; exfalso; {t}")).collect();
            Candidate { region: put(region, &place, &first(&tactics)), tactics }
        })
        .collect()
}

/// What the theorem of [`refutations`] is called, in the namespace that the region is in.
pub const REFUTATION: &str = "atlas_refutation";

/// Numbers at which a statement is tried to be refuted: for its first variables.
const TRIALS: [&[u8]; 13] =
    [&[0], &[1], &[2], &[3], &[4], &[0, 0], &[0, 1], &[1, 0], &[1, 1], &[1, 2], &[2, 1], &[2, 2], &[0, 1, 2]];

/// Candidates that prove, behind the statement of `declaration` in the region, its negation as a theorem [`REFUTATION`]. It must rest on no
/// `sorry`: the statement's own stands before it.
pub fn refutations(region: &str, declaration: &str, unfold: &[&str]) -> Vec<Candidate> {
    if sorry(region).is_none() {
        return Vec::new();
    }
    let [simp, _, grind] = with_definitions(unfold);
    let at = |finish: &dyn Fn(&str) -> String| -> Vec<String> {
        let spelled = |trial: &&[u8]| trial.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
        TRIALS.iter().map(spelled).map(|numbers| finish(&numbers)).collect()
    };
    let by_simp: Vec<String> = std::iter::once(simp.clone())
        .chain(at(&|x| format!("intro h; have h := @h {x}; {simp} at h")))
        .chain(at(&|x| format!("intro h; have h := @h {x}; {simp} at h; omega")))
        .collect();
    // Running out of recursion or heartbeats is not caught by `first`.
    let by_decide: Vec<String> = at(&|x| format!("intro h; exact absurd (@h {x}) (by decide)"));
    let by_grind = at(&|x| format!("intro h; have h := @h {x}; {grind}"));
    [by_simp, by_decide, by_grind]
        .into_iter()
        .map(|tactics| {
            let proof = first(&tactics);
            let region = format!(
                "{}\n\ntheorem {REFUTATION} : ¬ (type_of% @{declaration}) := {proof}\n",
                region.trim_end()
            );
            Candidate { region, tactics }
        })
        .collect()
}

/// `simp`, `simp_all` and `grind` with the definitions that they may unfold.
fn with_definitions(unfold: &[&str]) -> [String; 3] {
    let defs = if unfold.is_empty() { String::new() } else { format!(" [{}]", unfold.join(", ")) };
    ["simp", "simp_all", "grind"].map(|tactic| format!("{tactic}{defs}"))
}

/// The proof by the first of these that closes the goal, which tells its number.
fn first(tactics: &[String]) -> String {
    let tried: String = tactics
        .iter()
        .enumerate()
        .map(|(number, tactic)| format!("\n    | (({tactic}); done; trace \"{MARK}{number}\")"))
        .collect();
    format!("by\n  first{tried}")
}

/// The tactic that closed the goal, by what Lean reported of an accepted candidate.
pub fn winner<'a>(candidate: &'a Candidate, diagnostics: &[Diagnostic]) -> Option<&'a str> {
    let number = diagnostics.iter().find_map(|diagnostic| {
        let at = diagnostic.message.find(MARK)?;
        let digits: String =
            diagnostic.message.get(at + MARK.len()..)?.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    })?;
    candidate.tactics.get(number).map(String::as_str)
}

/// The region proved by one tactic.
pub fn settled(region: &str, tactic: &str) -> Option<String> {
    sorry(region).map(|place| put(region, &place, &format!("by\n  {}", tactic.replace("; ", "\n  "))))
}

/// Where the proof's `sorry` stands: `:= sorry`, `:= by sorry`, `:= by\n  sorry`; the range covers `by` too. Text in comments
/// does not count, and a region with several is left to agents.
fn sorry(region: &str) -> Option<Range<usize>> {
    let mut code = String::with_capacity(region.len());
    let mut depth = 0_u32;
    let mut rest = region;
    while let Some(c) = rest.chars().next() {
        let take = if rest.starts_with("/-") || rest.starts_with("-/") { 2 } else { c.len_utf8() };
        let (piece, after) = rest.split_at(take);
        depth += u32::from(piece == "/-");
        let line = depth == 0 && rest.starts_with("--");
        let length = if line { rest.find('\n').unwrap_or(rest.len()) } else { take };
        if depth > 0 || line {
            code.extend(std::iter::repeat_n(' ', length));
        } else {
            code.push_str(piece);
        }
        depth -= u32::from(piece == "-/" && depth > 0);
        rest = if line { rest.get(length..).unwrap_or_default() } else { after };
    }
    let at = code.find("sorry")?;
    if code.matches("sorry").count() > 1 || !code.get(at + "sorry".len()..)?.trim().is_empty() {
        return None;
    }
    let before = code.get(..at)?.trim_end();
    let start = before.strip_suffix("by").map_or(before.len(), |b| b.trim_end().len());
    code.get(..start)?.ends_with(":=").then_some(start..at + "sorry".len())
}

fn put(region: &str, place: &Range<usize>, proof: &str) -> String {
    let (before, after) =
        (region.get(..place.start).unwrap_or_default(), region.get(place.end..).unwrap_or_default());
    format!("{before} {proof}{after}")
}

/// Variables that induction can be tried on: explicit binders `(m n : T)` of the last declaration whose type is a data
/// type by its looks: it begins with a capital and is no equation. The last first, since recursion is mostly on the last.
fn variables(header: &str) -> Vec<String> {
    let from =
        ["theorem ", "lemma ", "example "].iter().filter_map(|word| header.rfind(word)).max().unwrap_or(0);
    let mut found = Vec::new();
    let mut rest = header.get(from..).unwrap_or_default();
    while let Some(open) = rest.find('(') {
        rest = rest.get(open + 1..).unwrap_or_default();
        let inner = rest.split([')', '(']).next().unwrap_or_default();
        if let Some((names, kind)) = inner.split_once(':') {
            let kind = kind.trim();
            let data = kind.starts_with(|c: char| c.is_uppercase())
                && !kind.contains(['=', '≤', '<', '∣', '→', '∧', '∨', '¬', '≠', '≥', '>', '+', '*']);
            let sort = kind.starts_with("Type") || kind.starts_with("Prop") || kind.starts_with("Sort");
            let names: Vec<&str> = names.split_whitespace().collect();
            let name = |n: &&str| n.starts_with(|c: char| c.is_alphabetic()) && !n.starts_with('h');
            if data && !sort && names.iter().all(name) {
                found.extend(names.into_iter().map(str::to_owned));
            }
        }
    }
    found.reverse();
    found.truncate(4);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: &str = "/-- a docstring with sorry -/\ntheorem sum_even (m n : Nat) (hm : Even m) (xs : List α) : Even (m + n) := by\n  sorry -- later\n";

    #[test]
    fn the_place_of_sorry_is_found_and_filled_with_what_is_tried() {
        let all = candidates(REGION, &["Even"]);
        assert_eq!(all.len(), 5);
        assert!(all[0].region.starts_with("/-- a docstring with sorry -/\ntheorem sum_even (m n : Nat) (hm : Even m) (xs : List α) : Even (m + n) := by\n  first\n    | ((rfl); done; trace \"atlas-automation 0\")"));
        assert!(all[0].region.ends_with(" -- later\n"));
        assert_eq!(
            all[2].tactics,
            [
                "induction xs <;> simp_all [Even]",
                "induction n <;> simp_all [Even]",
                "induction m <;> simp_all [Even]"
            ]
        );
        assert_eq!(settled(REGION, "intros; omega").unwrap().lines().nth(2), Some("  intros"));
        assert!(settled("theorem a : 1 = 1 := sorry", "rfl").unwrap().ends_with(":= by\n  rfl"));
    }

    #[test]
    fn the_winner_is_the_tactic_that_lean_reports() {
        let candidate = &candidates(REGION, &[])[0];
        let told = |message: &str| Diagnostic { message: message.to_owned(), ..Diagnostic::default() };
        assert_eq!(
            winner(candidate, &[told("unused variable"), told("atlas-automation 2\n")]),
            Some("omega")
        );
        assert_eq!(winner(candidate, &[]), None);
    }

    #[test]
    fn probes_assume_the_hypotheses_or_stand_behind_the_statement() {
        let contradictions = contradictions(REGION, &["Even"]);
        assert_eq!(contradictions.len(), 2);
        assert!(
            contradictions[0]
                .region
                .contains("| ((intros; exfalso; omega); done; trace \"atlas-automation 1\")")
        );
        let refutations = refutations(REGION, "N.sum_even", &["Even"]);
        assert!(refutations[1].region.starts_with(REGION.trim_end()));
        assert!(refutations[0].region.contains(
            "theorem atlas_refutation : ¬ (type_of% @N.sum_even) := by\n  first\n    | ((simp [Even]); done"
        ));
        assert!(super::contradictions("def f : Nat := 1", &[]).is_empty());
    }

    #[test]
    fn definitions_and_several_sorries_are_left_alone() {
        assert!(candidates("def f (n : Nat) : Nat := n", &[]).is_empty());
        assert!(candidates("theorem a : p ∧ q := ⟨sorry, sorry⟩", &[]).is_empty());
        assert!(candidates("theorem a : p := by\n  have := sorry\n  exact this", &[]).is_empty());
    }
}
