//! The bytes that are signed.
//!
//! Not the message's own: protobuf promises no canonical form (fields may come in any order, defaults may be left out or
//! written, unknown fields travel along), so two programs may encode one receipt differently, and a signature over what one
//! of them wrote would bind nothing that a reader of the fields sees. Not the file's either: a blank more would break it.
//!
//! Here every value says where it ends, and all are written in the message's order, always:
//!
//! ```text
//! receipt  = "atlas receipt, signed\n"  u64 version  text toolchain  text module  text source_sha256
//!            list(import) imports  text export_sha256  list(declaration) declarations  list(verdict) kernels
//!            list(text) allowed_axioms  text judge  u64 made_ms  text key
//! import       = text module  text export_sha256
//! declaration  = text name  text kind  text statement_hash  list(text) axioms  list(text) sorry_from
//! verdict      = text kernel  u64 declarations  u64 milliseconds
//! text     = u64 bytes  UTF-8            list(x) = u64 items  x …            u64: big-endian
//! ```
//!
//! So the bytes can be read back in one way only: two different receipts never share them. The first line keeps the
//! signature from meaning anything but a receipt, whatever else the key may sign one day. The key's name is signed too: a
//! signature cannot be claimed for another key.

use crate::receipt::Receipt;

const DOMAIN: &[u8] = b"atlas receipt, signed\n";

impl Receipt {
    /// What [`Receipt::signature`] is over: every field above it.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = Bytes(DOMAIN.to_vec());
        bytes.number(self.version.into());
        bytes.text(&self.toolchain);
        bytes.text(&self.module);
        bytes.text(&self.source_sha256);
        bytes.list(&self.imports, |bytes, import| {
            bytes.text(&import.module);
            bytes.text(&import.export_sha256);
        });
        bytes.text(&self.export_sha256);
        bytes.list(&self.declarations, |bytes, declaration| {
            bytes.text(&declaration.name);
            bytes.text(&declaration.kind);
            bytes.text(&declaration.statement_hash);
            bytes.list(&declaration.axioms, |bytes, axiom| bytes.text(axiom));
            bytes.list(&declaration.sorry_from, |bytes, name| bytes.text(name));
        });
        bytes.list(&self.kernels, |bytes, verdict| {
            bytes.text(&verdict.kernel);
            bytes.number(verdict.declarations.into());
            bytes.number(verdict.milliseconds.into());
        });
        bytes.list(&self.allowed_axioms, |bytes, axiom| bytes.text(axiom));
        bytes.text(&self.judge);
        bytes.number(self.made_ms);
        bytes.text(&self.key);
        bytes.0
    }
}

struct Bytes(Vec<u8>);

impl Bytes {
    fn number(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        // `usize` is at most 64 bits wide on every machine that Rust knows.
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.number(items.len() as u64);
        for one in items {
            item(self, one);
        }
    }
}
