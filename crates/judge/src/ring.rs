//! Public keys. One key signs at a time; those before it stay in the ring, so that what they signed can be verified for good.

use std::io;
use std::path::Path;

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::signing::{KeyError, replace};

/// The ring's file beside the private key, and beside exported receipts.
pub const RING_FILE: &str = "keys.json";
/// The format that is written, and the only one that is read.
const VERSION: u32 = 1;

/// An Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(pub(crate) VerifyingKey);

impl PublicKey {
    /// SHA-256 of its 32 bytes in hex: what [`Receipt::key`](crate::Receipt::key) names.
    pub fn id(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }

    /// Its 32 bytes in hex.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0.as_bytes())
    }

    /// # Errors
    /// What is wrong with it: not 32 bytes in hex, not a point of the curve, of small order.
    fn from_hex(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|error| format!("`{text}` is not 32 bytes in hex: {error}"))?;
        let key = VerifyingKey::from_bytes(&bytes)
            .map_err(|error| format!("`{text}` is no Ed25519 key: {error}"))?;
        // Under a key of small order one signature fits many messages.
        if key.is_weak() {
            return Err(format!("`{text}` is a weak Ed25519 key (of small order)"));
        }
        Ok(Self(key))
    }
}

/// A public key and the time in which it signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingKey {
    /// The key.
    pub public: PublicKey,
    /// When it came into use, milliseconds since 1970. For people: a verdict that was cached before may be signed with it.
    pub from_ms: u64,
    /// When it went out of use; receipts made later are not its own. `None`: it signs.
    pub until_ms: Option<u64>,
}

/// Public keys, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRing {
    keys: Vec<RingKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    algorithm: String,
    public_key: String,
    from_ms: u64,
    until_ms: Option<u64>,
}

const ALGORITHM: &str = "Ed25519";

impl KeyRing {
    /// All keys, the oldest first.
    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// The key of this id.
    pub fn get(&self, id: &str) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.public.id() == id)
    }

    /// Makes `public` the one that signs from now on: those that signed until now stay valid for what they signed. A key that
    /// signs already is left as it is; true: the ring has changed.
    pub fn rotate(&mut self, public: PublicKey, now_ms: u64) -> bool {
        if self.keys.last().is_some_and(|last| last.public == public && last.until_ms.is_none()) {
            return false;
        }
        // One that comes back signs again; its time is one span.
        let back = self.keys.iter().position(|key| key.public == public).map(|at| self.keys.remove(at));
        for key in &mut self.keys {
            key.until_ms.get_or_insert(now_ms);
        }
        let from_ms = back.map_or(now_ms, |key| key.from_ms);
        self.keys.push(RingKey { public, from_ms, until_ms: None });
        true
    }

    /// Reads a ring.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is not the JSON of a key ring: {error}"))?;
        if file.version != VERSION {
            return Err(format!("it has format {}, this atlas knows {VERSION}", file.version));
        }
        let mut ring = Self::default();
        for entry in file.keys {
            if entry.algorithm != ALGORITHM {
                return Err(format!(
                    "key `{}` is for `{}`, this atlas knows {ALGORITHM}",
                    entry.key, entry.algorithm
                ));
            }
            let public = PublicKey::from_hex(&entry.public_key)?;
            if public.id() != entry.key {
                return Err(format!(
                    "`{}` is not the SHA-256 of its public key, which is `{}`",
                    entry.key,
                    public.id()
                ));
            }
            if ring.get(&entry.key).is_some() {
                return Err(format!("key `{}` is there twice", entry.key));
            }
            ring.keys.push(RingKey { public, from_ms: entry.from_ms, until_ms: entry.until_ms });
        }
        Ok(ring)
    }

    /// The ring's file.
    ///
    /// # Errors
    /// When it cannot be JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let keys = self.keys.iter().map(|key| Entry {
            key: key.public.id(),
            algorithm: ALGORITHM.to_owned(),
            public_key: key.public.to_hex(),
            from_ms: key.from_ms,
            until_ms: key.until_ms,
        });
        let mut bytes = serde_json::to_vec_pretty(&File { version: VERSION, keys: keys.collect() })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a ring's file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(file: &Path) -> Result<Self, KeyError> {
        let bytes = std::fs::read(file).map_err(|source| KeyError::io("read", file, source))?;
        Self::from_json(&bytes).map_err(|cause| KeyError::Damaged { file: file.to_owned(), cause })
    }

    /// Writes a ring's file, as a whole.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn write(&self, file: &Path) -> Result<(), KeyError> {
        let bytes = self.to_json().map_err(|error| KeyError::io("write", file, io::Error::other(error)))?;
        replace(file, &bytes).map_err(|source| KeyError::io("write", file, source))
    }
}
