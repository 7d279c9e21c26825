//! AutoformBot's books: a folder with `book.md` (or all its `.md` and `.tex` files) and `targets.yaml`, a list of
//! `name`, `description`, `location`, `kind`.

use std::path::Path;

use crate::assemble::Draft;
use crate::{Problem, markdown, source, targets};

pub(crate) fn read(path: &Path) -> Result<Draft, Vec<Problem>> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let book = folder.join("book.md");
    let mut draft = if book.is_file() { markdown::read(&book)? } else { text_files(folder)? };
    let file = folder.join("targets.yaml");
    if !file.is_file() {
        return Err(vec![Problem::new(
            folder,
            0,
            "there is no targets.yaml beside the book",
            "put it there, or read the book as `format: markdown` with `agents.extractors`",
        )]);
    }
    targets::replace(&mut draft, &file)?;
    Ok(draft)
}

fn text_files(folder: &Path) -> Result<Draft, Vec<Problem>> {
    let markdown_files = source::list(folder, "md").map_err(|problem| vec![problem])?;
    if markdown_files.is_empty() { crate::latex::read(folder) } else { markdown::read(folder) }
}
