//! What a worker does for its parent, whichever Lean it has.

use atlas_judge::Ground;

use crate::guests::Store;
use crate::pipeline::{Budget, Elaborated, Failure, Work};
use crate::replay::Replayed;

/// A Lean inside a worker.
pub(crate) trait Host: Send + Sync {
    /// Names the toolchain and everything else that answers depend on.
    fn identity(&self) -> String;
    /// Elaborates; `store` has the compiled form of what lies below.
    fn elaborate(&self, work: &Work<'_>, store: &dyn Store, budget: &Budget) -> Result<Elaborated, Failure>;
    /// The declarations of the toolchain modules `Init` and `toolchain`, and of all that those import, in lean4export's format.
    fn foundation(
        &self,
        toolchain: &[String],
        store: &dyn Store,
        budget: &Budget,
    ) -> Result<Vec<u8>, Failure>;
    /// Asks Lean's own kernel, where nothing has been elaborated, about the declarations in `export`; `store` has the exports of the `ground`.
    fn replay(
        &self,
        ground: &Ground,
        export: &[u8],
        store: &dyn Store,
        budget: &Budget,
    ) -> Result<Replayed, Failure>;
}
