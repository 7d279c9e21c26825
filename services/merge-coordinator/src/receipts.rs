//! Receipts outside of the queue: whose signatures count, where they are stored, how they come to people.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use atlas_bus::Bus;
use atlas_judge::{Invalid, KeyError, KeyRing, RING_FILE, Receipt, RingKey, verify_signature};
use atlas_proto::{CheckReply, Outcome, merge_policy};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// Objects put into the store at once: those of a book's skeleton are thousands.
pub(crate) const STORED_AT_ONCE: usize = 32;

/// The public keys whose receipts count.
pub(crate) struct Keys {
    file: PathBuf,
    ring: Mutex<KeyRing>,
}

impl Keys {
    pub(crate) fn open(file: PathBuf) -> Result<Self, KeyError> {
        let ring = Mutex::new(KeyRing::read(&file)?);
        Ok(Self { file, ring })
    }

    /// The reply, or in its place the fault that one of its receipts does not hold.
    pub(crate) fn vouched(&self, reply: CheckReply) -> CheckReply {
        let wrong = reply.receipts.iter().find_map(|message| {
            let holds = match Receipt::from_message(message.clone()) {
                Ok(receipt) => self.verify(&receipt),
                Err(malformed) => Err(malformed.into()),
            };
            let why = holds.err()?;
            Some(format!("the verifier's receipt of {} does not hold: {why}", message.module))
        });
        let Some(fault) = wrong else { return reply };
        tracing::error!(id = reply.id, fault, "a verdict is not taken");
        CheckReply {
            id: reply.id,
            outcome: Outcome::EnvironmentFault.into(),
            fault,
            incidents: reply.incidents,
            toolchain: reply.toolchain,
            ..CheckReply::default()
        }
    }

    /// The keys that the ring's file has now.
    pub(crate) fn now(&self) -> Result<Vec<merge_policy::Key>, KeyError> {
        let now = KeyRing::read(&self.file)?;
        let key = |key: &RingKey| merge_policy::Key {
            id: key.public.id(),
            until_ms: key.until_ms.unwrap_or_default(),
        };
        let keys = now.keys().iter().map(key).collect();
        *self.ring.lock() = now;
        Ok(keys)
    }

    fn verify(&self, receipt: &Receipt) -> Result<(), Invalid> {
        let mut ring = self.ring.lock();
        match verify_signature(receipt, &ring) {
            // A verifier's key may have been rotated since.
            Err(unknown @ Invalid::UnknownKey { .. }) => match KeyRing::read(&self.file) {
                Ok(now) if now != *ring => {
                    *ring = now;
                    verify_signature(receipt, &ring)
                }
                _ => Err(unknown),
            },
            verified => verified,
        }
    }
}

/// Stores receipts by content; their digests, in order.
pub(crate) async fn store(bus: &Bus, receipts: &[atlas_proto::Receipt]) -> Result<Vec<String>, String> {
    let store = |message: atlas_proto::Receipt| async move {
        let module = message.module.clone();
        let file = Receipt::from_message(message).and_then(|receipt| receipt.to_json());
        let file = file.map_err(|error| format!("the receipt of {module}: {error}"))?;
        bus.put_receipt(Bytes::from(file)).await.map_err(|error| error.to_string())
    };
    futures::stream::iter(receipts.iter().cloned()).map(store).buffered(STORED_AT_ONCE).try_collect().await
}

/// Why receipts cannot be written out.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    /// One is not in the object store, or damaged there.
    #[error("the receipt of {module} cannot be had: {cause}")]
    Missing {
        /// The module.
        module: String,
        /// What is wrong.
        cause: String,
    },
    /// The keys cannot be read or written.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes the receipts of the modules of `main`, as [`MergeQueue::receipts`](crate::MergeQueue::receipts) names them, into
/// `folder`: `<module>.json` for each, and the public keys. What they replace goes: a receipt whose module has none any more would
/// tell of a library that is not there. With no receipts at all nothing is written.
///
/// # Errors
/// [`ReceiptsError`]; the next export goes on.
pub async fn export_receipts(
    bus: &Bus,
    receipts: &BTreeMap<String, String>,
    keys: &KeyRing,
    folder: &Path,
) -> Result<BTreeMap<String, Receipt>, ReceiptsError> {
    let mut exported = BTreeMap::new();
    let mut files = BTreeMap::new();
    for (module, sha256) in receipts {
        let missing = |cause: String| ReceiptsError::Missing { module: module.clone(), cause };
        let bytes = bus.receipt(sha256).await.map_err(|error| missing(error.to_string()))?;
        let receipt = Receipt::from_json(&bytes).map_err(|error| missing(error.to_string()))?;
        files.insert(format!("{module}.json"), bytes);
        exported.insert(module.clone(), receipt);
    }
    if exported.is_empty() && !folder.is_dir() {
        return Ok(exported);
    }
    let failed = |path: &Path, source| ReceiptsError::Write { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for entry in std::fs::read_dir(folder).map_err(|error| failed(folder, error))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Only receipts: what else somebody keeps there stays.
        let receipt = || std::fs::read(entry.path()).is_ok_and(|bytes| Receipt::from_json(&bytes).is_ok());
        if name.ends_with(".json") && !files.contains_key(&name) && receipt() {
            std::fs::remove_file(entry.path()).map_err(|error| failed(&entry.path(), error))?;
        }
    }
    for (name, bytes) in &files {
        let path = folder.join(name);
        let same = std::fs::read(&path).is_ok_and(|there| Sha256::digest(&there) == Sha256::digest(bytes));
        if !same {
            std::fs::write(&path, bytes).map_err(|error| failed(&path, error))?;
        }
    }
    keys.write(&folder.join(RING_FILE))?;
    Ok(exported)
}
