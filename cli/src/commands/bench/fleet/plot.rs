//! What an agent takes by the number of agents, drawn: a small chart for each measure, as SVG.

use std::fmt::Write as _;

use super::figures::{Fleet, Phase, Place};

/// A chart's size and the space around it, in pixels.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 120.0;
const MARGIN: f64 = 46.0;
/// Charts side by side.
const COLUMNS: usize = 3;

/// A measure: its name, and its value for a fleet.
type Measure = (&'static str, fn(&Fleet) -> Option<f64>);

fn each(phase: &Phase, what: f64) -> f64 {
    what / phase.of.max(1) as f64
}

fn processor(phase: &Phase) -> f64 {
    each(phase, phase.used.cpu.iter().sum::<f64>() * 1e3)
}

const MEASURES: [Measure; 9] = [
    ("activated a second", |fleet| fleet.phase("activate").map(|phase| phase.of as f64 / phase.seconds)),
    ("messages to activate one", |fleet| {
        fleet.phase("activate").map(|phase| each(phase, phase.used.messages as f64))
    }),
    ("syncs to activate one", |fleet| {
        fleet.phase("activate").map(|phase| each(phase, phase.used.syncs as f64))
    }),
    ("turns a second", |fleet| fleet.phase("steady").map(|phase| phase.used.turns as f64 / phase.seconds)),
    ("syncs a turn", |fleet| {
        fleet.phase("steady").map(|phase| phase.used.syncs as f64 / phase.used.turns.max(1) as f64)
    }),
    ("processor ms to activate one", |fleet| fleet.phase("activate").map(processor)),
    ("runners' KB for a live one", |fleet| {
        let then = fleet.phase("steady")?.then;
        Some(fleet.each(then, fleet.agents.into(), |at| at.memory[Place::Runners as usize]) / 1e3)
    }),
    ("server's and planner's KB for it", |fleet| {
        let then = fleet.phase("steady")?.then;
        let both = |memory: [u64; 5]| memory[Place::Server as usize] + memory[Place::Planner as usize];
        Some(fleet.each(then, fleet.agents.into(), |at| both(at.memory)) / 1e3)
    }),
    ("KB on disk for an archived one", |fleet| {
        let then = fleet.phase("archive")?.then;
        Some(fleet.each(then, fleet.attempts, |at| at.disk) / 1e3)
    }),
];

/// All charts; agents are on a logarithmic axis, values begin at nought.
pub fn draw(fleets: &[Fleet]) -> String {
    let rows = MEASURES.len().div_ceil(COLUMNS);
    let (width, height) = (COLUMNS as f64 * (WIDTH + MARGIN), rows as f64 * (HEIGHT + MARGIN));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, (name, measure)) in MEASURES.iter().enumerate() {
        let (left, top) =
            ((at % COLUMNS) as f64 * (WIDTH + MARGIN), (at / COLUMNS) as f64 * (HEIGHT + MARGIN));
        let points: Vec<(f64, f64)> =
            fleets.iter().filter_map(|fleet| Some((f64::from(fleet.agents), measure(fleet)?))).collect();
        chart(&mut svg, left + MARGIN / 2.0, top + MARGIN / 2.0, name, &points);
    }
    svg + "</svg>\n"
}

fn chart(svg: &mut String, left: f64, top: f64, name: &str, points: &[(f64, f64)]) {
    let least = points.iter().map(|(x, _)| x.ln()).fold(f64::INFINITY, f64::min);
    let span = (points.iter().map(|(x, _)| x.ln()).fold(least, f64::max) - least).max(1.0);
    let most = points.iter().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max) * 1.2;
    let place = |(x, y): (f64, f64)| {
        (left + 12.0 + (x.ln() - least) / span * (WIDTH - 48.0), top + HEIGHT - y / most * (HEIGHT - 20.0))
    };
    // Writing to a String cannot fail.
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{top}\" font-weight=\"bold\">{name}</text>");
    let (base, right) = (top + HEIGHT, left + WIDTH - 24.0);
    let _ = writeln!(svg, "<path d=\"M{left} {base}H{right}\" stroke=\"#999\"/>");
    let line: Vec<String> =
        points.iter().map(|&point| place(point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#2563a8\" stroke-width=\"1.5\"/>",
        line.join(" ")
    );
    for &point in points {
        let (x, y) = place(point);
        let value = if point.1 < 10.0 { format!("{:.2}", point.1) } else { format!("{:.0}", point.1) };
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"#2563a8\"/>");
        let _ =
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>", y - 6.0);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{}</text>",
            base + 13.0,
            point.0
        );
    }
}
