//! Candidates in git: submissions merged in memory onto a tree, which modules that concerns, and how it lands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use atlas_library::layout::{self, ImportGraph};
use atlas_library::{CommitText, LibraryPath, Merged, Repository, RepositoryError};
use atlas_proto::{FileChange, MergeRequest, merge_surveyed};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::machine::{Assembly, Footprint, SKELETON, Sources, submission_of};

/// Titles of earlier landings that a conflict names.
const MAX_OTHERS: usize = 3;
/// Names of modules that a survey holds at most, some 40 bytes each: it is one event of the journal.
const MAX_SURVEYED: usize = 10_000;
/// The trailer by which a landing is found again.
const SUBMISSION: &str = "Atlas-Submission";
/// The trailers that name the receipts of what was certified for a landing, one for each module.
const RECEIPT: &str = "Atlas-Receipt";

/// Why submissions do not make a tree.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// It is the submission's fault: `conflict`, `policy` or `build`, and why.
    Blocked { kind: &'static str, reason: String },
    /// git failed.
    Git(RepositoryError),
}

impl From<RepositoryError> for Obstacle {
    fn from(error: RepositoryError) -> Self {
        Self::Git(error)
    }
}

fn policy(reason: String) -> Obstacle {
    Obstacle::Blocked { kind: "policy", reason }
}

/// The repository of one run, with what is remembered of its blobs.
pub(crate) struct Trees {
    pub(crate) repository: Repository,
    package: String,
    /// Imports by blob: most modules are the same in all candidates.
    imports: Mutex<HashMap<String, Arc<Vec<String>>>>,
}

impl Trees {
    pub(crate) fn new(repository: Repository, package: String) -> Self {
        Self { repository, package, imports: Mutex::default() }
    }

    /// Puts submissions together on a commit, in order.
    pub(crate) fn assemble(
        &self,
        base: &str,
        submissions: &[Arc<MergeRequest>],
    ) -> Result<Assembly, Obstacle> {
        let before = self.repository.tree(base)?;
        let mut tree = before.clone();
        for request in submissions {
            tree = self.with(&tree, base, request)?;
        }
        let (footprint, content) = self.footprint(&before, &tree)?;
        let sources = self.sources(&tree, &footprint.check)?;
        Ok(Assembly { tree, footprint, content, key: String::new(), sources })
    }

    /// SHA-256 of the source of each of these modules in a tree.
    fn sources(&self, tree: &str, modules: &BTreeSet<String>) -> Result<Sources, RepositoryError> {
        let entries = self.repository.entries(tree)?.into_iter();
        let named = entries.filter_map(|entry| Some((layout::module_name(&entry.path)?, entry.sha256)));
        Ok(named.filter(|(module, _)| modules.contains(module)).collect())
    }

    /// The tree with one submission merged in and the root file made anew.
    fn with(&self, tree: &str, head: &str, request: &MergeRequest) -> Result<String, Obstacle> {
        let Some(submission) = &request.submission else {
            return Err(policy("the request holds no submission".to_owned()));
        };
        for change in &submission.changes {
            let path = if submission.id == SKELETON {
                LibraryPath::parse(&change.path)
            } else {
                LibraryPath::parse_writable(&self.package, &change.path)
            };
            path.map_err(|error| policy(error.to_string()))?;
            self.keeps_regions(change, &submission.base_commit)?;
        }
        match self.repository.merge(tree, &submission.base_commit, &submission.changes)? {
            Merged::Clean(merged) => self.with_root(&merged),
            Merged::Conflicts(mut conflicts) => {
                for conflict in &mut conflicts {
                    conflict.other_side = self.repository.who_changed(
                        &conflict.path,
                        &submission.base_commit,
                        head,
                        MAX_OTHERS,
                    )?;
                }
                let reasons: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
                Err(Obstacle::Blocked { kind: "conflict", reason: reasons.join("\n") })
            }
        }
    }

