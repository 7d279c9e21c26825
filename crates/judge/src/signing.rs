//! The private key: a file that only its owner reads, made on first use. It never leaves the machine, let alone travels on
//! the bus.

use std::fmt;
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use rand::TryRngCore as _;

use crate::receipt::{Malformed, Receipt};
use crate::ring::{KeyRing, PublicKey, RING_FILE};

/// The private key in its folder: PKCS#8 as PEM, as `openssl genpkey -algorithm ed25519` writes it. Mode 0600.
pub const SIGNING_FILE: &str = "signing-key.pem";
/// More than such a file ever has.
const MOST_BYTES: u64 = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or folder of keys cannot be used.
    #[error("cannot {what} {}: {source}", file.display())]
    Io {
        /// read, make, write.
        what: &'static str,
        /// Which.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A private key that others can read.
    #[error("the private key {} can be read by others (mode {mode:o}): take their rights away (`chmod 600`) and, if they may have used them, replace it", file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file of keys that cannot be understood.
    #[error("{} is damaged: {cause}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        cause: String,
    },
}

impl KeyError {
    pub(crate) fn io(what: &'static str, file: &Path, source: io::Error) -> Self {
        Self::Io { what, file: file.to_owned(), source }
    }
}

/// The key that signs.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

impl SigningKey {
    /// Opens the key of a folder: [`SIGNING_FILE`], made when it is not there, and beside it the ring of public keys,
    /// [`RING_FILE`], which is told of a key that is new to it. So a key is rotated by taking its file away.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open_or_make(folder: &Path, now_ms: u64) -> Result<Self, KeyError> {
        let file = folder.join(SIGNING_FILE);
        let key = match Self::read(&file) {
            Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Self::make(folder, &file)?
            }
            other => other?,
        };
        let ring_file = folder.join(RING_FILE);
        let mut ring = match KeyRing::read(&ring_file) {
            Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => KeyRing::default(),
            other => other?,
        };
        if ring.rotate(key.public(), now_ms) {
            ring.write(&ring_file)?;
        }
        Ok(key)
    }

    /// The key of these 32 secret bytes (RFC 8032, 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Its public key.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The receipt with this key's name and signature, in place of any that it had.
    pub fn sign(&self, mut receipt: Receipt) -> Receipt {
        receipt.key = self.public().id();
        receipt.signature = hex::encode(self.0.sign(&receipt.signed_bytes()).to_bytes());
        receipt
    }

    /// Signs a receipt that is on its way.
    ///
    /// # Errors
    /// [`Malformed`]: what cannot be a receipt is not signed.
    pub fn sign_message(&self, message: atlas_proto::Receipt) -> Result<atlas_proto::Receipt, Malformed> {
        self.sign(Receipt::unsigned(message)?).into_message()
    }

    fn read(file: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::io("read", file, source);
        let open = File::open(file).map_err(failed)?;
        let mode = open.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { file: file.to_owned(), mode });
        }
        let mut pem = String::new();
        open.take(MOST_BYTES).read_to_string(&mut pem).map_err(failed)?;
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&pem).map_err(|error| KeyError::Damaged {
            file: file.to_owned(),
            cause: format!("it is not an Ed25519 key in PKCS#8 PEM: {error}"),
        })?;
        Ok(Self(key))
    }

    /// Makes a key. Of several processes that do so at once, one's is used by all.
    fn make(folder: &Path, file: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::io("make", file, source);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let mut seed = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut seed).map_err(|error| failed(io::Error::other(error)))?;
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        // Without the public key, which OpenSSL does not read beside the private one.
        let pair = KeypairBytes { secret_key: seed, public_key: None };
        let pem =
            pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| failed(io::Error::other(error.to_string())))?;
        // A temporary file has mode 0600 from its first byte; it gets its name only when it is whole.
        let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        new.write_all(pem.as_bytes()).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
        match new.persist_noclobber(file) {
            Ok(_) => Ok(Self(key)),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Self::read(file),
            Err(error) => Err(failed(error.error)),
        }
    }
}

/// Writes a file that all may read by renaming a finished one into its place.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
    new.write_all(bytes)?;
    new.as_file().set_permissions(Permissions::from_mode(0o644))?;
    new.as_file().sync_all()?;
    new.persist(file).map(drop).map_err(|error| error.error)
}
