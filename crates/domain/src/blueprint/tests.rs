use proptest::prelude::*;

use super::*;
use crate::TargetKind;

fn id(name: &str) -> TargetId {
    TargetId::new(name).unwrap()
}

fn target(name: &str, statement: &[&str], proof: &[&str]) -> Target {
    Target {
        id: id(name),
        kind: TargetKind::Theorem,
        chapter: "01".into(),
        title: String::new(),
        statement: format!("statement of {name}"),
        proof: String::new(),
        statement_depends_on: statement.iter().map(|d| id(d)).collect(),
        proof_depends_on: proof.iter().map(|d| id(d)).collect(),
        declaration: format!("N.{name}"),
        module: "N.One".into(),
        line: 7,
        source: "book.md".into(),
        parent: None,
    }
}

#[test]
fn a_cycle_is_refused_and_shown_as_a_path() {
    let errors = Blueprint::new(vec![
        target("even", &[], &[]),
        target("a", &["even"], &["b"]),
        target("b", &[], &["c"]),
        target("c", &["a"], &[]),
    ])
    .unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "targets depend on each other in a circle: a → b → c → a; remove one of these dependencies"
    );
}

#[test]
fn duplicates_and_unknown_references_are_all_reported_at_once() {
    let mut second = target("even", &["evn"], &["nowhere-near-anything"]);
    second.line = 40;
    let errors = Blueprint::new(vec![
        target("even", &[], &[]),
        second,
        target("odd", &["evne"], &["nowhere-near-anything"]),
    ])
    .unwrap_err();
    let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "the label `even` is used twice, at book.md:7 and at book.md:40; rename one of them",
            "book.md:7: `odd` depends on `evne`, which is no target; did you mean `even`?",
            "book.md:7: `odd` depends on `nowhere-near-anything`, which is no target; remove it or add that target",
        ]
    );
}

#[test]
fn work_becomes_possible_as_the_library_grows() {
    let mut b = Blueprint::new(vec![
        target("even", &[], &[]),
        target("lemma", &[], &[]),
        target("sum", &["even"], &["lemma"]),
    ])
    .unwrap();
    let (even, lemma, sum) = (b.find("even").unwrap(), b.find("lemma").unwrap(), b.find("sum").unwrap());
    assert!(b.can_state(even) && b.can_state(lemma) && !b.can_state(sum));
    assert_eq!(b.set_holding(even, Holding::Statement), [even, sum]);
    assert!(b.can_state(sum) && !b.can_prove(sum));
    b.set_holding(sum, Holding::Statement);
    assert!(!b.can_prove(sum), "its lemma is not stated");
    b.set_holding(lemma, Holding::Statement);
    assert!(b.can_prove(sum), "it does not wait for its lemma's proof");

    // Decomposed: the whole is proved from its parts as soon as they are stated.
    let parts =
        b.decompose(sum, vec![target("sum-1", &["even"], &[]), target("sum-2", &[], &["sum-1"])]).unwrap();
    assert!(!b.can_prove(sum));
    for part in &parts {
        b.set_holding(*part, Holding::Statement);
    }
    assert!(b.can_prove(sum));
    assert_eq!(b.target(parts[0]).parent, Some(id("sum")));

    // A refuted dependency blocks until the edge goes.
    b.set_holding(lemma, Holding::Negation);
    assert!(!b.can_prove(sum));
    b.unlink(sum, lemma);
    assert!(b.can_prove(sum));
}

#[test]
fn a_proof_is_certified_when_the_last_of_what_it_rests_on_is() {
    let mut b = Blueprint::new(vec![
        target("low", &[], &[]),
        target("unnamed", &[], &[]),
        target("mid", &[], &["low"]),
        target("top", &["mid"], &[]),
    ])
    .unwrap();
    let ix = |name: &str| b.find(name).unwrap();
    let (low, unnamed, mid, top) = (ix("low"), ix("unnamed"), ix("mid"), ix("top"));
    for target in [low, unnamed, mid, top] {
        b.set_holding(target, Holding::Statement);
    }
    // Proofs come from above; that of `mid` uses a lemma that the book does not name.
    b.set_holding(top, Holding::Whole);
    b.set_uses(top, vec![mid]);
    b.set_holding(mid, Holding::Whole);
    b.set_uses(mid, vec![unnamed, mid]);
    assert_eq!((b.uses(mid), b.users(unnamed)), (&[unnamed][..], &[mid][..]));
    b.set_holding(low, Holding::Whole);
    let standings = |b: &Blueprint| [low, unnamed, mid, top].map(|ix| b.standing(ix));
    use Standing::{Certified, Proved, Stated};
    assert_eq!(standings(&b), [Certified, Stated, Proved, Proved]);
    assert_eq!(b.open_below(mid), [unnamed]);
    let touched = b.set_holding(unnamed, Holding::Whole);
    assert_eq!(standings(&b), [Certified; 4]);
    assert!(touched.contains(&top), "{touched:?}");

    // A proof that is taken back takes back what rests on it, and no more.
    b.set_holding(unnamed, Holding::Statement);
    assert_eq!(standings(&b), [Certified, Stated, Proved, Proved]);
    b.set_uses(mid, vec![low]);
    assert_eq!(standings(&b), [Certified, Stated, Certified, Certified]);
}