    /// Others find their targets by the markers: a change may add regions, never lose or break one.
    fn keeps_regions(&self, change: &FileChange, base: &str) -> Result<(), Obstacle> {
        let Some(content) = change.content.as_ref() else { return Ok(()) };
        let before = self.repository.file(&self.repository.tree(base)?, &change.path)?.unwrap_or_default();
        let Ok(before) = layout::regions(&String::from_utf8_lossy(&before)) else { return Ok(()) };
        let after = layout::regions(&String::from_utf8_lossy(content))
            .map_err(|error| policy(format!("{}: {error}", change.path)))?;
        let lost = before.iter().find(|region| after.iter().all(|kept| kept.id != region.id));
        match lost {
            Some(region) => Err(policy(format!(
                "{}: the markers `-- begin {id}` and `-- end {id}` are gone; keep every target's markers",
                change.path,
                id = region.id
            ))),
            None => Ok(()),
        }
    }

    fn with_root(&self, tree: &str) -> Result<String, Obstacle> {
        let path = layout::root_path(&self.package);
        let previous = self.repository.file(tree, &path)?.unwrap_or_default();
        let previous = String::from_utf8_lossy(&previous).into_owned();
        let modules: Vec<String> = self.modules(tree)?.into_keys().collect();
        let root = layout::root_file(&self.package, &previous, modules.iter().map(String::as_str));
        if root == previous {
            return Ok(tree.to_owned());
        }
        Ok(self.repository.with_files(tree, &[(path, Some(root.into_bytes()))])?)
    }

    /// The library's modules, without the root, with their blobs.
    fn modules(&self, tree: &str) -> Result<BTreeMap<String, String>, RepositoryError> {
        let files = self.repository.files(tree)?;
        let own = |module: &String| *module != self.package && layout::is_module_of(&self.package, module);
        Ok(files
            .into_iter()
            .filter_map(|(path, blob)| Some((layout::module_name(&path).filter(own)?, blob)))
            .collect())
    }

    fn graph(&self, modules: &BTreeMap<String, String>) -> Result<ImportGraph, Obstacle> {
        let mut imports = Vec::with_capacity(modules.len());
        for (module, blob) in modules {
            imports.push((module.clone(), self.imports_of(blob)?.to_vec()));
        }
        ImportGraph::of(&self.package, imports)
            .map_err(|error| Obstacle::Blocked { kind: "build", reason: error.to_string() })
    }

    fn imports_of(&self, blob: &str) -> Result<Arc<Vec<String>>, RepositoryError> {
        if let Some(imports) = self.imports.lock().get(blob) {
            return Ok(Arc::clone(imports));
        }
        let text = self.repository.blob(blob)?;
        let imports = Arc::new(layout::imports(&String::from_utf8_lossy(&text)));
        self.imports.lock().insert(blob.to_owned(), Arc::clone(&imports));
        Ok(imports)
    }

    /// What a tree changes of another, and the digest of the sources that a check of it rests on.
    fn footprint(&self, before: &str, tree: &str) -> Result<(Footprint, String), Obstacle> {
        let (old, new) = (self.modules(before)?, self.modules(tree)?);
        let writes: BTreeSet<String> = old
            .keys()
            .chain(new.keys())
            .filter(|module| old.get(*module) != new.get(*module))
            .cloned()
            .collect();
        let graph = self.graph(&new)?;
        let present = |modules: BTreeSet<String>| {
            modules.into_iter().filter(|module| new.contains_key(module)).collect()
        };
        let check: BTreeSet<String> = present(graph.downstream(writes.iter().map(String::as_str)));
        let reads: BTreeSet<String> = present(graph.closure(check.iter().map(String::as_str)));
        let mut below: BTreeSet<String> = present(graph.closure(writes.iter().map(String::as_str)));
        below.retain(|module| !writes.contains(module));
        let content = digest(&check, &reads, &new);
        Ok((Footprint { writes, check, reads, below }, content))
    }

