//! Files and folders by number: as programs see them, and as the disk has them. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use fuser::Errno;

use crate::Names;
use crate::contents::Contents;

/// The number of the uppermost folder.
pub(crate) const ROOT: u64 = 1;

/// The names in a folder, and whose they are.
type Folder = BTreeMap<OsString, u64>;

/// What a number stands for.
#[derive(Debug)]
pub(crate) enum Body {
    File(Contents),
    Folder { now: Folder, synced: Folder },
}

/// A file or a folder.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) body: Body,
    pub(crate) mode: u16,
    pub(crate) owner: (u32, u32),
    pub(crate) changed: SystemTime,
    /// Names that lead to it, as programs see it.
    names: u32,
    /// Names that lead to it on the disk.
    synced_names: u32,
    /// Programs that have it open.
    open: u32,
}

impl Node {
    fn new(body: Body, mode: u16, owner: (u32, u32)) -> Self {
        Self { body, mode, owner, changed: SystemTime::now(), names: 0, synced_names: 0, open: 0 }
    }

    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.body, Body::Folder { .. })
    }

    pub(crate) fn size(&self) -> u64 {
        match &self.body {
            Body::File(contents) => contents.now().len() as u64,
            Body::Folder { .. } => 0,
        }
    }

    pub(crate) fn links(&self) -> u32 {
        self.names.max(1)
    }
}

/// All files and folders of a disk.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: BTreeMap<u64, Node>,
    last: u64,
    rule: Names,
    /// Folders whose names are not on the disk as they are.
    changed: BTreeSet<u64>,
}

type Result<T> = std::result::Result<T, Errno>;

impl Tree {
    pub(crate) fn new(rule: Names, owner: (u32, u32)) -> Self {
        let mut root = Node::new(Body::Folder { now: Folder::new(), synced: Folder::new() }, 0o755, owner);
        // It is there without a name.
        (root.names, root.synced_names) = (1, 1);
        Self { nodes: BTreeMap::from([(ROOT, root)]), last: ROOT, rule, changed: BTreeSet::new() }
    }

    pub(crate) fn node(&self, number: u64) -> Result<&Node> {
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    pub(crate) fn node_mut(&mut self, number: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&number).ok_or(Errno::ENOENT)
    }

