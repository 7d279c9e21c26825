//! The library, a Lean project in a bare git repository: how its files are laid out ([`layout`]), which paths belong to
//! it ([`LibraryPath`]).

pub mod layout;
mod path;

pub use path::{LibraryPath, PathError};