    /// The import closure of `check` in a tree: module, SHA-256 of its source.
    pub(crate) fn closure(&self, tree: &str, check: &[String]) -> Result<Vec<(String, String)>, Obstacle> {
        let modules = self.modules(tree)?;
        let closure = self.graph(&modules)?.closure(check.iter().map(String::as_str));
        let entries = self.repository.entries(tree)?;
        let digests: HashMap<String, String> = entries
            .into_iter()
            .filter_map(|entry| Some((layout::module_name(&entry.path)?, entry.sha256)))
            .collect();
        Ok(closure
            .into_iter()
            .filter_map(|module| digests.get(&module).cloned().map(|digest| (module, digest)))
            .collect())
    }

    /// What certifying these modules of a commit again takes, those below first; as many as one event may hold, at least one. And the
    /// commit's tree.
    pub(crate) fn survey(
        &self,
        head: &str,
        wanted: &BTreeSet<String>,
    ) -> Result<(String, Vec<merge_surveyed::Module>), Obstacle> {
        let tree = self.repository.tree(head)?;
        let modules = self.modules(&tree)?;
        let graph = self.graph(&modules)?;
        let sources = self.sources(&tree, wanted)?;
        let mut depths: HashMap<String, u32> = HashMap::new();
        // The graph has no circles: that was found out when it was built.
        for module in graph.order().unwrap_or_default() {
            let below = graph.imports(&module).filter_map(|import| depths.get(import)).max();
            depths.insert(module.clone(), below.map_or(0, |depth| depth + 1));
        }
        let mut lowest: Vec<(u32, &String)> =
            wanted.iter().filter_map(|module| Some((*depths.get(module)?, module))).collect();
        lowest.sort();
        let mut surveyed: Vec<merge_surveyed::Module> = Vec::new();
        let mut names = 0;
        for (depth, module) in lowest {
            let reads = graph.closure([module.as_str()]);
            names += reads.len();
            if names > MAX_SURVEYED && !surveyed.is_empty() {
                break;
            }
            surveyed.push(merge_surveyed::Module {
                module: module.clone(),
                source: sources.get(module).cloned().unwrap_or_default(),
                content: digest(&BTreeSet::from([module.clone()]), &reads, &modules),
                reads: reads.into_iter().collect(),
                depth,
            });
        }
        Ok((tree, surveyed))
    }

    /// Bytes of a tree's files whose digest is not in `known`.
    pub(crate) fn unknown_files(
        &self,
        tree: &str,
        known: &BTreeSet<String>,
    ) -> Result<Vec<(String, Vec<u8>)>, RepositoryError> {
        let files = self.repository.files(tree)?;
        let mut unknown = Vec::new();
        for entry in self.repository.entries(tree)? {
            if let Some(blob) = files.get(&entry.path).filter(|_| !known.contains(&entry.sha256)) {
                unknown.push((entry.sha256, self.repository.blob(blob)?));
            }
        }
        Ok(unknown)
    }

    /// Writes one commit per submission on top of `head` and moves `main`; the commits, or why the candidate is stale.
    /// The last commit names `receipts`: its tree is the one that was certified.
    /// Deterministic: the same landing has the same commits, so one that a killed host had done is found done.
    pub(crate) fn land(
        &self,
        head: &str,
        submissions: &[Arc<MergeRequest>],
        assembly: &Assembly,
        receipts: &[String],
        time_ms: u64,
    ) -> Result<Result<Vec<(String, String)>, String>, RepositoryError> {
        let main = self.repository.main()?.unwrap_or_default();
        if main != head {
            return match self.landed_already(head, &main, submissions)? {
                Some(commits) => Ok(Ok(commits)),
                None => Err(RepositoryError::Moved { actual: main, expected: head.to_owned() }),
            };
        }
        let (commits, tree) = match self.commit(head, submissions, receipts, time_ms) {
            Ok(written) => written,
            Err(Obstacle::Blocked { reason, .. }) => return Ok(Err(reason)),
            Err(Obstacle::Git(error)) => return Err(error),
        };
        if let Err(cause) = self.is_as_certified(head, &tree, assembly)? {
            return Ok(Err(cause));
        }
        let last = commits.last().map_or(head, |(_, commit)| commit);
        self.repository.advance_main(head, last)?;
        Ok(Ok(commits))
    }

