//! Systems on which hosts of the version before sessions may be at work.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use tokio::time::{Instant, sleep};

use crate::spec::missing;
use crate::{Bus, Error};

/// Where those hosts have their leases: a key for each partition, renewed for itself.
const BUCKET: &str = "KV_ATLAS_LEASES";
/// No lease is as small.
const CLOSED: i32 = 1;
/// How often it is looked whether they have run out.
const AGAIN: Duration = Duration::from_millis(200);

impl Bus {
    /// Shuts hosts of the version before sessions out, if this system has ever had any: closes the bucket in which they renew their
    /// leases, and waits until all have run out. From then on they hold nothing and take nothing, and say why in their logs; the bucket
    /// stays, closed: one that starts again refuses it. Returns where the sequence of the new bucket must begin, so that epochs
    /// go on growing.
    pub(crate) async fn close_former_leases(&self) -> Result<Option<u64>, Error> {
        let failed = |cause: crate::error::Cause| Error::failed(format!("close stream {BUCKET}"), cause);
        let found = match self.js().get_stream(BUCKET).await {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(error) if missing(&error) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        if found.max_message_size != CLOSED {
            // Nor does what runs out leave a mark, which would not fit either.
            let closed =
                Config { max_message_size: CLOSED, subject_delete_marker_ttl: None, ..found.clone() };
            self.js().update_stream(&closed).await.map_err(|error| failed(error.into()))?;
        }
        // A lease is given up at two thirds of its life and removed after all of it, counted from its last renewal: nobody has one that
        // the server has removed, or that was there a life ago.
        let over = Instant::now() + found.max_age;
        while self.former_leases().await? > 0 && Instant::now() < over {
            sleep(AGAIN).await;
        }
        let stream = self.js().get_stream(BUCKET).await.map_err(|error| failed(error.into()))?;
        Ok(Some(stream.cached_info().state.last_sequence + 1))
    }

    async fn former_leases(&self) -> Result<usize, Error> {
        let mut held = 0;
        self.read(BUCKET, "$KV.ATLAS_LEASES.>", |stored| {
            let free =
                ["KV-Operation", "Nats-Marker-Reason"].iter().any(|mark| stored.headers.get(*mark).is_some());
            held += usize::from(!free);
            Ok(())
        })
        .await?;
        Ok(held)
    }
}
