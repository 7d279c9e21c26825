//! How a library looks as text: regions, headers, module names, the import graph, generated files.
//! Everything here is a pure function on strings.

mod error;
mod graph;
mod header;
mod module;
mod region;
mod skeleton;

pub use error::LayoutError;
pub use graph::ImportGraph;
pub use header::{Header, Import, header, imports, with_import};
pub use module::{is_module_of, module_name, module_path};
pub use region::{Region, region, region_text, regions, with_new_region, with_region};
pub use skeleton::{
    Chapter, Dependency, PROTECTED, Slot, chapter_file, is_protected, root_file, root_path, skeleton,
};
