//! Objects: library files and receipts by content, manifests by commit, archives, and whatever else is large.

use std::sync::Arc;

use async_nats::jetstream::object_store::{ObjectInfo, ObjectMetadata};
use atlas_proto::Manifest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::{Bytes, BytesMut};
use prost::Message as _;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::spec::OBJECTS;
use crate::{Bus, Error};

/// Bytes of objects kept in memory.
const CACHE_BYTES: u64 = 128 << 20;
/// Objects expected there, to size the table.
const CACHE_OBJECTS: usize = 8192;
/// Bytes a message that an object is cut into.
const CHUNK: usize = 1 << 20;

/// Bytes of manifests kept in memory: those of the newest commits, which thousands of agents read at once.
const CACHE_MANIFESTS: u64 = 32 << 20;

/// Objects whose name says what they hold, so that they never change. Of many that want the same one, the first fetches or stores it.
#[derive(Clone)]
pub(crate) struct FileCache {
    files: Arc<Cache<String, Bytes, ByBytes>>,
    manifests: Arc<Cache<String, Arc<Manifest>, ByBytes>>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<String, Bytes> for ByBytes {
    fn weight(&self, name: &String, bytes: &Bytes) -> u64 {
        // Never 0: such an entry would never be evicted.
        (name.len() + bytes.len() + 64) as u64
    }
}

/// The stream that the store is.
fn stream() -> String {
    format!("OBJ_{OBJECTS}")
}

impl Weighter<String, Arc<Manifest>> for ByBytes {
    fn weight(&self, name: &String, manifest: &Arc<Manifest>) -> u64 {
        (name.len() + manifest.encoded_len() + 64) as u64
    }
}

impl FileCache {
    pub(crate) fn new() -> Self {
        Self {
            files: Arc::new(Cache::with_weighter(CACHE_OBJECTS, CACHE_BYTES, ByBytes)),
            manifests: Arc::new(Cache::with_weighter(CACHE_OBJECTS, CACHE_MANIFESTS, ByBytes)),
        }
    }
}

impl Bus {
    /// Stores a file under its content and returns its SHA-256 in hex. Storing it again costs nothing.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn put_file(&self, bytes: Bytes) -> Result<String, Error> {
        self.put_by_content("file", bytes).await
    }

    /// The file with this SHA-256 (hex).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Corrupt`] when the stored bytes have another digest.
    pub async fn file(&self, sha256: &str) -> Result<Bytes, Error> {
        self.by_content("file", sha256).await
    }

    /// Stores the file of a receipt under its content and returns its SHA-256 in hex. Storing it again costs nothing.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn put_receipt(&self, bytes: Bytes) -> Result<String, Error> {
        self.put_by_content("receipt", bytes).await
    }

    /// The file of the receipt with this SHA-256 (hex).
    ///
    /// # Errors
    /// As [`Bus::file`].
    pub async fn receipt(&self, sha256: &str) -> Result<Bytes, Error> {
        self.by_content("receipt", sha256).await
    }

    /// Stores the manifest of a commit.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        self.put_constant(format!("manifest/{}", manifest.commit), Bytes::from(manifest.encode_to_vec()))
            .await
    }

    /// The manifest of a commit (hex object id), its files in the order of their paths.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`].
    pub async fn manifest(&self, commit: &str) -> Result<Arc<Manifest>, Error> {
        let name = format!("manifest/{commit}");
        let fetched = async {
            let manifest = Manifest::decode(self.object(&name).await?);
            let corrupt =
                |error: prost::DecodeError| Error::Corrupt { what: name.clone(), cause: error.to_string() };
            let mut manifest = manifest.map_err(corrupt)?;
            manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(Arc::new(manifest))
        };
        self.files().manifests.get_or_insert_async(name.as_str(), fetched).await
    }

    /// Stores an object under a name of its own, in place of what was there.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn put_object(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let meta =
            ObjectMetadata { name: name.to_owned(), chunk_size: Some(CHUNK), ..ObjectMetadata::default() };
        let mut reader = bytes.as_ref();
        let stored = self.objects().await?.put(meta, &mut reader).await;
        stored.map(drop).map_err(|error| Error::failed(format!("store object {name}"), error))
    }

    /// The object of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Corrupt`] when parts of it are missing, or others than were stored.
    pub async fn object(&self, name: &str) -> Result<Bytes, Error> {
        let mut again = true;
        loop {
            match self.read_object(name).await {
                // Somebody stored it anew between our two looks: the second time both are of the new one.
                Err(Error::Corrupt { .. }) if again => again = false,
                other => return other,
            }
        }
    }

    async fn read_object(&self, name: &str) -> Result<Bytes, Error> {
        let Some(info) = self.object_info(name).await? else {
            return Err(Error::NotFound { what: name.to_owned() });
        };
        let mut bytes = BytesMut::with_capacity(info.size);
        // Not through the client's own reader, which creates a consumer for every object.
        self.read_whole(&stream(), &format!("$O.{OBJECTS}.C.{}", info.nuid), 0, |chunk| {
            bytes.extend_from_slice(&chunk.payload);
            Ok(())
        })
        .await?;
        if bytes.len() != info.size {
            let cause = format!("it has {} of {} bytes", bytes.len(), info.size);
            return Err(Error::Corrupt { what: format!("object {name}"), cause });
        }
        let digest = format!("SHA-256={}", URL_SAFE.encode(Sha256::digest(&bytes)));
        if info.digest.is_some_and(|stored| stored != digest) {
            let cause = "its bytes are not those that were stored".to_owned();
            return Err(Error::Corrupt { what: format!("object {name}"), cause });
        }
        Ok(bytes.freeze())
    }

    /// What is known of an object that is there. From the leader: what another service has just stored is found.
    async fn object_info(&self, name: &str) -> Result<Option<ObjectInfo>, Error> {
        let subject = format!("$O.{OBJECTS}.M.{}", URL_SAFE.encode(name));
        let Some(last) = self.last(&stream(), &subject).await? else { return Ok(None) };
        let info: ObjectInfo = serde_json::from_slice(&last.payload)
            .map_err(|error| Error::Corrupt { what: format!("object {name}"), cause: error.to_string() })?;
        Ok(Some(info).filter(|info| !info.deleted))
    }

    /// Stores an object that its name determines, unless it is there.
    async fn put_constant(&self, name: String, bytes: Bytes) -> Result<(), Error> {
        let Err(first) = self.files().files.get_value_or_guard_async(name.as_str()).await else {
            return Ok(());
        };
        if self.object_info(&name).await?.is_none() {
            self.put_object(&name, bytes.clone()).await?;
        }
        // Refused only when it was removed meanwhile: then the next one looks for itself.
        let _ = first.insert(bytes);
        Ok(())
    }

    async fn put_by_content(&self, kind: &str, bytes: Bytes) -> Result<String, Error> {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        self.put_constant(format!("{kind}/{sha256}"), bytes).await?;
        Ok(sha256)
    }

    async fn by_content(&self, kind: &str, sha256: &str) -> Result<Bytes, Error> {
        let name = format!("{kind}/{sha256}");
        let bytes = self.constant(&name).await?;
        let found = hex::encode(Sha256::digest(&bytes));
        if found != sha256 {
            self.files().files.remove(&name);
            return Err(Error::Corrupt { what: name, cause: format!("its SHA-256 is {found}") });
        }
        Ok(bytes)
    }

    async fn constant(&self, name: &str) -> Result<Bytes, Error> {
        self.files().files.get_or_insert_async(name, self.object(name)).await
    }
}
