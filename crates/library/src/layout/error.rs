//! What can be wrong with a library file's layout.

/// A mistake in a library file's layout, with its place and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// There is no such region.
    #[error("there is no region `{id}`; the file's regions are: {}", list(known))]
    NoRegion {
        /// The region asked for.
        id: String,
        /// Those that the file has.
        known: Vec<String>,
    },
    /// New content would add or end a region.
    #[error(
        "line {line} of the new content is the region marker `{marker}`; write only what goes between the markers"
    )]
    MarkerInContent {
        /// 1-based line of the content.
        line: usize,
        /// The marker.
        marker: String,
    },
    /// A region is opened within another.
    #[error(
        "line {line}: `-- begin {id}` stands inside region `{open}`; regions do not nest, end `{open}` first"
    )]
    Nested {
        /// 1-based line.
        line: usize,
        /// The region that begins there.
        id: String,
        /// The region that is open.
        open: String,
    },
    /// An end without its beginning.
    #[error("line {line}: `-- end {id}` has no `-- begin {id}` before it")]
    EndWithoutBegin {
        /// 1-based line.
        line: usize,
        /// The region that ends there.
        id: String,
    },
    /// A beginning without its end.
    #[error("line {line}: region `{id}` is never ended; add `-- end {id}`")]
    NeverEnded {
        /// 1-based line of the beginning.
        line: usize,
        /// The region.
        id: String,
    },
    /// Two regions of one name.
    #[error("line {line}: there is a region `{id}` already, at line {first}; a target has one region")]
    Duplicate {
        /// 1-based line of the second beginning.
        line: usize,
        /// 1-based line of the first.
        first: usize,
        /// The region.
        id: String,
    },
    /// Modules that import each other in a circle.
    #[error("modules import each other in a circle: {}", modules.join(" → "))]
    ImportCycle {
        /// The circle; its first module again at its end.
        modules: Vec<String>,
    },
    /// Imports of modules that the library does not have.
    #[error("`{module}` imports `{import}`, which the library does not have (it has: {})", list(known))]
    NoModule {
        /// The importing module.
        module: String,
        /// What it imports.
        import: String,
        /// The library's modules.
        known: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    match names.len() {
        0 => "none".to_owned(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{}, … ({} more)", names[..SHOWN].join(", "), n - SHOWN),
    }
}
