//! An agent's draft: the library at its base commit with the agent's edits on top, as far as edits
//! need it. Pure: it is derived from the journal again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_library::{LibraryPath, layout};
use atlas_proto::{BaseFile, FileChange};

use crate::tool::{EditFile, Request, WriteFile, WriteRegion};

/// The largest file that an agent may write, in bytes. Chapters are tens of kilobytes.
pub const MAX_FILE: usize = 256 * 1024;
/// All that an agent may have changed at once, in bytes: a submission travels in one message.
pub const MAX_CHANGES: usize = 512 * 1024;

/// Text of a file, shared between the copies of a draft.
type Text = Arc<str>;

/// The edits of an attempt and the base files under them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    package: String,
    module_path: String,
    region: String,
    base: BTreeMap<String, Option<Text>>,
    changes: BTreeMap<String, Text>,
}

impl Draft {
    /// The draft of an attempt at the target with region `region` in the module of `module_path`.
    pub fn new(package: &str, module_path: &str, region: &str) -> Self {
        Self {
            package: package.to_owned(),
            module_path: module_path.to_owned(),
            region: region.to_owned(),
            ..Self::default()
        }
    }

    /// Takes note of a base file.
    pub fn load(&mut self, file: &BaseFile) {
        self.base.insert(file.path.clone(), file.text.as_deref().map(Text::from));
    }

    /// Puts `change` on top of the base; deletions and what is not text are left out.
    pub fn put(&mut self, change: &FileChange) {
        if let Some(text) = change.content.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()) {
            self.changes.insert(change.path.clone(), text.into());
        }
    }

    /// The changed files and their texts, by path.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.changes.iter().map(|(path, text)| (path.as_str(), &**text))
    }

    /// The changed text of `path`.
    pub fn change(&self, path: &str) -> Option<&str> {
        self.changes.get(path).map(|text| &**text)
    }

    /// What the draft offers: the files that differ from the base.
    pub fn changes(&self) -> Vec<FileChange> {
        let differ =
            |(path, text): &(&String, &Text)| self.base.get(*path).and_then(Option::as_ref) != Some(*text);
        let change = |(path, text): (&String, &Text)| FileChange {
            path: path.clone(),
            content: Some(text.as_bytes().to_vec()),
        };
        self.changes.iter().filter(differ).map(change).collect()
    }

    /// The path of the target's module.
    pub fn module_path(&self) -> &str {
        &self.module_path
    }

    /// The library's package.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// The label of the target's region.
    pub fn region_id(&self) -> &str {
        &self.region
    }

    /// The target's region as it stands, where its file is known.
    pub fn region(&self) -> Option<&str> {
        layout::region_text(self.known(&self.module_path)??, &self.region)
    }

    /// `None`: not loaded; `Some(None)`: there is no such file.
    fn known(&self, path: &str) -> Option<Option<&str>> {
        match self.changes.get(path) {
            Some(text) => Some(Some(text)),
            None => self.base.get(path).map(|text| text.as_deref()),
        }
    }

    /// The base file that must be loaded before `request` can be carried out.
    pub fn needs(&self, request: &Request) -> Option<String> {
        let path = match request {
            Request::WriteFile(WriteFile { path, .. }) | Request::EditFile(EditFile { path, .. }) => {
                LibraryPath::parse_writable(&self.package, path).ok()?.as_str().to_owned()
            }
            Request::WriteRegion(_) => self.module_path.clone(),
            _ => return None,
        };
        self.known(&path).is_none().then_some(path)
    }

    /// Carries out an edit and says what it did.
    ///
    /// # Errors
    /// Why not, for the model; the draft is as before.
    pub fn edit(&mut self, request: &Request) -> Result<String, String> {
        let (path, new) = match request {
            Request::WriteFile(write) => (self.writable(&write.path)?, write.content.clone()),
            Request::EditFile(edit) => {
                let path = self.writable(&edit.path)?;
                let text = self.existing(&path)?;
                (path, replace_once(text, edit)?)
            }
            Request::WriteRegion(WriteRegion { target, content }) => {
                let path = self.writable(&self.module_path)?;
                let text = self.existing(&path)?;
                let target = target.as_deref().unwrap_or(&self.region);
                let new = layout::with_region(text, target, content).map_err(|e| format!("{path}: {e}."))?;
                (path, new)
            }
            _ => return Err("This is not an edit.".to_owned()),
        };
        self.store(path, new)
    }

    fn writable(&self, path: &str) -> Result<String, String> {
        let path = LibraryPath::parse_writable(&self.package, path).map_err(|error| format!("{error}."))?;
        Ok(path.as_str().to_owned())
    }

    fn existing(&self, path: &str) -> Result<&str, String> {
        self.known(path).flatten().ok_or_else(|| {
            format!("There is no file `{path}`. Use `list_files` to see what there is, or `write_file` to create it.")
        })
    }

    fn store(&mut self, path: String, new: String) -> Result<String, String> {
        if new.len() > MAX_FILE {
            return Err(format!(
                "`{path}` would have {} bytes; a file may have {MAX_FILE}. Write less, or split it into several files.",
                new.len()
            ));
        }
        let others: usize = self.changes.iter().filter(|(p, _)| **p != path).map(|(_, t)| t.len()).sum();
        if others + new.len() > MAX_CHANGES {
            return Err(format!(
                "Your changes would have {} bytes together; a submission may have {MAX_CHANGES}.",
                others + new.len()
            ));
        }
        if let Some(old) = self.known(&path).flatten() {
            markers_kept(&path, old, &new)?;
        }
        let lines = new.lines().count();
        let done = format!("`{path}` now has {lines} lines.");
        self.changes.insert(path, new.into());
        Ok(done)
    }
}

