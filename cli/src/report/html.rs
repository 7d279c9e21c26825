//! The report as one page: book and Lean side by side, each target's way, what it took.

use std::time::{Duration, UNIX_EPOCH};

use askama::Template;
use atlas_domain::{TargetState, Usage};
use atlas_merge_coordinator::Lapsed;

use super::{Attempt, Report, Tag, Target, TargetReceipt, lean, prose};
use crate::format::{commit, count, date, duration, percent, usd};
use crate::progress::STATES;

/// The page. All numbers are formatted here; the template only places them.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    heading: &'a str,
    lead: String,
    version: &'static str,
    css: &'static str,
    js: &'static str,
    bar_label: String,
    states: Vec<StateCount>,
    tiles: Vec<Tile>,
    chapters: Vec<ChapterView<'a>>,
    usage: Vec<UsageRow<'a>>,
    toolchain: &'a str,
    commit: String,
}

struct StateCount {
    name: &'static str,
    count: usize,
}

struct Tile {
    name: &'static str,
    value: String,
    note: String,
}

struct ChapterView<'a> {
    slug: &'a str,
    title: String,
    module: &'a str,
    settled: usize,
    targets: Vec<TargetView<'a>>,
}

struct TargetView<'a> {
    id: &'a str,
    name: &'a str,
    kind: &'a str,
    state: &'static str,
    place: String,
    statement: String,
    proof: String,
    declaration: &'a str,
    module: &'a str,
    lean: String,
    reason_label: &'static str,
    reason: &'a str,
    question: &'a str,
    reply: &'a str,
    tags: &'a [Tag],
    summary: String,
    ways: Vec<&'static str>,
    history: Vec<AttemptView<'a>>,
    commit: &'a str,
    receipt: Option<ReceiptView<'a>>,
    parent: &'a str,
    statement_needs: &'a [String],
    proof_needs: &'a [String],
}

struct ReceiptView<'a> {
    file: &'a str,
    hash: String,
    kernels: String,
    axioms: String,
    made: String,
}

struct AttemptView<'a> {
    role: &'a str,
    number: u32,
    outcome: String,
    commit: String,
    reasons: &'a [String],
    turns: u32,
    checks: String,
    tokens: String,
    cost: String,
}

struct UsageRow<'a> {
    role: &'a str,
    calls: String,
    input: String,
    read: String,
    written: String,
    output: String,
    cost: String,
}

/// The whole page.
pub fn page(report: &Report) -> String {
    let totals = report.totals;
    let states: Vec<StateCount> = STATES
        .iter()
        .map(|&state| StateCount {
            name: state.as_str(),
            count: report.targets.iter().filter(|target| target.state == state).count(),
        })
        .filter(|state| state.count > 0)
        .collect();
    let bar_label =
        states.iter().map(|state| format!("{} {}", state.count, state.name)).collect::<Vec<_>>().join(", ");
    let page = Page {
        heading: if report.title.is_empty() { &report.run } else { &report.title },
        lead: lead(report),
        version: env!("CARGO_PKG_VERSION"),
        css: include_str!("../../templates/report.css"),
        js: include_str!("../../templates/report.js"),
        bar_label,
        states,
        tiles: tiles(report),
        chapters: chapters(report),
        usage: usage(report),
        toolchain: &report.toolchain,
        commit: commit(&report.library_commit),
    };
    // Rendering writes to memory and every value is a string: it cannot fail. Should that ever change,
    // the page says so instead of the run failing at its last step.
    debug_assert_eq!(totals.targets, report.targets.len() as u64);
    page.render()
        .unwrap_or_else(|e| format!("<!doctype html><title>Report</title><p>The page could not be made: {e}"))
}

fn lead(report: &Report) -> String {
    let totals = report.totals;
    let mut lead =
        format!("Run {}: {} of {} targets certified", report.run, totals.certified, totals.targets);
    if totals.refuted > 0 {
        lead.push_str(&format!(", {} refuted", totals.refuted));
    }
    if totals.open > 0 {
        lead.push_str(&format!(", {} open", totals.open));
    }
    lead.push('.');
    if report.open_incidents().next().is_some() {
        lead.push_str(" Two kernels contradict each other, and nothing lands until a person has looked: atlas incident list.");
    }
    for lapsed in &report.lapsed {
        let Lapsed { module, reason, .. } = lapsed;
        lead.push_str(&format!(" {module} is no longer certified under the present policy: {reason}."));
    }
    // Of a run that settled every target, the outcome says no more than the counts.
    if let Some(outcome) = report.outcome.as_deref().filter(|_| totals.open > 0) {
        let mut letters = outcome.chars();
        let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
        lead.push_str(&format!(" {first}{}", letters.as_str().trim_end_matches('.')));
        lead.push('.');
    }
    lead
}

