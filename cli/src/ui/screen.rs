//! What the full-screen view draws; a pure function of what is known.

use std::collections::VecDeque;

use atlas_domain::TargetState;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};

use crate::format::{duration, short, usd};
use crate::progress::{Progress, STATES};

/// All that one frame shows.
pub struct Screen<'a> {
    /// Where the run stands.
    pub progress: &'a Progress,
    /// Recent events with their time, oldest first.
    pub events: &'a VecDeque<(u64, String)>,
    /// Time left, estimated.
    pub left_ms: Option<u64>,
    /// Now.
    pub now_ms: u64,
}

/// From this width on, what each agent does stands beside the recent events.
const WIDE: u16 = 110;

/// Draws one frame. Without colours (`NO_COLOR`) the pattern of its cells tells a state.
pub fn draw(frame: &mut Frame<'_>, screen: &Screen<'_>) {
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let questions = &screen.progress.planner.escalations;
    let ask = if questions.is_empty() { 0 } else { 1 + 2 * questions.len().min(3) as u16 };
    let [head, bar, figures, roles, asks, events, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(4),
        Constraint::Length(5),
        Constraint::Length(1),
        Constraint::Length(ask),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(header(screen), head);
    targets(frame, bar, screen, colours);
    numbers(frame, figures, screen);
    frame.render_widget(Paragraph::new(row("roles", by_role(screen.progress))), roles);
    if ask > 0 {
        questions_box(frame, asks, screen, colours);
    }
    if events.width >= WIDE {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(45), Constraint::Percentage(55)]).areas(events);
        agents(frame, left, screen);
        recent(frame, right, screen);
    } else {
        recent(frame, events, screen);
    }
    let keys = " q leave this view, the run goes on   Ctrl-C stop softly, twice at once ";
    frame.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), foot);
}

/// Agents at work by role, most first.
fn by_role(progress: &Progress) -> String {
    let counts =
        if progress.agents.by_role.is_empty() { &progress.planner.agents } else { &progress.agents.by_role };
    let mut counts: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    counts.sort_by_key(|(role, count)| (std::cmp::Reverse(**count), *role));
    counts.iter().map(|(role, count)| format!("{count} {role}")).collect::<Vec<_>>().join(", ")
}

fn header<'a>(screen: &Screen<'a>) -> Paragraph<'a> {
    let planner = &screen.progress.planner;
    let since = if planner.started_ms == 0 { 0 } else { screen.now_ms.saturating_sub(planner.started_ms) };
    let name = if planner.run.is_empty() { "atlas" } else { &planner.run };
    let phase = if planner.phase.is_empty() { "starting" } else { &planner.phase };
    let mut text = vec![
        Span::styled(format!(" {name} "), Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)),
        Span::raw(format!("  {phase}, {}", duration(since))),
    ];
    if let Some(left) = screen.left_ms {
        text.push(Span::raw(format!(", about {} left", duration(left))));
    }
    Paragraph::new(Line::from(text))
}

/// Colour and cell of a state.
fn look(state: TargetState) -> (Color, char) {
    match state {
        TargetState::Certified => (Color::Green, '█'),
        TargetState::Refuted => (Color::Magenta, '▓'),
        TargetState::Proved => (Color::LightGreen, '▓'),
        TargetState::Proving => (Color::Blue, '▒'),
        TargetState::Stated => (Color::Cyan, '░'),
        TargetState::Stating => (Color::LightBlue, '╌'),
        TargetState::Escalated => (Color::Yellow, '?'),
        TargetState::Open => (Color::DarkGray, '·'),
    }
}

fn targets(frame: &mut Frame<'_>, area: Rect, screen: &Screen<'_>, colours: bool) {
    let counts = screen.progress.states();
    let all: u64 = counts.iter().sum();
    let block = Block::new().borders(Borders::TOP).title(format!(" {all} targets "));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let widths = shares(&counts, inner.width.into());
    let paint = |state| {
        let (colour, _) = look(state);
        if colours { Style::new().fg(colour) } else { Style::new() }
    };
    let bar: Line<'_> = STATES
        .iter()
        .zip(&widths)
        .map(|(&state, &width)| Span::styled(look(state).1.to_string().repeat(width), paint(state)))
        .collect();
    let keys: Line<'_> = STATES
        .iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .flat_map(|(&state, count)| {
            [
                Span::styled(format!("{} ", look(state).1), paint(state)),
                Span::raw(format!("{count} {state}   ")),
            ]
        })
        .collect();
    frame.render_widget(Paragraph::new(vec![bar.clone(), bar, keys]), inner);
}