    pub(crate) fn names(&self, folder: u64) -> Result<&Folder> {
        match &self.node(folder)?.body {
            Body::Folder { now, .. } => Ok(now),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, folder: u64) -> Result<&mut Folder> {
        self.changed.insert(folder);
        match &mut self.node_mut(folder)?.body {
            Body::Folder { now, .. } => Ok(now),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    pub(crate) fn file_mut(&mut self, number: u64) -> Result<&mut Contents> {
        let node = self.node_mut(number)?;
        node.changed = SystemTime::now();
        match &mut node.body {
            Body::File(contents) => Ok(contents),
            Body::Folder { .. } => Err(Errno::EISDIR),
        }
    }

    /// A file's bytes.
    pub(crate) fn read(&self, number: u64) -> Result<&[u8]> {
        match &self.node(number)?.body {
            Body::File(contents) => Ok(contents.now()),
            Body::Folder { .. } => Err(Errno::EISDIR),
        }
    }

    pub(crate) fn lookup(&self, folder: u64, name: &OsStr) -> Result<u64> {
        self.names(folder)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// A new file, or folder, under a name that is free.
    pub(crate) fn add(
        &mut self,
        folder: u64,
        name: &OsStr,
        is_folder: bool,
        mode: u16,
        owner: (u32, u32),
    ) -> Result<u64> {
        if self.names(folder)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let body = match is_folder {
            true => Body::Folder { now: Folder::new(), synced: Folder::new() },
            false => Body::File(Contents::default()),
        };
        // Never used again: a name on the disk may still mean it.
        self.last += 1;
        let number = self.last;
        self.nodes.insert(number, Node { names: 1, ..Node::new(body, mode, owner) });
        self.names_mut(folder)?.insert(name.to_owned(), number);
        Ok(number)
    }

    /// Takes a name away: a file's, or an empty folder's.
    pub(crate) fn remove(&mut self, folder: u64, name: &OsStr, is_folder: bool) -> Result<()> {
        let number = self.lookup(folder, name)?;
        match &self.node(number)?.body {
            Body::Folder { .. } if !is_folder => return Err(Errno::EISDIR),
            Body::Folder { now, .. } if !now.is_empty() => return Err(Errno::ENOTEMPTY),
            Body::File(_) if is_folder => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.names_mut(folder)?.remove(name);
        self.node_mut(number)?.names -= 1;
        self.tidy(number);
        Ok(())
    }

    /// Gives another name, in place of what has it.
    pub(crate) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<()> {
        let number = self.lookup(from.0, from.1)?;
        match self.lookup(to.0, to.1) {
            Ok(there) if there == number => return Ok(()),
            Ok(_) => self.remove(to.0, to.1, self.node(number)?.is_folder())?,
            Err(_) => {
                self.names(to.0)?;
            }
        }
        self.names_mut(from.0)?.remove(from.1);
        self.names_mut(to.0)?.insert(to.1.to_owned(), number);
        Ok(())
    }

    pub(crate) fn open(&mut self, number: u64) -> Result<()> {
        self.node_mut(number)?.open += 1;
        Ok(())
    }

    pub(crate) fn close(&mut self, number: u64) -> Result<()> {
        self.node_mut(number)?.open -= 1;
        self.tidy(number);
        Ok(())
    }

    /// `fsync` or `fdatasync` of a file.
    pub(crate) fn sync_file(&mut self, number: u64) -> Result<()> {
        match &mut self.node_mut(number)?.body {
            Body::File(contents) => contents.sync(),
            Body::Folder { .. } => return Err(Errno::EISDIR),
        }
        if self.rule == Names::Journaled {
            self.sync_names();
        }
        Ok(())
    }

    /// `fsync` of a folder.
    pub(crate) fn sync_folder(&mut self, number: u64) -> Result<()> {
        self.names(number)?;
        match self.rule {
            Names::Journaled => self.sync_names(),
            Names::ByFolder => self.sync_names_of(number),
        }
        Ok(())
    }

    fn sync_names(&mut self) {
        for folder in self.changed.clone() {
            self.sync_names_of(folder);
        }
    }

    fn sync_names_of(&mut self, folder: u64) {
        self.changed.remove(&folder);
        let Some(Node { body: Body::Folder { now, synced }, .. }) = self.nodes.get_mut(&folder) else {
            return;
        };
        let (new, old) = (now.clone(), std::mem::replace(synced, now.clone()));
        for number in new.values() {
            if let Some(node) = self.nodes.get_mut(number) {
                node.synced_names += 1;
            }
        }
        for number in old.values() {
            if let Some(node) = self.nodes.get_mut(number) {
                node.synced_names -= 1;
            }
            self.tidy(*number);
        }
    }

    /// Drops what no name leads to, here or on the disk, and nobody has open.
    fn tidy(&mut self, number: u64) {
        let unused = |node: &Node| node.names == 0 && node.synced_names == 0 && node.open == 0;
        if self.nodes.get(&number).is_some_and(unused) {
            self.nodes.remove(&number);
            self.changed.remove(&number);
        }
    }

    /// The power fails: only what the disk has is left.
    pub(crate) fn forget(&mut self) {
        let mut all = std::mem::take(&mut self.nodes);
        let mut reached = vec![ROOT];
        while let Some(number) = reached.pop() {
            let Some(mut node) = all.remove(&number) else { continue };
            match &mut node.body {
                Body::File(contents) => contents.forget(),
                Body::Folder { now, synced } => {
                    now.clone_from(synced);
                    reached.extend(synced.values());
                }
            }
            (node.names, node.open) = (node.synced_names, 0);
            self.nodes.insert(number, node);
        }
        self.changed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(rule: Names) -> (Tree, u64) {
        let mut tree = Tree::new(rule, (0, 0));
        let folder = tree.add(ROOT, "a".as_ref(), true, 0o755, (0, 0)).unwrap();
        tree.sync_folder(ROOT).unwrap();
        (tree, folder)
    }

    fn add(tree: &mut Tree, folder: u64, name: &str, bytes: &[u8]) -> u64 {
        let file = tree.add(folder, name.as_ref(), false, 0o644, (0, 0)).unwrap();
        tree.file_mut(file).unwrap().write(0, bytes);
        file
    }

    fn read(tree: &mut Tree, folder: u64, name: &str) -> Option<Vec<u8>> {
        let file = tree.lookup(folder, name.as_ref()).ok()?;
        Some(tree.file_mut(file).unwrap().now().to_vec())
    }

    #[test]
    fn a_name_needs_its_folder_synced_or_a_journal_that_anything_syncs() {
        for (rule, there) in [(Names::ByFolder, None), (Names::Journaled, Some(b"one".to_vec()))] {
            let (mut tree, folder) = disk(rule);
            let file = add(&mut tree, folder, "file", b"one");
            tree.sync_file(file).unwrap();
            tree.forget();
            assert_eq!(read(&mut tree, folder, "file"), there, "{rule:?}");
        }
    }

    #[test]
    fn a_file_that_was_put_in_anothers_place_or_removed_is_back_until_its_folder_is_synced() {
        let (mut tree, folder) = disk(Names::ByFolder);
        let old = add(&mut tree, folder, "file", b"old");
        tree.sync_file(old).unwrap();
        tree.sync_folder(folder).unwrap();
        let new = add(&mut tree, folder, "new", b"new");
        tree.sync_file(new).unwrap();
        tree.rename((folder, "new".as_ref()), (folder, "file".as_ref())).unwrap();
        assert_eq!(read(&mut tree, folder, "file").unwrap(), b"new");
        tree.forget();
        assert_eq!(read(&mut tree, folder, "file").unwrap(), b"old");
        assert_eq!(tree.nodes.len(), 3, "what no name leads to is gone");

        tree.remove(folder, "file".as_ref(), false).unwrap();
        tree.forget();
        assert_eq!(read(&mut tree, folder, "file").unwrap(), b"old");
        tree.remove(folder, "file".as_ref(), false).unwrap();
        tree.sync_folder(folder).unwrap();
        assert_eq!(tree.nodes.len(), 2);
        tree.forget();
        assert_eq!(read(&mut tree, folder, "file"), None);
    }

    #[test]
    fn what_is_open_stays_readable_without_a_name() {
        let (mut tree, folder) = disk(Names::ByFolder);
        let file = add(&mut tree, folder, "file", b"one");
        tree.open(file).unwrap();
        tree.remove(folder, "file".as_ref(), false).unwrap();
        assert_eq!(tree.file_mut(file).unwrap().now(), b"one");
        tree.close(file).unwrap();
        assert!(tree.node(file).is_err());
    }
}
