//! A model that a program plays: benches need agents that think for nothing, in any number, at a pace that they set.

use std::fmt::Debug;

use futures::future::BoxFuture;

use crate::recorded::modelled;
use crate::{Answer, Call, Turn};

/// Says what a model says. Unlike a recording it holds no turns: it makes them up from the call.
pub trait Script: Debug + Send + Sync + 'static {
    /// The model's next turn, once it is due. The future is dropped when nobody waits for the answer any more.
    fn turn<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Turn>;
}

/// The script's answer, with usage as a provider that caches prompts would count it where the script does not say.
pub(crate) async fn ask(script: &dyn Script, call: &Call) -> Answer {
    let turn = script.turn(call).await;
    let said = turn.content.iter().map(|content| content.bytes() as u64).sum();
    let mut usage = turn.usage.unwrap_or_else(|| modelled(call, said));
    usage.model_calls = 1;
    Answer { content: turn.content, usage, stop: turn.stop, model: "scripted".to_owned() }
}