/// `width` cells shared out by `counts`; whatever is there at all gets a cell.
fn shares(counts: &[u64], width: usize) -> Vec<usize> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return vec![0; counts.len()];
    }
    let mut widths: Vec<usize> = counts
        .iter()
        .map(|&count| if count == 0 { 0 } else { ((count as usize * width) / all as usize).max(1) })
        .collect();
    let used: usize = widths.iter().sum();
    if let Some(widest) = widths.iter_mut().max() {
        *widest = (*widest + width).saturating_sub(used);
    }
    widths
}

fn numbers(frame: &mut Frame<'_>, area: Rect, screen: &Screen<'_>) {
    let progress = screen.progress;
    let planner = &progress.planner;
    let usage = progress.usage();
    let of = |limit: u64, text: String| if limit == 0 { String::new() } else { format!(" of {text}") };
    let left = vec![
        row("agents", format!("{} at work", progress.active())),
        row(
            "checks",
            format!(
                "{} at {:.1}/s, {} from cache, {} waiting",
                short(progress.verifier.checks),
                progress.verifier.per_second,
                short(progress.verifier.cache_hits),
                progress.verifier.queue
            ),
        ),
        row(
            "landings",
            format!(
                "{}, {} refused, {} queued, {} building",
                progress.landings(),
                progress.refusals(),
                progress.merge.queue,
                progress.merge.verifying
            ),
        ),
    ];
    let right = vec![
        row(
            "money",
            usd(usage.cost_microdollars as f64 / 1e6)
                + &of(planner.budget.microdollars, usd(planner.budget.microdollars as f64 / 1e6)),
        ),
        row("tokens", short(usage.tokens()) + &of(planner.budget.tokens, short(planner.budget.tokens))),
        row("calls", format!("{} model calls", short(usage.model_calls))),
        row(
            "deadline",
            match planner.budget.deadline_ms {
                0 => "none".into(),
                at => format!("in {}", duration(at.saturating_sub(screen.now_ms))),
            },
        ),
    ];
    let [one, two] = Layout::horizontal([Constraint::Percentage(62), Constraint::Percentage(38)]).areas(area);
    frame.render_widget(
        Paragraph::new(left).block(Block::new().borders(Borders::TOP).title(" at work ")),
        one,
    );
    frame
        .render_widget(Paragraph::new(right).block(Block::new().borders(Borders::TOP).title(" spent ")), two);
}

fn row(name: &str, value: String) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("{name:<10}"), Style::new().add_modifier(Modifier::DIM)),
        Span::raw(value),
    ])
}

