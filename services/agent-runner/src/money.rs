//! The run's ledger, as a paying agent meets it: reserve before a call, settle after it.

use std::time::Duration;

use atlas_bus::{Bus, RequestError};
use atlas_domain::Usage;
use atlas_proto::ledger_reply::Reply;
use atlas_proto::ledger_request::Request;
use atlas_proto::{LedgerReply, LedgerRequest, Task};

use crate::command::{Settlement, reservation};

/// How long the ledger may take: it writes to disk before it answers.
const DEADLINE: Duration = Duration::from_secs(15);

/// The ledger does not answer now.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted} with the ledger of run {run}: {cause}")]
pub struct LedgerUnavailable {
    attempted: String,
    run: String,
    cause: RequestError,
}

/// Reserves `estimate` for the call of a turn. Reserving the same call again is granted again and costs nothing.
///
/// # Errors
/// [`LedgerUnavailable`]. The inner error is the ledger's refusal, in its words.
pub async fn reserve(
    bus: &Bus,
    task: &Task,
    turn: u32,
    estimate: Usage,
) -> Result<Result<(), String>, LedgerUnavailable> {
    let reserve = reservation(task, turn, estimate);
    let attempted = format!("reserve {}", reserve.call);
    let reply = ask(bus, &task.run, Request::Reserve(reserve), &attempted).await?;
    Ok(match reply.reply {
        Some(Reply::Refused(why)) => Err(why),
        _ => Ok(()),
    })
}

/// Settles a call by what it used.
///
/// # Errors
/// [`LedgerUnavailable`].
pub async fn settle(bus: &Bus, run: &str, settlement: &Settlement) -> Result<(), LedgerUnavailable> {
    ask(bus, run, Request::Settle(settlement.message()), &format!("settle {}", settlement.call))
        .await
        .map(drop)
}

async fn ask(
    bus: &Bus,
    run: &str,
    request: Request,
    attempted: &str,
) -> Result<LedgerReply, LedgerUnavailable> {
    let question = LedgerRequest { request: Some(request) };
    bus.request(&format!("atlas.ledger.{run}"), &question, DEADLINE)
        .await
        .map_err(|cause| LedgerUnavailable { attempted: attempted.to_owned(), run: run.to_owned(), cause })
}
