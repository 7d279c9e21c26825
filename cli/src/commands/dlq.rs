//! `atlas dlq`: dead letters: what nobody could take, with the reason.

use std::time::{Duration, UNIX_EPOCH};

use atlas_bus::is_effect;
use atlas_proto::{DeadLetter, Letter};
use prost::Message as _;
use serde_json::json;

use crate::args::{DlqArgs, DlqCommand, DlqPickArgs, Output};
use crate::attach::Attached;
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::format::{date, plural};
use crate::print::{self, FAINT, STRONG, styled};

/// The longest reason that a row shows.
const WIDTH: usize = 70;

type Buried = (u64, DeadLetter);

/// Lists, shows, replays or drops dead letters.
pub async fn dlq(args: &DlqArgs) -> Result<Exit> {
    let directory = Directory::find(&args.which.dir, args.which.name.as_deref())?;
    let attached = Attached::to(&directory).await?;
    let done = act(&attached, args).await;
    attached.close().await;
    done?;
    Ok(Exit::Done)
}

async fn act(attached: &Attached, args: &DlqArgs) -> Result<()> {
    let letters =
        attached.bus.dead_letters(&attached.run).await.map_err(|e| {
            Failure::fault(format!("cannot read the dead letters of `{}`: {e}", attached.run))
        })?;
    let output = args.output.output;
    match &args.what {
        DlqCommand::List => list(&letters, output),
        DlqCommand::Show { number } => {
            let [(number, letter)] =
                picked(&letters, &DlqPickArgs { numbers: vec![*number], all: false })?[..]
            else {
                return Ok(());
            };
            show(*number, letter, output)
        }
        DlqCommand::Replay(which) => {
            let picked = picked(&letters, which)?;
            let (mut sent, mut left) = (Vec::new(), Vec::new());
            for (number, letter) in picked {
                match attached.bus.replay_dead(*number, letter).await {
                    Ok(()) => sent.push(*number),
                    Err(error) => left.push((*number, error.to_string())),
                }
            }
            told("sent again", &sent, &left, output)
        }
        DlqCommand::Drop(which) => {
            let picked = picked(&letters, which)?;
            let (mut dropped, mut left) = (Vec::new(), Vec::new());
            for (number, _) in picked {
                match attached.bus.drop_dead(*number).await {
                    Ok(()) => dropped.push(*number),
                    Err(error) => left.push((*number, error.to_string())),
                }
            }
            told("dropped", &dropped, &left, output)
        }
    }
}

/// The letters that were named; none unknown.
fn picked<'a>(letters: &'a [Buried], which: &DlqPickArgs) -> Result<Vec<&'a (u64, DeadLetter)>> {
    if which.all {
        return Ok(letters.iter().collect());
    }
    let find = |number: &u64| {
        letters.iter().find(|(known, _)| known == number).ok_or_else(|| {
            Failure::input(format!("there is no dead letter {number}"))
                .hint("`atlas dlq list` has their numbers")
        })
    };
    which.numbers.iter().map(find).collect()
}

fn told(what: &str, done: &[u64], left: &[(u64, String)], output: Output) -> Result<()> {
    if output == Output::Json {
        let left: Vec<_> =
            left.iter().map(|(number, why)| json!({ "number": number, "reason": why })).collect();
        print::json(&json!({ "done": done, "left": left }))?;
    } else if !done.is_empty() || left.is_empty() {
        print::line(format!("{} {what}", plural(done.len(), "dead letter")));
    }
    if left.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = left.iter().map(|(number, why)| format!("{number}: {why}")).collect();
    Err(Failure::input(format!("not {what}:\n{}", lines.join("\n"))))
}

fn list(letters: &[Buried], output: Output) -> Result<()> {
    if output == Output::Json {
        return print::json(&letters.iter().map(|(n, letter)| document(*n, letter)).collect::<Vec<_>>());
    }
    if letters.is_empty() {
        print::line("no dead letters");
        return Ok(());
    }
    let rows = letters
        .iter()
        .map(|(number, letter)| {
            let reason = letter.reason.lines().next().unwrap_or_default();
            vec![
                number.to_string(),
                if letter.actor.is_empty() { letter.subject.clone() } else { letter.actor.clone() },
                kind(letter),
                letter.deliveries.to_string(),
                reason.chars().take(WIDTH).collect(),
            ]
        })
        .collect();
    print::line(print::table(&["NUMBER", "FOR", "WHAT", "TRIED", "WHY"], rows, &[0, 3]).trim_end());
    print::line("\nlook at one with: atlas dlq show NUMBER; send it again: atlas dlq replay NUMBER");
    Ok(())
}

fn show(number: u64, letter: &DeadLetter, output: Output) -> Result<()> {
    if output == Output::Json {
        return print::json(&document(number, letter));
    }
    let field =
        |name: &str, value: String| print::line(format!("{}  {value}", styled(STRONG, format!("{name:<9}"))));
    field("number", number.to_string());
    field("subject", letter.subject.clone());
    if !letter.actor.is_empty() {
        field("for", letter.actor.clone());
    }
    field("id", letter.id.clone());
    field("buried", date(UNIX_EPOCH + Duration::from_millis(letter.time_ms)));
    field("tried", plural(usize::try_from(letter.deliveries).unwrap_or(usize::MAX), "time"));
    field("why", letter.reason.clone());
    if !letter.traceparent.is_empty() {
        field("trace", letter.traceparent.clone());
    }
    if is_effect(letter) {
        print::line(styled(FAINT, "an effect: it runs again when its actor is activated next"));
    } else {
        print::line(format!("\n{}", content(letter)));
    }
    Ok(())
}

/// What a dead letter is, in a word.
fn kind(letter: &DeadLetter) -> String {
    if is_effect(letter) {
        return format!("effect {}", letter.id);
    }
    if letter.actor.is_empty() { "work".into() } else { "letter".into() }
}

/// What was sent, as far as this program can read it.
fn content(letter: &DeadLetter) -> String {
    match Letter::decode(letter.payload.as_slice()) {
        Ok(read) if !letter.actor.is_empty() => format!("{read:#?}"),
        _ => format!(
            "{} bytes: {}",
            letter.payload.len(),
            hex::encode(&letter.payload[..letter.payload.len().min(256)])
        ),
    }
}

fn document(number: u64, letter: &DeadLetter) -> serde_json::Value {
    json!({
        "number": number, "subject": letter.subject, "actor": letter.actor, "id": letter.id, "kind": if is_effect(letter) { "effect" } else { "message" },
        "reason": letter.reason, "deliveries": letter.deliveries, "time_ms": letter.time_ms,
        "traceparent": letter.traceparent, "payload_hex": hex::encode(&letter.payload),
    })
}
