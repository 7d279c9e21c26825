//! Draining: a host is told to give its partitions back and to take no more.

use atlas_domain::RunId;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::{Bus, Error, subject};

/// A partition and who holds its lease.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Held {
    /// The host, as it calls itself.
    pub host: String,
    /// Kind of the partition's actors.
    pub kind: String,
    /// The partition.
    pub partition: u16,
    /// Of the write that won the lease.
    pub revision: u64,
}

impl Bus {
    /// A token that is cancelled when `shutdown` is, or when somebody tells `host` to drain ([`Bus::drain`]). Call inside the tokio
    /// runtime.
    pub fn until_drained(&self, run: &RunId, host: &str, shutdown: &CancellationToken) -> CancellationToken {
        let over = shutdown.child_token();
        let (bus, subject, told) = (self.clone(), subject::drain(run, host), over.clone());
        tokio::spawn(async move {
            // The client subscribes again by itself after a lost connection.
            let mut orders = match bus.client().subscribe(subject.clone()).await {
                Ok(orders) => orders,
                Err(error) => {
                    tracing::warn!(subject, %error, "this host cannot be told to drain");
                    return;
                }
            };
            tokio::select! {
                order = orders.next() => {
                    let Some(order) = order else { return };
                    tracing::info!(subject, "told to drain");
                    told.cancel();
                    if let Some(reply) = order.reply {
                        // Who asks watches the leases; this only tells that somebody heard.
                        let _ = bus.client().publish(reply, Bytes::new()).await;
                    }
                }
                () = told.cancelled() => {}
            }
        });
        over
    }

    /// Tells `host` to give its partitions back and to take no more. False: nobody of this name listens. The leases tell when it is done
    /// ([`Bus::held`]).
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn drain(&self, run: &RunId, host: &str) -> Result<bool, Error> {
        let subject = subject::drain(run, host);
        match self.client().request(subject, Bytes::new()).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == async_nats::client::RequestErrorKind::NoResponders => Ok(false),
            Err(error) => Err(Error::failed(format!("tell {host} to drain"), error)),
        }
    }

    /// Who holds which partition of a run, by host. A hint, as every reading of a lease.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn held(&self, run: &RunId) -> Result<Vec<Held>, Error> {
        let mut claims = Vec::new();
        self.each_claim(run, None, |key, revision, claim| {
            claims.extend(claim.map(|claim| (key.to_owned(), revision, claim)));
        })
        .await?;
        let sessions = self.sessions().await?;
        let mut held = Vec::new();
        for (key, revision, claim) in claims {
            let mut parts = key.rsplit('.');
            let partition = parts.next().and_then(|part| part.parse().ok());
            if let (Some(partition), Some(kind), true) =
                (partition, parts.next(), sessions.contains(&claim.session))
            {
                held.push(Held { host: claim.holder, kind: kind.to_owned(), partition, revision });
            }
        }
        held.sort();
        Ok(held)
    }
}
