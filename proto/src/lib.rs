//! The wire: prost messages generated from `atlas/v1/*.proto` (package `atlas.v1`), and the
//! conversions between them and the words of [`atlas_domain`].

mod convert;
mod weight;

pub use convert::InvalidTarget;

/// Messages of package `atlas.v1`; the `.proto` files document them.
#[allow(missing_docs, clippy::all, clippy::large_enum_variant)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/atlas.v1.rs"));
}

pub use v1::*;
