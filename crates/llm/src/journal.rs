//! Files that are only appended to: the call log and recordings.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Error;

/// A file that is only appended to. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Appended {
    path: Arc<Path>,
    file: Arc<Mutex<File>>,
}

impl Appended {
    /// Opens `path`, making it and its folder when they are not there.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |cause| Error::File { path: PathBuf::from(path), cause };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        Ok(Self { path: path.into(), file: Arc::new(Mutex::new(file)) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `text` in one write and waits until it is on the disk, so that a kill or a power cut leaves all of it or none.
    pub(crate) async fn append(&self, text: String) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || {
            let mut file = file.lock();
            file.write_all(text.as_bytes())?;
            file.sync_data()
        })
        .await
        .map_err(io::Error::other)?
    }
}
