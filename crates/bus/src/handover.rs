//! Hosts ask each other for their share of the partitions, and hand them over.

use std::collections::BTreeMap;

use atlas_domain::{ActorKind, RunId};
use serde::{Deserialize, Serialize};

use crate::hosts::{Claim, Write};
use crate::{Bus, Error, Lease, subject};

/// What a host asks of the others of its kind. It may be lost, or come twice, or late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The session of the host that asks, which claims are to name.
    pub(crate) session: String,
    /// The host, for people to read.
    pub(crate) holder: String,
    /// How many partitions of whose.
    pub(crate) of: BTreeMap<String, u16>,
}

impl Bus {
    /// Asks for partitions. Nobody says whether they come: claims do.
    pub(crate) async fn ask(&self, run: &RunId, kind: ActorKind, ask: &Ask) -> Result<(), Error> {
        let subject = subject::shares(run, kind);
        let failed = |cause: crate::error::Cause| Error::failed(format!("ask for a share, {subject}"), cause);
        let payload = serde_json::to_vec(ask).map_err(|error| failed(error.into()))?;
        let sent = self.client().publish(subject.clone(), payload.into()).await;
        sent.map_err(|error| failed(error.into()))
    }

    /// Takes a partition that was handed over to this process by the claim at `revision`. `None`: that is not the claim any more.
    ///
    /// # Errors
    /// [`Error::Failed`] when the server cannot be asked.
    pub async fn accept(
        &self,
        run: &RunId,
        kind: ActorKind,
        partition: u16,
        revision: u64,
        holder: &str,
    ) -> Result<Option<Lease>, Error> {
        // What was heard is enough: the write says whether it is still so.
        self.claim(subject::lease(run, kind, partition), revision, holder).await
    }

    /// Gives a partition back that was handed over to this process by the claim at `revision`.
    ///
    /// # Errors
    /// [`Error::Failed`] when the server cannot be asked.
    pub async fn refuse(
        &self,
        run: &RunId,
        kind: ActorKind,
        partition: u16,
        revision: u64,
    ) -> Result<(), Error> {
        self.free(&subject::lease(run, kind, partition), revision).await
    }
}

impl Lease {
    /// Hands the partition over to the host that has asked for it: nobody else can take it, as long as that one lives.
    pub async fn hand_over(self, to: &Ask) {
        self.end(Write::Claim(Claim { session: to.session.clone(), holder: to.holder.clone() })).await;
    }
}
