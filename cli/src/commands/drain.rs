//! `atlas drain`: a host gives its partitions back and takes no more.

use std::collections::BTreeMap;
use std::time::Duration;

use atlas_bus::Held;
use serde_json::json;
use tokio::time::Instant;

use crate::args::{DrainArgs, Output};
use crate::attach::Attached;
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::format::plural;
use crate::print;

/// How often the leases are looked at.
const AGAIN: Duration = Duration::from_millis(250);

/// Drains a host, or lists the hosts.
pub async fn drain(args: &DrainArgs) -> Result<Exit> {
    let directory = Directory::find(&args.which.dir, args.which.name.as_deref())?;
    let attached = Attached::to(&directory).await?;
    let done = act(&attached, args).await;
    attached.close().await;
    done?;
    Ok(Exit::Done)
}

async fn act(attached: &Attached, args: &DrainArgs) -> Result<()> {
    let held = held(attached).await?;
    let Some(host) = &args.host else { return list(&held, args.output.output) };
    let mine = |held: &[Held]| held.iter().filter(|held| held.host == *host).count();
    let had = mine(&held);
    if !args.force && held.iter().all(|held| held.host == *host) && had > 0 {
        return Err(Failure::input(format!(
            "`{host}` is the only host of `{}`: drained, the run stands still",
            attached.run
        ))
        .hint("start another host first, or say --force"));
    }
    let heard = attached.bus.drain(&attached.run, host).await;
    if !heard.map_err(|e| Failure::fault(e.to_string()))? {
        let mut hosts: Vec<&str> = held.iter().map(|held| held.host.as_str()).collect();
        hosts.dedup();
        let failure = Failure::input(format!("no host of `{}` is called `{host}`", attached.run));
        return Err(if hosts.is_empty() {
            failure.hint("nobody works on the run now")
        } else {
            failure.hint(format!("its hosts: {}", hosts.join(", ")))
        });
    }
    let until = Instant::now() + args.timeout.get();
    let mut said = had;
    loop {
        let left = mine(&self::held(attached).await?);
        if left == 0 {
            break;
        }
        if Instant::now() > until {
            return Err(Failure::fault(format!("`{host}` still holds {}", plural(left, "partition"))).hint(
                "it lets model calls end; stop its process to have them dropped, and paid again elsewhere",
            ));
        }
        if left < said {
            said = left;
            print::error_line(format!("model calls are under way yet in {}", plural(left, "partition")));
        }
        tokio::time::sleep(AGAIN).await;
    }
    match args.output.output {
        Output::Json => print::json(&json!({ "host": host, "partitions": had })),
        Output::Text => {
            print::line(format!(
                "`{host}` has given back {} and takes no more; stop it when you like",
                plural(had, "partition")
            ));
            Ok(())
        }
    }
}

async fn held(attached: &Attached) -> Result<Vec<Held>> {
    let held = attached.bus.held(&attached.run).await;
    held.map_err(|e| Failure::fault(format!("cannot read who hosts `{}`: {e}", attached.run)))
}

fn list(held: &[Held], output: Output) -> Result<()> {
    if output == Output::Json {
        return print::json(&held);
    }
    let mut hosts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for held in held {
        *hosts.entry((&held.host, &held.kind)).or_default() += 1;
    }
    if hosts.is_empty() {
        print::line("nobody works on the run now");
        return Ok(());
    }
    let rows = hosts
        .into_iter()
        .map(|((host, kind), partitions)| vec![host.to_owned(), kind.to_owned(), partitions.to_string()])
        .collect();
    print::line(print::table(&["HOST", "ACTORS", "PARTITIONS"], rows, &[2]).trim_end());
    Ok(())
}
