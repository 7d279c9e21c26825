//! What a receipt says. Its file is JSON with the fields in the message's order; unknown fields are refused, so that nobody
//! reads into a receipt what its signature does not cover.

use atlas_proto as proto;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The format that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// The axioms that mathematics rests on in Lean: what a policy allows unless it says otherwise.
pub const AXIOMS: [&str; 3] = ["propext", "Classical.choice", "Quot.sound"];
/// Kernels that a certified verdict needs: two that were written apart, so that one mistake does not let a false proof in.
pub const KERNELS: usize = 2;
/// The axiom behind `sorry`: allowed of a declaration that says whose `sorry` it rests on.
pub const SORRY: &str = "sorryAx";

/// The record of one module's certified verdict. [`atlas_proto::Receipt`] is the same on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Of the format: [`VERSION`].
    pub version: u32,
    /// Lean's name and version.
    pub toolchain: String,
    /// Full module name.
    pub module: String,
    /// Of the module's source file; lower-case hex, as are all digests here.
    pub source_sha256: String,
    /// Library modules that it rests on, each with what was certified of it.
    pub imports: Vec<Import>,
    /// Of the module's declarations in lean4export's format, as the kernels had them.
    pub export_sha256: String,
    /// Those that a person would name.
    pub declarations: Vec<Certified>,
    /// All of them accepted every declaration.
    pub kernels: Vec<KernelVerdict>,
    /// Axioms that the judge allowed.
    pub allowed_axioms: Vec<String>,
    /// Name and version of the code that judged.
    pub judge: String,
    /// When it was judged, milliseconds since 1970. Verdicts are cached by content: one may be signed later than it was made.
    pub made_ms: u64,
    /// SHA-256 of the public key.
    pub key: String,
    /// Ed25519 (RFC 8032) over [`Receipt::signed_bytes`], 64 bytes in hex.
    pub signature: String,
}

/// A module below.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Full module name.
    pub module: String,
    /// `export_sha256` of its own receipt.
    pub export_sha256: String,
}

/// A declaration that the kernels accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certified {
    /// Full Lean name.
    pub name: String,
    /// theorem, def, inductive, …
    pub kind: String,
    /// Of the statement's whole closure as terms.
    pub statement_hash: String,
    /// That it rests on.
    pub axioms: Vec<String>,
    /// Whose `sorry` it rests on; empty: fully proved.
    pub sorry_from: Vec<String>,
}

/// What a kernel said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelVerdict {
    /// Name and version.
    pub kernel: String,
    /// How many declarations it accepted: all of the module's.
    pub declarations: u32,
    /// How long it took.
    pub milliseconds: u32,
}

