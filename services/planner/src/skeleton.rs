//! The library's first files: a module per chapter with an empty region for each target.

use std::collections::{BTreeMap, BTreeSet};

use atlas_domain::{Blueprint, TargetIx};
use atlas_library::layout;
use atlas_proto::{FileChange, RunSpec};

/// The toolchain of a library for which the run names none: the embedded Lean's nearest release.
const TOOLCHAIN: &str = "leanprover/lean4:v4.28.0";

/// Chapters whose targets depend on each other both ways cannot be modules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the modules {} would import each other in a circle, because of {}; move a target to another chapter or remove a dependency",
    .modules.join(" → "),
    .because.join(", ")
)]
pub struct ModuleCircle {
    /// The modules, the first again at the end.
    pub modules: Vec<String>,
    /// For each step a dependency that makes it, as ``a` on `b``.
    pub because: Vec<String>,
    /// The targets that have those dependencies.
    pub dependants: Vec<TargetIx>,
}

/// Modules with those that they import, each with one dependency that is the reason.
fn module_imports(blueprint: &Blueprint) -> BTreeMap<&str, BTreeMap<&str, (TargetIx, TargetIx)>> {
    let mut imports: BTreeMap<&str, BTreeMap<&str, (TargetIx, TargetIx)>> = BTreeMap::new();
    for (ix, target) in blueprint.targets() {
        let own = imports.entry(&target.module).or_default();
        for &edge in blueprint.statement_edges(ix).iter().chain(blueprint.proof_edges(ix)) {
            let module = blueprint.target(edge).module.as_str();
            if module != target.module {
                own.entry(module).or_insert((ix, edge));
            }
        }
    }
    imports
}

/// A circle of modules that would import each other.
pub fn module_circle(blueprint: &Blueprint) -> Option<ModuleCircle> {
    let imports = module_imports(blueprint);
    // Modules are few, so a walk from each in turn is cheap; `done` keeps it linear.
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for &start in imports.keys() {
        let mut path: Vec<&str> = vec![start];
        let mut pending: Vec<Vec<&str>> = vec![imports[start].keys().copied().collect()];
        while let Some(next) = pending.last_mut() {
            match next.pop() {
                Some(module) if path.contains(&module) => {
                    let from = path.iter().position(|&at| at == module).unwrap_or(0);
                    let mut modules: Vec<&str> = path[from..].to_vec();
                    modules.push(module);
                    let edges = || modules.windows(2).filter_map(|step| imports.get(step[0])?.get(step[1]));
                    let because = edges()
                        .map(|&(on, of)| {
                            format!("`{}` on `{}`", blueprint.target(on).id, blueprint.target(of).id)
                        })
                        .collect();
                    let dependants = edges().map(|&(on, _)| on).collect();
                    return Some(ModuleCircle {
                        modules: modules.into_iter().map(str::to_owned).collect(),
                        because,
                        dependants,
                    });
                }
                Some(module) if done.contains(module) => {}
                Some(module) => {
                    path.push(module);
                    pending
                        .push(imports.get(module).map(|m| m.keys().copied().collect()).unwrap_or_default());
                }
                None => {
                    pending.pop();
                    done.extend(path.pop());
                }
            }
        }
    }
    None
}

/// All files of the library before the first agent has worked.
pub fn files(spec: &RunSpec, blueprint: &Blueprint) -> Vec<FileChange> {
    let imports = module_imports(blueprint);
    let mut chapters: Vec<layout::Chapter> = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    let mut chapter = |module: &str, title: &str, chapters: &mut Vec<layout::Chapter>| {
        *at.entry(module.to_owned()).or_insert_with(|| {
            chapters.push(layout::Chapter {
                module: module.to_owned(),
                title: title.to_owned(),
                imports: imports
                    .get(module)
                    .map(|m| m.keys().map(|&m| m.to_owned()).collect())
                    .unwrap_or_default(),
                slots: Vec::new(),
            });
            chapters.len() - 1
        })
    };
    let with_targets: BTreeSet<&str> =
        blueprint.targets().map(|(_, target)| target.module.as_str()).collect();
    for one in spec.chapters.iter().filter(|one| with_targets.contains(one.module.as_str())) {
        chapter(&one.module, &one.title, &mut chapters);
    }
    for ix in blueprint.in_dependency_order() {
        let target = blueprint.target(ix);
        let at = chapter(&target.module, &target.chapter, &mut chapters);
        chapters[at].slots.push(layout::Slot { id: target.id.to_string(), title: target.title.clone() });
    }
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let dependencies: Vec<layout::Dependency> = spec
        .dependencies
        .iter()
        .map(|one| layout::Dependency {
            name: one.name.clone(),
            git: some(&one.git),
            rev: some(&one.rev),
            path: some(&one.path),
        })
        .collect();
    let toolchain = if spec.toolchain.is_empty() { TOOLCHAIN } else { spec.toolchain.trim() };
    layout::skeleton(&spec.package, toolchain, &dependencies, &chapters)
        .into_iter()
        .map(|(path, text)| FileChange { path, content: Some(text.into_bytes()) })
        .collect()
}

/// A module with room for the parts of a decomposed target, right before it.
///
/// # Errors
/// The module's markers are broken or the target has no region.
pub fn with_room(
    text: &str,
    parent: &str,
    parts: &[(String, String)],
    imports: &[String],
) -> Result<String, layout::LayoutError> {
    let mut text = text.to_owned();
    for module in imports {
        text = layout::with_import(&text, module);
    }
    for (id, title) in parts {
        text = layout::with_new_region(&text, id, title, Some(parent))?;
    }
    Ok(text)
}