fn questions_box(frame: &mut Frame<'_>, area: Rect, screen: &Screen<'_>, colours: bool) {
    let style =
        if colours { Style::new().fg(Color::Yellow) } else { Style::new().add_modifier(Modifier::BOLD) };
    let incidents = screen.progress.merge.open_incidents().map(|incident| {
        [
            Line::from(format!("nothing lands: {}", incident.what)),
            Line::styled(format!("  atlas incident clear {} \"…\"", incident.id), style),
        ]
    });
    let escalations = screen.progress.planner.escalations.iter().map(|escalation| {
        [
            Line::from(format!("{}: {}", escalation.target, escalation.question)),
            Line::styled(format!("  atlas reply {} \"…\"", escalation.target), style),
        ]
    });
    let lines: Vec<Line<'_>> = incidents.chain(escalations).take(3).flatten().collect();
    let block = Block::new().borders(Borders::TOP).title(" questions to you ").title_style(style);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// What each agent does, the longest at work first.
fn agents(frame: &mut Frame<'_>, area: Rect, screen: &Screen<'_>) {
    let block = Block::new().borders(Borders::TOP).title(" agents ");
    let inner = block.inner(area);
    let name = (inner.width as usize).saturating_sub(30);
    let lines: Vec<Line<'_>> = (screen.progress.agents.running.iter())
        .take(inner.height as usize)
        .map(|agent| {
            Line::from(vec![
                Span::raw(format!("{:<name$.name$} ", agent.attempt)),
                Span::styled(
                    format!("turn {:<3} {}", agent.turn, agent.doing),
                    Style::new().add_modifier(Modifier::DIM),
                ),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// What happened lately, the newest at the bottom and always in view, however many rows the others take.
fn recent(frame: &mut Frame<'_>, area: Rect, screen: &Screen<'_>) {
    const AGO: usize = 16;
    /// Rows that one event takes at most.
    const ROWS: usize = 3;
    let block = Block::new().borders(Borders::TOP).title(" recent ");
    let inner = block.inner(area);
    let width = (inner.width as usize).saturating_sub(AGO).max(20);
    let mut rows: VecDeque<Line<'_>> = VecDeque::new();
    for (at, text) in screen.events.iter().rev() {
        let ago = duration(screen.now_ms.saturating_sub(*at)) + " ago";
        let event: Vec<Line<'_>> = wrapped(text, width, ROWS)
            .into_iter()
            .enumerate()
            .map(|(row, text)| {
                let ago = if row == 0 { ago.as_str() } else { "" };
                Line::from(vec![
                    Span::styled(
                        format!("{ago:>width$}  ", width = AGO - 2),
                        Style::new().add_modifier(Modifier::DIM),
                    ),
                    Span::raw(text),
                ])
            })
            .collect();
        if rows.len() + event.len() > inner.height as usize && !rows.is_empty() {
            break;
        }
        for line in event.into_iter().rev() {
            rows.push_front(line);
        }
    }
    frame.render_widget(Paragraph::new(Vec::from(rows)).block(block), area);
}

/// `text` in at most `most` rows of `width` characters, broken between words; what is left out is shown by `…`.
fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split_whitespace() {
        let mut length = rows.last().map_or(0, |row| row.chars().count());
        if length > 0 && length + 1 + word.chars().count() > width {
            if rows.len() == most {
                if let Some(row) = rows.last_mut() {
                    *row = row.chars().take(width.saturating_sub(2)).collect::<String>() + " …";
                }
                return rows;
            }
            rows.push(String::new());
            length = 0;
        }
        if let Some(row) = rows.last_mut() {
            row.push_str(if length > 0 { " " } else { "" });
            row.push_str(word);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use std::sync::Arc;

    use atlas_planner::{Budget, Escalation, Status, TargetStatus};

    #[test]
    fn a_run_at_work_fits_a_small_terminal() {
        let states = [
            (8, TargetState::Certified),
            (1, TargetState::Refuted),
            (2, TargetState::Proving),
            (1, TargetState::Escalated),
        ];
        let targets = states.iter().flat_map(|&(count, state)| {
            (0..count).map(move |_| Arc::new(TargetStatus { state, ..TargetStatus::default() }))
        });
        let mut progress = Progress::default();
        progress.planner = Status {
            run: "numbers".into(),
            phase: "working".into(),
            started_ms: 1_000,
            targets: targets.collect(),
            agents: [("prover".into(), 2)].into(),
            escalations: vec![Escalation { target: "perfect".into(), question: "Proper divisors?".into() }],
            landings: 17,
            budget: Budget { microdollars: 5_000_000, ..Budget::default() },
            ..Status::default()
        };
        progress.verifier.per_second = 3.5;
        let events: VecDeque<_> = [(60_000, "even-add: certified".to_owned())].into();
        let screen = Screen { progress: &progress, events: &events, left_ms: Some(90_000), now_ms: 61_000 };
        let mut terminal = Terminal::new(TestBackend::new(80, 22)).unwrap();
        terminal.draw(|frame| draw(frame, &screen)).unwrap();
        insta::assert_snapshot!(terminal.backend());
    }

    #[test]
    fn long_events_are_wrapped_and_the_newest_is_always_in_view() {
        let planner = Status { run: "numbers".into(), phase: "stopping".into(), ..Status::default() };
        let mut progress = Progress::default();
        progress.planner = planner;
        progress.agents.running = vec![atlas_agent_runner::Row {
            attempt: "even-add.mathematical-reviewer.1".into(),
            turn: 3,
            doing: "asks Lean: check".into(),
            ..atlas_agent_runner::Row::default()
        }];
        let events: VecDeque<_> = [
            (0, "first: stating".to_owned()),
            (1_000, "half.formalizer.1: failed: ".to_owned() + &"the answer was cut ".repeat(20)),
            (2_000, "stopping softly".to_owned()),
        ]
        .into();
        let screen = Screen { progress: &progress, events: &events, left_ms: None, now_ms: 3_000 };
        let mut terminal = Terminal::new(TestBackend::new(120, 18)).unwrap();
        terminal.draw(|frame| draw(frame, &screen)).unwrap();
        insta::assert_snapshot!(terminal.backend());
    }

    #[test]
    fn the_bar_is_full_and_shows_what_is_rare() {
        assert_eq!(shares(&[1, 0, 999], 50), [1, 0, 49]);
        assert_eq!(shares(&[0, 0], 10), [0, 0]);
        assert_eq!(shares(&[1, 1, 1], 10).iter().sum::<usize>(), 10);
    }
}
