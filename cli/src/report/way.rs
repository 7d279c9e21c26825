//! How a target got where it is, told from its attempts: what the report says beside the state.

use atlas_domain::TargetState;
use serde::{Deserialize, Serialize};

use super::{Attempt, Target};

/// Something that happened on a target's way. A target may have several; each follows from [`Target::history`] alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The automation tier proved it: no model was asked for the proof.
    Automation,
    /// Its first prover's proof landed, and Lean found no error on the way.
    FirstTry,
    /// What landed, or was offered, was repaired first: Lean had found errors in the same attempt.
    Repaired,
    /// An attempt came to nothing and a later one, which knew of it, landed.
    TriedAgain,
    /// The mathematical reviewer refused a statement as not what the book says; another one is in the library.
    Unfaithful,
    /// A submission met another in the same lines: git could not merge them.
    Conflict,
    /// A submission that Lean had accepted alone broke the build together with what had landed meanwhile.
    BuildBreak,
    /// Triage made other targets of it first.
    Decomposed,
    /// It is one of those targets.
    Part,
    /// Triage sent its statement back although it was frozen.
    Corrected,
    /// The library holds the proof of its negation.
    Refuted,
    /// A person was asked.
    Escalated,
}

impl Way {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Automation => "proved by automation",
            Self::FirstTry => "proved at the first try",
            Self::Repaired => "repaired after Lean's errors",
            Self::TriedAgain => "tried again",
            Self::Unfaithful => "statement sent back as unfaithful",
            Self::Conflict => "textual conflict resolved",
            Self::BuildBreak => "build break resolved",
            Self::Decomposed => "decomposed",
            Self::Part => "part of another",
            Self::Corrected => "statement corrected",
            Self::Refuted => "refuted",
            Self::Escalated => "answered by a person",
        }
    }
}

/// The ways of a target, in the order of [`Way`].
pub fn ways(target: &Target) -> Vec<Way> {
    let history = &target.history;
    let is = |role: &'static str| move |attempt: &&Attempt| attempt.role == role;
    let ended = |outcome: &'static str| move |attempt: &&Attempt| attempt.outcome == outcome;
    let landed = |role| history.iter().filter(is(role)).any(|attempt| attempt.outcome == "landed");
    let refused = |kind: &str| {
        let prefix = format!("{kind}: ");
        let mut refused = history.iter().filter(ended("refused"));
        refused.any(|attempt| attempt.reasons.first().is_some_and(|reason| reason.starts_with(&prefix)))
    };
    let authored = |attempt: &&Attempt| matches!(attempt.role.as_str(), "formalizer" | "prover" | "fixer");
    let failed = history
        .iter()
        .filter(authored)
        .any(|attempt| matches!(attempt.outcome.as_str(), "gave-up" | "failed"));
    let first = history.iter().filter(is("prover")).find(|attempt| attempt.number == 1);
    let unfaithful = history.iter().filter(is("formalizer")).any(|attempt| attempt.outcome == "reviewed");
    let settled = target.state.is_final();
    let happened = [
        (Way::Automation, landed("automation")),
        (Way::FirstTry, first.is_some_and(|attempt| attempt.outcome == "landed" && attempt.rejected == 0)),
        (
            Way::Repaired,
            history.iter().filter(authored).any(|attempt| {
                attempt.rejected > 0 && matches!(attempt.outcome.as_str(), "landed" | "refused")
            }),
        ),
        (Way::TriedAgain, failed && settled),
        (Way::Unfaithful, unfaithful && target.stated),
        (Way::Conflict, refused("conflict") && settled),
        (Way::BuildBreak, refused("build") && settled),
        (Way::Decomposed, history.iter().any(|attempt| attempt.outcome == "decomposed")),
        (Way::Part, target.parent.is_some()),
        (Way::Corrected, history.iter().any(|attempt| attempt.outcome == "correct-statement")),
        (Way::Refuted, target.state == TargetState::Refuted),
        (Way::Escalated, target.escalation.as_ref().is_some_and(|escalation| escalation.reply.is_some())),
    ];
    happened.into_iter().filter(|(_, happened)| *happened).map(|(way, _)| way).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Escalation;

    fn attempt(role: &str, number: u32, outcome: &str, rejected: u32, reason: &str) -> Attempt {
        Attempt {
            role: role.into(),
            number,
            outcome: outcome.into(),
            rejected,
            reasons: if reason.is_empty() { Vec::new() } else { vec![reason.into()] },
            ..Attempt::default()
        }
    }

    fn certified(history: Vec<Attempt>) -> Target {
        Target { state: TargetState::Certified, stated: true, history, ..Target::default() }
    }

    #[test]
    fn a_proof_at_the_first_try_is_told_from_a_repaired_one_and_from_automation() {
        let stated = || attempt("formalizer", 1, "landed", 0, "");
        let gave_up = || attempt("automation", 1, "gave-up", 0, "none of 9 tactics closes the goal");
        let way = |proof: Attempt| ways(&certified(vec![stated(), gave_up(), proof]));
        assert_eq!(way(attempt("prover", 1, "landed", 0, "")), [Way::FirstTry]);
        assert_eq!(way(attempt("prover", 1, "landed", 2, "")), [Way::Repaired]);
        assert_eq!(way(attempt("automation", 2, "landed", 0, "")), [Way::Automation]);
        let second = vec![
            stated(),
            attempt("prover", 1, "gave-up", 1, "omega is lost"),
            attempt("prover", 2, "landed", 0, ""),
        ];
        assert_eq!(ways(&certified(second)), [Way::TriedAgain]);
    }

    #[test]
    fn refusals_of_reviewers_and_of_the_queue_are_told_apart_by_kind() {
        let met = |reason: &str| {
            ways(&certified(vec![
                attempt("formalizer", 1, "refused", 0, reason),
                attempt("fixer", 1, "landed", 0, ""),
            ]))
        };
        assert_eq!(met("conflict: N/A.lean: both sides changed line 6"), [Way::Conflict]);
        assert_eq!(met("build: N.A:9:0: `N.x` has already been declared"), [Way::BuildBreak]);
        assert_eq!(met("environment: no verifier answered"), []);
        let unfaithful = vec![
            attempt("formalizer", 1, "reviewed", 0, "the quantifiers are in the wrong order"),
            attempt("formalizer", 2, "landed", 0, ""),
        ];
        assert_eq!(ways(&certified(unfaithful.clone())), [Way::Unfaithful]);
        let open = Target { history: unfaithful[..1].to_vec(), ..Target::default() };
        assert_eq!(ways(&open), [], "nothing has come of it yet");
    }

    #[test]
    fn what_triage_and_people_decide_shows() {
        let mut target = certified(vec![attempt("triage", 1, "decomposed", 0, "into a, b: too long")]);
        target.parent = Some("whole".into());
        target.escalation = Some(Escalation { question: "Which?".into(), reply: None });
        assert_eq!(ways(&target), [Way::Decomposed, Way::Part], "nobody has answered");
        target.escalation = Some(Escalation { question: "Which?".into(), reply: Some("This.".into()) });
        assert_eq!(ways(&target), [Way::Decomposed, Way::Part, Way::Escalated]);
        target.state = TargetState::Refuted;
        target.history = vec![attempt("triage", 1, "correct-statement", 0, "zero")];
        assert_eq!(ways(&target), [Way::Part, Way::Corrected, Way::Refuted, Way::Escalated]);
    }
}