/// Why something is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is not the JSON of a receipt.
    #[error("it is not the JSON of a receipt: {0}")]
    Json(#[from] serde_json::Error),
    /// It is of another format.
    #[error("it has format {0}, this atlas knows {VERSION}")]
    Version(u32),
    /// A field cannot be what it says.
    #[error("its field `{field}` {cause}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

impl Receipt {
    /// Reads a receipt's file. Whether it is true is [`verify`](crate::verify())'s to say.
    ///
    /// # Errors
    /// [`Malformed`]: other JSON, a field that is unknown, missing or given twice, a digest that is none.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        // The version first: another one may have other fields.
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let Any { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let receipt: Self = serde_json::from_slice(bytes)?;
        receipt.well_formed()?;
        Ok(receipt)
    }

    /// The bytes of a receipt's file: the same receipt has always the same, so that their SHA-256 names it.
    ///
    /// # Errors
    /// [`Malformed::Json`] when the value cannot be JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, Malformed> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// SHA-256 in hex of [`Receipt::to_json`]: its name in the object store and in a landing's trailers, and what `sha256sum`
    /// says of its file.
    ///
    /// # Errors
    /// As [`Receipt::to_json`].
    pub fn digest(&self) -> Result<String, Malformed> {
        Ok(hex::encode(Sha256::digest(self.to_json()?)))
    }

    /// A signed receipt off the wire.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_message(message: proto::Receipt) -> Result<Self, Malformed> {
        let receipt = Self::unsigned(message)?;
        receipt.signature_well_formed()?;
        Ok(receipt)
    }

    /// A receipt off the wire that may have no signature yet.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn unsigned(message: proto::Receipt) -> Result<Self, Malformed> {
        let receipt = Self {
            version: message.version,
            toolchain: message.toolchain,
            module: message.module,
            source_sha256: message.source_sha256,
            imports: message
                .imports
                .into_iter()
                .map(|import| Import { module: import.module, export_sha256: import.export_sha256 })
                .collect(),
            export_sha256: message.export_sha256,
            declarations: message
                .declarations
                .into_iter()
                .map(|declaration| Certified {
                    name: declaration.name,
                    kind: declaration.kind,
                    statement_hash: declaration.statement_hash,
                    axioms: declaration.axioms,
                    sorry_from: declaration.sorry_from,
                })
                .collect(),
            kernels: message
                .kernels
                .into_iter()
                .map(|verdict| KernelVerdict {
                    kernel: verdict.kernel,
                    declarations: verdict.declarations,
                    milliseconds: verdict.milliseconds,
                })
                .collect(),
            allowed_axioms: message.allowed_axioms,
            judge: message.judge,
            made_ms: message.made_ms,
            key: message.key,
            signature: hex::encode(message.signature),
        };
        receipt.content_well_formed()?;
        Ok(receipt)
    }

    /// The message that carries it.
    ///
    /// # Errors
    /// [`Malformed::Field`] when the signature is not hex.
    pub fn into_message(self) -> Result<proto::Receipt, Malformed> {
        let signature = hex::decode(&self.signature).map_err(|error| field("signature", &error))?;
        Ok(proto::Receipt {
            version: self.version,
            toolchain: self.toolchain,
            module: self.module,
            source_sha256: self.source_sha256,
            imports: self
                .imports
                .into_iter()
                .map(|import| proto::receipt::Import {
                    module: import.module,
                    export_sha256: import.export_sha256,
                })
                .collect(),
            export_sha256: self.export_sha256,
            declarations: self
                .declarations
                .into_iter()
                .map(|declaration| proto::receipt::Certified {
                    name: declaration.name,
                    kind: declaration.kind,
                    statement_hash: declaration.statement_hash,
                    axioms: declaration.axioms,
                    sorry_from: declaration.sorry_from,
                })
                .collect(),
            kernels: self
                .kernels
                .into_iter()
                .map(|verdict| proto::receipt::KernelVerdict {
                    kernel: verdict.kernel,
                    declarations: verdict.declarations,
                    milliseconds: verdict.milliseconds,
                })
                .collect(),
            allowed_axioms: self.allowed_axioms,
            judge: self.judge,
            made_ms: self.made_ms,
            key: self.key,
            signature,
        })
    }

    /// What is wrong with its form.
    pub(crate) fn well_formed(&self) -> Result<(), Malformed> {
        self.content_well_formed()?;
        self.signature_well_formed()
    }

    fn content_well_formed(&self) -> Result<(), Malformed> {
        if self.version != VERSION {
            return Err(Malformed::Version(self.version));
        }
        for (name, value) in
            [("toolchain", &self.toolchain), ("module", &self.module), ("judge", &self.judge)]
        {
            if value.is_empty() {
                return Err(field(name, &"is empty"));
            }
        }
        digest("source_sha256", &self.source_sha256)?;
        digest("export_sha256", &self.export_sha256)?;
        for import in &self.imports {
            digest("imports.export_sha256", &import.export_sha256)?;
        }
        Ok(())
    }

    fn signature_well_formed(&self) -> Result<(), Malformed> {
        digest("key", &self.key)?;
        lower_hex("signature", &self.signature, 64)
    }
}

fn digest(name: &'static str, value: &str) -> Result<(), Malformed> {
    lower_hex(name, value, 32)
}

/// Lower case only: of one value there is one spelling.
fn lower_hex(name: &'static str, value: &str, bytes: usize) -> Result<(), Malformed> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if value.len() == 2 * bytes && value.bytes().all(digit) {
        return Ok(());
    }
    Err(field(name, &format!("is not {bytes} bytes in lower-case hex: `{value}`")))
}

fn field(field: &'static str, cause: &dyn std::fmt::Display) -> Malformed {
    Malformed::Field { field, cause: cause.to_string() }
}