#[test]
fn lean_knows_better_than_the_book_in_which_order_proofs_stand() {
    let mut b = Blueprint::new(vec![
        target("first", &[], &[]),
        target("second", &[], &["first"]),
        target("third", &[], &["second"]),
    ])
    .unwrap();
    let (first, second, third) =
        (b.find("first").unwrap(), b.find("second").unwrap(), b.find("third").unwrap());
    for target in [first, second, third] {
        b.set_holding(target, Holding::Statement);
    }
    b.set_holding(first, Holding::Whole);
    b.set_uses(first, vec![third]);
    assert_eq!(
        b.proof_edges(second).len() + b.proof_edges(third).len(),
        1,
        "one of the book's edges is dropped"
    );
    b.set_holding(second, Holding::Whole);
    b.set_holding(third, Holding::Whole);
    assert!([first, second, third].iter().all(|&ix| b.standing(ix) == Standing::Certified));
}

#[test]
fn a_decomposition_that_closes_a_circle_changes_nothing() {
    let mut b = Blueprint::new(vec![target("sum", &[], &[]), target("after", &[], &["sum"])]).unwrap();
    let sum = b.find("sum").unwrap();
    let errors = b.decompose(sum, vec![target("part", &[], &["after"])]).unwrap_err();
    assert!(errors[0].to_string().contains("circle"), "{errors:?}");
    assert_eq!(b.len(), 2);
    assert!(b.find("part").is_none() && b.parts(sum).is_empty());
}

#[test]
fn heights_count_the_work_that_waits() {
    let b = Blueprint::new(vec![target("a", &[], &[]), target("b", &["a"], &[]), target("c", &[], &["b"])])
        .unwrap();
    let h = |name: &str| {
        let ix = b.find(name).unwrap();
        (b.statement_height(ix), b.proof_height(ix))
    };
    // c: state, prove. b: prove, then c's proof. a: its proof, b's, c's.
    assert_eq!((h("c"), h("b"), h("a")), ((2, 1), (3, 2), (4, 3)));
}

proptest! {
    /// Counters and heights that were kept step by step equal those counted from nothing.
    #[test]
    fn increments_agree_with_counting_from_nothing(
        edges in proptest::collection::vec((0usize..30, 0usize..30, any::<bool>()), 0..90),
        steps in proptest::collection::vec((0usize..30, 0u8..6, 0usize..30), 0..80),
    ) {
        let mut targets: Vec<Target> = (0..30).map(|i| target(&format!("t{i}"), &[], &[])).collect();
        for (a, b, statement) in edges {
            let (low, high) = (a.min(b), a.max(b));
            if low == high { continue; }
            let to = id(&format!("t{low}"));
            if statement { targets[high].statement_depends_on.push(to) } else { targets[high].proof_depends_on.push(to) }
        }
        let mut b = Blueprint::new(targets.clone()).unwrap();
        let ids: Vec<TargetIx> = b.targets().map(|(ix, _)| ix).collect();
        let shown = |b: &Blueprint| -> Vec<_> {
            let of = |&ix| (b.standing(ix), b.open_below(ix), b.can_state(ix), b.can_prove(ix));
            ids.iter().map(of).collect()
        };
        for (i, what, j) in steps {
            let before = shown(&b);
            let touched = match what {
                5 => b.unlink(ids[i.max(j)], ids[i.min(j)]),
                // As Lean's order has it, uses go down.
                4 => b.set_uses(ids[i], if j < i { vec![ids[j], ids[j / 2]] } else { vec![] }),
                what => {
                    let holdings = [Holding::Nothing, Holding::Statement, Holding::Whole, Holding::Negation];
                    b.set_holding(ids[i], holdings[what as usize])
                }
            };
            for (at, (before, after)) in before.iter().zip(&shown(&b)).enumerate() {
                prop_assert!(before == after || touched.contains(&ids[at]), "t{} was {:?}, is {:?}", at, before, after);
            }
        }
        // In the order of the edges and uses, so that what lies below is known.
        let mut certified = [false; 30];
        for (i, &ix) in ids.iter().enumerate() {
            let below: Vec<TargetIx> =
                b.statement_edges(ix).iter().chain(b.proof_edges(ix)).chain(b.uses(ix)).copied().collect();
            certified[i] = b.holding(ix) == Holding::Whole && below.iter().all(|below| certified[below.index()]);
            prop_assert_eq!(b.standing(ix) == Standing::Certified, certified[i]);
            prop_assert!(below.iter().all(|below| certified[below.index()] != b.open_below(ix).contains(below)));
        }
        let order = b.in_dependency_order();
        prop_assert_eq!(order.len(), 30);
        for &ix in &ids {
            let (s, p) = (b.statement_edges(ix).to_vec(), b.proof_edges(ix).to_vec());
            let usable = |e: &TargetIx| b.holding(*e).is_usable();
            prop_assert_eq!(b.can_state(ix), s.iter().all(usable));
            prop_assert_eq!(b.can_prove(ix), usable(&ix) && s.iter().chain(&p).all(usable));
            let place = |ix: TargetIx| order.iter().position(|o| *o == ix);
            for edge in s.iter().chain(&p) {
                prop_assert!(place(*edge) < place(ix));
                prop_assert!(b.proof_height(*edge) > b.proof_height(ix));
                prop_assert!(b.statement_height(*edge) > b.proof_height(ix));
            }
        }
    }
}