fn tiles(report: &Report) -> Vec<Tile> {
    let totals = report.totals;
    let tile = |name, value: String, note: String| Tile { name, value, note };
    let of_targets = |n: u64| format!("{} of {}", percent(n, totals.targets), count(totals.targets));
    let mut tiles = vec![
        tile("Stated", count(totals.stated), of_targets(totals.stated)),
        tile("Proved", count(totals.proved), "statements with a proof of their own".into()),
        tile("Certified", count(totals.certified), of_targets(totals.certified)),
    ];
    if totals.refuted > 0 {
        tiles.push(tile("Refuted", count(totals.refuted), "negation proved".into()));
    }
    if totals.open > 0 {
        let note =
            if totals.escalated > 0 { format!("{} wait for you", totals.escalated) } else { String::new() };
        tiles.push(tile("Open", count(totals.open), note));
    }
    let budget = report.budget_usd.map_or_else(String::new, |limit| format!("of {}", usd(limit)));
    let budget_tokens = report.budget_tokens.map_or_else(String::new, |limit| format!("of {}", count(limit)));
    tiles.push(tile("Cost", usd(report.usage.cost_microdollars as f64 / 1e6), budget));
    tiles.push(tile("Tokens", count(report.usage.tokens()), budget_tokens));
    tiles.push(tile(
        "Checks by Lean",
        count(report.checks),
        format!("{} from cache", count(report.checks_cached)),
    ));
    tiles.push(tile(
        "Landings",
        count(report.landings),
        format!("{} with receipts", count(report.landings_with_receipts)),
    ));
    let receipts = &report.receipts;
    let again = receipts.renewing + receipts.undecided;
    if again + receipts.lapsed > 0 {
        let all = receipts.current + again + receipts.lapsed;
        let note = format!("{} no longer certified, {again} to be certified again", receipts.lapsed);
        tiles.push(tile("Receipts", format!("{} of {all} current", receipts.current), note));
    }
    tiles.push(tile(
        "Time",
        duration(report.elapsed_ms),
        format!("{} model calls", count(report.model_calls)),
    ));
    tiles
}

fn chapters(report: &Report) -> Vec<ChapterView<'_>> {
    let mut views: Vec<ChapterView<'_>> = report
        .chapters
        .iter()
        .map(|chapter| ChapterView {
            slug: &chapter.slug,
            title: if chapter.title.is_empty() { chapter.slug.clone() } else { chapter.title.clone() },
            module: &chapter.module,
            settled: 0,
            targets: Vec::new(),
        })
        .collect();
    for target in &report.targets {
        let at = views.iter().position(|view| view.slug == target.chapter).unwrap_or_else(|| {
            views.push(ChapterView {
                slug: &target.chapter,
                title: target.chapter.clone(),
                module: &target.module,
                settled: 0,
                targets: Vec::new(),
            });
            views.len() - 1
        });
        views[at].settled += usize::from(target.state.is_final());
        views[at].targets.push(view(target));
    }
    views.retain(|view| !view.targets.is_empty());
    views
}

fn view(target: &Target) -> TargetView<'_> {
    let escalation = target.escalation.as_ref();
    let reason_label = match target.state {
        TargetState::Refuted => "Refuted:",
        TargetState::Proved => "Proved, not certified:",
        TargetState::Escalated => "Waits for a person:",
        _ => "Note:",
    };
    TargetView {
        id: &target.id,
        name: if target.title.is_empty() { &target.id } else { &target.title },
        kind: &target.kind,
        state: target.state.as_str(),
        place: match (target.source.as_str(), target.line) {
            ("", _) => String::new(),
            (source, 0) => source.to_owned(),
            (source, line) => format!("{source}, line {line}"),
        },
        statement: prose::html(&target.statement),
        proof: if target.proof.is_empty() { String::new() } else { prose::html(&target.proof) },
        declaration: &target.declaration,
        module: &target.module,
        lean: lean::html(target.lean.trim_end()),
        reason_label,
        reason: target.reason.as_deref().unwrap_or_default(),
        question: escalation.map_or("", |e| e.question.as_str()),
        reply: escalation.and_then(|e| e.reply.as_deref()).unwrap_or_default(),
        tags: &target.tags,
        summary: summary(target),
        ways: target.ways.iter().map(|way| way.words()).collect(),
        history: target.history.iter().map(attempt).collect(),
        commit: target.landed_commit.as_deref().unwrap_or_default(),
        receipt: target.receipt.as_ref().map(receipt),
        parent: target.parent.as_deref().unwrap_or_default(),
        statement_needs: &target.statement_depends_on,
        proof_needs: &target.proof_depends_on,
    }
}

fn receipt(receipt: &TargetReceipt) -> ReceiptView<'_> {
    let made = UNIX_EPOCH.checked_add(Duration::from_millis(receipt.made_ms));
    ReceiptView {
        file: &receipt.file,
        hash: commit(&receipt.sha256),
        kernels: receipt.kernels.join(", "),
        axioms: if receipt.axioms.is_empty() { "no axioms".into() } else { receipt.axioms.join(", ") },
        made: made.map(date).unwrap_or_default(),
    }
}

fn summary(target: &Target) -> String {
    if target.attempts == 0 {
        return "no agent has worked on it".into();
    }
    let plural = if target.attempts == 1 { "attempt" } else { "attempts" };
    format!("{} {plural}, {} tokens, {}", target.attempts, count(target.tokens), usd(target.cost))
}

fn attempt(attempt: &Attempt) -> AttemptView<'_> {
    AttemptView {
        role: &attempt.role,
        number: attempt.number,
        outcome: attempt.outcome.replace(['_', '-'], " "),
        commit: attempt.commit.as_deref().map(commit).unwrap_or_default(),
        reasons: &attempt.reasons,
        turns: attempt.turns,
        checks: match attempt.rejected {
            0 => attempt.checks.to_string(),
            rejected => format!("{} ({rejected} with errors)", attempt.checks),
        },
        tokens: count(attempt.tokens),
        cost: usd(attempt.cost),
    }
}

fn usage(report: &Report) -> Vec<UsageRow<'_>> {
    let row = |role, usage: &Usage| UsageRow {
        role,
        calls: count(usage.model_calls),
        input: count(usage.input_tokens),
        read: count(usage.cache_read_tokens),
        written: count(usage.cache_write_tokens),
        output: count(usage.output_tokens),
        cost: usd(usage.cost_microdollars as f64 / 1e6),
    };
    let mut rows: Vec<_> =
        report.usage_by_role.iter().map(|(role, usage)| row(role.as_str(), usage)).collect();
    rows.push(row("all", &report.usage));
    rows
}
