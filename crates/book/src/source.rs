//! Files of a book: read whole, within a size, as UTF-8.

use std::path::{Path, PathBuf};

use crate::Problem;

/// The largest file that is read, 50 MB. A larger one is no book's source but a mistake.
pub const MAX_BYTES: u64 = 50_000_000;

/// Reads a text file. The size is looked at before anything is read.
pub(crate) fn text(path: &Path) -> Result<String, Problem> {
    let size = std::fs::metadata(path)
        .map_err(|error| {
            Problem::new(path, 0, format!("cannot be read: {error}"), "check the path and its permissions")
        })?
        .len();
    if size > MAX_BYTES {
        return Err(Problem::new(
            path,
            0,
            format!("is {} MB large; at most {} MB are read", size / 1_000_000, MAX_BYTES / 1_000_000),
            "give the book's source text, split into chapters",
        ));
    }
    let bytes = std::fs::read(path).map_err(|error| {
        Problem::new(path, 0, format!("cannot be read: {error}"), "check the path and its permissions")
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => {
            Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text).replace("\r\n", "\n"))
        }
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let line = 1 + bytes.iter().take(good).filter(|&&byte| byte == b'\n').count();
            Err(Problem::new(
                path,
                u32::try_from(line).unwrap_or(u32::MAX),
                format!(
                    "is not UTF-8: byte 0x{:02x} at offset {good}",
                    bytes.get(good).copied().unwrap_or_default()
                ),
                format!(
                    "if it is Latin-1, convert it: iconv -f latin1 -t utf-8 {0} > {0}.utf8",
                    path.display()
                ),
            ))
        }
    }
}

/// The files of a folder with an extension, in name order.
pub(crate) fn list(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::new(folder, 0, format!("cannot be listed: {error}"), "give a folder that can be read")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
