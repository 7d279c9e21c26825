//! Exports of modules that the embedded Lean has elaborated and both kernels have accepted.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use atlas_lean::{Embedded, EmbeddedOptions, Toolchain as _};
use atlas_proto::Outcome;

use crate::common::{certify, image, library};

/// Texts in lean4export's format, in a cache of their own.
pub struct Exported {
    cache: tempfile::TempDir,
    digests: BTreeMap<String, String>,
}

impl Exported {
    /// Certifies modules: name, imports, body.
    pub fn of(modules: &[(&str, &[&str], &str)]) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions::at(&image(), cache.path());
        let reply = Embedded::with_options(&options).unwrap().check(&certify(library(modules)));
        assert_eq!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
        for receipt in &reply.receipts {
            let kernels: Vec<&str> = receipt.kernels.iter().map(|k| k.kernel.as_str()).collect();
            assert!(matches!(kernels[..], ["Lean", _]), "{kernels:?}");
            assert_eq!(receipt.kernels[0].declarations, receipt.kernels[1].declarations);
        }
        let digests = reply.receipts.into_iter().map(|r| (r.module, r.export_sha256)).collect();
        Self { cache, digests }
    }

    /// The export of a module.
    pub fn text(&self, module: &str) -> String {
        let digest = &self.digests[module];
        std::fs::read_to_string(self.cache.path().join(&digest[..2]).join(format!("{digest}.ndjson")))
            .unwrap()
    }
}
