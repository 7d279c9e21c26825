//! Snapshots of actors: a cache of what their journals say.

use atlas_domain::ActorId;
use atlas_proto::Snapshot;
use bytes::Bytes;
use prost::Message as _;

use crate::{Bus, Error};

impl Bus {
    /// Stores a snapshot in place of the actor's last one, which stays when this is interrupted.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn put_snapshot(&self, actor: &ActorId, snapshot: &Snapshot) -> Result<(), Error> {
        self.put_object(&name(actor), Bytes::from(snapshot.encode_to_vec())).await
    }

    /// The actor's last snapshot, if it has one. Whether it is one of the journal that there is, its reader finds out.
    ///
    /// # Errors
    /// [`Error::Failed`]; [`Error::Corrupt`] when it is damaged.
    pub async fn snapshot(&self, actor: &ActorId) -> Result<Option<Snapshot>, Error> {
        let name = name(actor);
        let bytes = match self.object(&name).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            read => read?,
        };
        let corrupt = |error: prost::DecodeError| Error::Corrupt { what: name, cause: error.to_string() };
        Snapshot::decode(bytes).map(Some).map_err(corrupt)
    }
}

fn name(actor: &ActorId) -> String {
    format!("snapshot/{actor}")
}