fn replace_once(text: &str, edit: &EditFile) -> Result<String, String> {
    if edit.old.is_empty() {
        return Err("`old` is empty; give the text that is to be replaced, or use `write_file`.".to_owned());
    }
    match text.matches(&edit.old).count() {
        1 => Ok(text.replacen(&edit.old, &edit.new, 1)),
        0 => Err(format!(
            "`old` does not occur in `{}`. It must match exactly, blanks and line ends included; look with `read_file`.",
            edit.path
        )),
        n => Err(format!(
            "`old` occurs {n} times in `{}`. Give more of its surroundings, so that it occurs once.",
            edit.path
        )),
    }
}

/// Regions are what keeps agents out of each other's way: no edit may lose, add or move a marker.
fn markers_kept(path: &str, old: &str, new: &str) -> Result<(), String> {
    let ids = |text| layout::regions(text).map(|found| found.into_iter().map(|r| r.id).collect::<Vec<_>>());
    let Ok(before) = ids(old) else { return Ok(()) };
    if before.is_empty() {
        return Ok(());
    }
    let after =
        ids(new).map_err(|error| format!("The edit would break the region markers of `{path}`: {error}."))?;
    if after == before {
        return Ok(());
    }
    Err(format!(
        "The edit would change the region markers of `{path}` from [{}] to [{}]; they must stay as they are. Use `write_region` to write your own region.",
        before.join(", "),
        after.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "module\n\nnamespace N\n-- begin a\ntheorem a : True := by\n  sorry\n-- end a\n-- begin b\n-- end b\nend N\n";

    fn draft() -> Draft {
        let mut draft = Draft::new("N", "N/A.lean", "a");
        draft.load(&BaseFile { path: "N/A.lean".into(), text: Some(MODULE.into()) });
        draft
    }

    fn region(target: Option<&str>, content: &str) -> Request {
        Request::WriteRegion(WriteRegion { target: target.map(str::to_owned), content: content.into() })
    }

    fn edit(path: &str, old: &str, new: &str) -> Request {
        Request::EditFile(EditFile { path: path.into(), old: old.into(), new: new.into() })
    }

    #[test]
    fn edits_pile_up_and_only_differences_are_offered() {
        let mut draft = draft();
        draft.edit(&region(None, "theorem a : True := trivial")).unwrap();
        draft.edit(&edit("N/A.lean", "trivial", "by trivial")).unwrap();
        assert_eq!(draft.region(), Some("theorem a : True := by trivial\n"));
        let changes = draft.changes();
        assert_eq!(changes.len(), 1);
        draft.edit(&region(None, "theorem a : True := by\n  sorry")).unwrap();
        assert_eq!(draft.changes(), [], "back at the base, nothing is offered");
    }

    #[test]
    fn what_cannot_be_edited_is_refused_with_the_way_out() {
        let mut draft = draft();
        let before = draft.clone();
        let mut refused = |request: Request, why: &str| {
            let error = draft.edit(&request).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(edit("../N/A.lean", "a", "b"), "leads out of the library");
        refused(edit("N.lean", "a", "b"), "protected");
        refused(edit("N/B.lean", "a", "b"), "There is no file `N/B.lean`");
        refused(edit("N/A.lean", "theorem z", "b"), "does not occur");
        refused(edit("N/A.lean", "n", "b"), "times");
        refused(region(Some("z"), "x"), "there is no region `z`");
        refused(region(None, "-- end a\n-- begin c"), "marker");
        refused(edit("N/A.lean", "-- begin b\n-- end b\n", ""), "they must stay as they are");
        let large = WriteFile { path: "N/C.lean".into(), content: "x".repeat(MAX_FILE + 1) };
        refused(Request::WriteFile(large), "a file may have");
        assert_eq!(draft.changes, before.changes);
    }

    #[test]
    fn an_edit_says_which_base_file_it_waits_for() {
        let draft = draft();
        assert_eq!(draft.needs(&edit("N/A.lean", "x", "y")), None);
        assert_eq!(draft.needs(&edit("./N/B.lean", "x", "y")), Some("N/B.lean".into()));
        assert_eq!(draft.needs(&edit("/etc/passwd", "x", "y")), None, "refused without a look");
    }
}
