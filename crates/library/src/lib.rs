//! The library, a Lean project in a bare git repository: how its files are laid out ([`layout`]), which paths belong to
//! it ([`LibraryPath`]), an agent's changes over a commit ([`Overlay`]), and the repository itself ([`Repository`]) with
//! its merges, all in memory.

mod commit;
pub mod layout;
mod merge;
mod overlay;
mod path;
mod repository;

pub use commit::{CommitText, HistoryEntry};
pub use merge::{Conflict, Place, merge_text};
pub use overlay::{MAX_FILE_BYTES, Overlay, OverlayError, Source};
pub use path::{LibraryPath, PathError};
pub use repository::{Merged, Repository, RepositoryError};