    /// Writes one commit per submission on top of `head`, the last with `receipts`, and moves nothing: submission and commit of each, and the last one's tree.
    pub(crate) fn commit(
        &self,
        head: &str,
        submissions: &[Arc<MergeRequest>],
        receipts: &[String],
        time_ms: u64,
    ) -> Result<(Vec<(String, String)>, String), Obstacle> {
        let mut tree = self.repository.tree(head)?;
        let mut parent = head.to_owned();
        let mut commits = Vec::new();
        for (at, request) in submissions.iter().enumerate() {
            tree = self.with(&tree, head, request)?;
            let mut text = text(request, time_ms);
            if at + 1 == submissions.len() {
                text.trailers.extend(receipts.iter().map(|digest| (RECEIPT.to_owned(), digest.clone())));
            }
            parent = self.repository.commit(&tree, &parent, &text)?;
            commits.push((submission_of(request).to_owned(), parent.clone()));
        }
        Ok((commits, tree))
    }

    /// The commits of a landing that a killed host had done, by their trailers.
    fn landed_already(
        &self,
        head: &str,
        main: &str,
        submissions: &[Arc<MergeRequest>],
    ) -> Result<Option<Vec<(String, String)>>, RepositoryError> {
        let landed: HashMap<String, String> = self
            .repository
            .history(main, head, usize::MAX)?
            .into_iter()
            .filter_map(|mut entry| Some((entry.trailers.remove(SUBMISSION)?, entry.commit)))
            .collect();
        let commit = |request: &Arc<MergeRequest>| {
            let id = &request.submission.as_ref()?.id;
            Some((id.clone(), landed.get(id)?.clone()))
        };
        Ok(submissions.iter().map(commit).collect())
    }

    /// Whether what was certified is what the tree holds: others may have landed since, in modules that it does not rest on
    /// and that do not rest on it.
    fn is_as_certified(
        &self,
        head: &str,
        tree: &str,
        assembly: &Assembly,
    ) -> Result<Result<(), String>, RepositoryError> {
        let before = self.repository.tree(head)?;
        let certified = &assembly.footprint.check;
        let now = match self.footprint(&before, tree) {
            Ok((footprint, _)) => footprint,
            Err(Obstacle::Blocked { reason, .. }) => return Ok(Err(reason)),
            Err(Obstacle::Git(error)) => return Err(error),
        };
        if let Some(module) = now.check.iter().find(|module| !certified.contains(*module)) {
            return Ok(Err(format!("{module}, which rests on it, came to main since it was certified")));
        }
        let modules = self.modules(tree)?;
        let reads = match self.graph(&modules) {
            Ok(graph) => graph.closure(certified.iter().map(String::as_str)),
            Err(Obstacle::Blocked { reason, .. }) => return Ok(Err(reason)),
            Err(Obstacle::Git(error)) => return Err(error),
        };
        let same = digest(certified, &reads, &modules) == assembly.content;
        Ok(if same { Ok(()) } else { Err("main has changed below it since it was certified".to_owned()) })
    }
}

fn digest(check: &BTreeSet<String>, reads: &BTreeSet<String>, modules: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    for module in check {
        digest.update(format!("check {module}\n"));
    }
    for module in reads {
        digest.update(format!("{module} {}\n", modules.get(module).map_or("", String::as_str)));
    }
    hex::encode(digest.finalize())
}

fn text(request: &MergeRequest, time_ms: u64) -> CommitText {
    let submission = request.submission.clone().unwrap_or_default();
    let trace = request.traceparent.split('-').nth(1).unwrap_or_default().to_owned();
    let trailers = [
        ("Atlas-Target", submission.target),
        ("Atlas-Task", submission.attempt),
        ("Atlas-Agent", submission.agent.clone()),
        (SUBMISSION, submission.id),
        ("Atlas-Trace", trace),
    ];
    CommitText {
        author: format!("{} ({})", submission.role, submission.agent),
        email: format!(
            "{}@run.atlas",
            submission.agent.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-', "-")
        ),
        subject: submission.title,
        body: submission.summary,
        trailers: trailers
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        time: i64::try_from(time_ms / 1000).unwrap_or(i64::MAX),
    }
}
