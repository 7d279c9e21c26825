//! Dead letters: what nobody could take, kept with the reason.

use atlas_domain::{ActorId, RunId};
use atlas_proto::DeadLetter;
use bytes::Bytes;
use prost::Message as _;

use crate::connect::{header, trace_headers};
use crate::inbox::LETTER;
use crate::spec::DEAD;
use crate::{Bus, Error, subject};

/// Deliveries after which work is given up. A work-queue stream would keep it for ever.
pub(crate) const MAX_DELIVERIES: u64 = 10;

/// The header that names the actor a letter is for.
pub(crate) const ACTOR: &str = "Atlas-Actor";

impl Bus {
    /// Puts a dead letter down.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn bury(&self, letter: &DeadLetter) -> Result<(), Error> {
        tracing::error!(
            subject = letter.subject,
            actor = letter.actor,
            id = letter.id,
            reason = letter.reason,
            "dead letter"
        );
        let mut headers = trace_headers();
        // The same letter is buried once, also if its burial was not acknowledged in time.
        headers.insert(
            async_nats::header::NATS_MESSAGE_ID,
            format!("{}/{}/{}", letter.subject, letter.actor, letter.id),
        );
        let stored =
            self.store(subject::dead(&letter.subject), headers, Bytes::from(letter.encode_to_vec())).await;
        stored
            .map(drop)
            .map_err(|error| Error::failed(format!("bury {} of {}", letter.id, letter.subject), error))
    }

    /// Puts down that an effect of `actor` failed for good.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn bury_effect(&self, actor: &ActorId, key: &str, reason: &str) -> Result<(), Error> {
        let letter = DeadLetter {
            subject: subject::work(
                &actor.run,
                actor.kind.as_str(),
                actor.partition(self.partitions().await?),
            )?,
            actor: actor.id.clone(),
            id: key.to_owned(),
            reason: reason.to_owned(),
            deliveries: 0,
            time_ms: now_ms(),
            traceparent: atlas_telemetry::trace::current_traceparent(),
            payload: Vec::new(),
        };
        self.bury(&letter).await
    }

    /// The dead letters of a run, oldest first, by their numbers: sequences in the stream of dead letters.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Corrupt`].
    pub async fn dead_letters(&self, run: &RunId) -> Result<Vec<(u64, DeadLetter)>, Error> {
        let mut letters = Vec::new();
        self.read(DEAD, &format!("atlas.dead.{run}.>"), |stored| {
            let letter = DeadLetter::decode(stored.payload).map_err(|error| Error::Corrupt {
                what: format!("dead letter {}", stored.sequence),
                cause: error.to_string(),
            })?;
            letters.push((stored.sequence, letter));
            Ok(())
        })
        .await?;
        Ok(letters)
    }

    /// Sends what was buried as `number` to where it lay, as it was sent, and takes the dead letter away. Killed between the two, it is
    /// sent again by the next call: a letter acts once however often it comes, work may be done twice.
    ///
    /// # Errors
    /// [`Error::NothingToReplay`] of an effect, [`Error::Failed`].
    pub async fn replay_dead(&self, number: u64, letter: &DeadLetter) -> Result<(), Error> {
        if is_effect(letter) {
            return Err(Error::NothingToReplay { key: letter.id.clone() });
        }
        let mut headers = async_nats::HeaderMap::new();
        if !letter.traceparent.is_empty() {
            headers.insert(atlas_telemetry::trace::HEADER, letter.traceparent.as_str());
        }
        if !letter.actor.is_empty() {
            headers.insert(ACTOR, letter.actor.as_str());
            // Inboxes name a message `RECEIVER:LETTER`; the receiver knows the letter.
            let id = letter.id.split_once(':').map_or(letter.id.as_str(), |(_, id)| id);
            headers.insert(LETTER, id);
        }
        // Not the first id: within two minutes the server would take it for the message that was buried.
        headers.insert(async_nats::header::NATS_MESSAGE_ID, format!("{}#{number}", letter.id));
        let stored = self.store(letter.subject.clone(), headers, Bytes::from(letter.payload.clone())).await;
        stored.map_err(|error| Error::failed(format!("send {} to {}", letter.id, letter.subject), error))?;
        self.drop_dead(number).await
    }

    /// Takes a dead letter away for good.
    ///
    /// # Errors
    /// [`Error::Failed`], also when there is none of this number.
    pub async fn drop_dead(&self, number: u64) -> Result<(), Error> {
        let failed =
            |error: crate::error::Cause| Error::failed(format!("take dead letter {number} away"), error);
        let stream = self.js().get_stream_no_info(DEAD).await.map_err(|error| failed(error.into()))?;
        stream.delete_message(number).await.map(drop).map_err(|error| failed(error.into()))
    }

    /// Buries `message` and then takes it off its queue. Failing that, it is left to be delivered again.
    pub(crate) async fn bury_message(&self, message: &async_nats::jetstream::Message, reason: String) {
        let headers = message.headers.as_ref();
        let info = message.info().ok();
        let letter = DeadLetter {
            subject: message.subject.to_string(),
            actor: header(headers, ACTOR).to_owned(),
            id: message_id(message),
            reason,
            deliveries: info.map_or(0, |info| info.delivered.unsigned_abs()),
            time_ms: now_ms(),
            traceparent: header(headers, atlas_telemetry::trace::HEADER).to_owned(),
            payload: message.payload.to_vec(),
        };
        let done = match self.bury(&letter).await {
            Ok(()) => message.ack().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = done {
            tracing::warn!(id = letter.id, %error, "a dead letter could not be put down; it will come again");
        }
    }
}

/// Whether a dead letter tells of an effect of an actor, and not of a message that could be sent again: the actor's state asks for it
/// still, so it runs again when the actor is activated next.
pub fn is_effect(letter: &DeadLetter) -> bool {
    letter.payload.is_empty() && letter.deliveries == 0
}

/// The message's id; for one without, its place in the stream.
pub(crate) fn message_id(message: &async_nats::jetstream::Message) -> String {
    match header(message.headers.as_ref(), "Nats-Msg-Id") {
        "" => format!("sequence-{}", message.info().map_or(0, |info| info.stream_sequence)),
        id => id.to_owned(),
    }
}

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
