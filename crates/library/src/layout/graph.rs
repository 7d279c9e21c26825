//! The import graph of a library.

use std::collections::{BTreeMap, BTreeSet};

use super::{LayoutError, header, is_module_of};

/// Which modules of a library import which. Imports of other packages (`Init`, `Std`, dependencies) are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportGraph {
    imports: BTreeMap<String, BTreeSet<String>>,
    importers: BTreeMap<String, BTreeSet<String>>,
}

impl ImportGraph {
    /// Reads the graph from modules and their sources.
    ///
    /// # Errors
    /// A module imports one of `package` that is not among `modules`, or modules import each other in a circle.
    pub fn read<'a>(
        package: &str,
        modules: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, LayoutError> {
        let modules = modules.into_iter();
        Self::of(
            package,
            modules.map(|(module, text)| {
                let imports = header::imports(text);
                (module.to_owned(), imports)
            }),
        )
    }

    /// Builds the graph from modules and the names that they import; with an empty `package` every import counts as the library's own.
    ///
    /// # Errors
    /// As [`ImportGraph::read`].
    pub fn of(
        package: &str,
        modules: impl IntoIterator<Item = (String, Vec<String>)>,
    ) -> Result<Self, LayoutError> {
        let all: BTreeMap<String, Vec<String>> = modules.into_iter().collect();
        let mut graph = Self::default();
        for (module, imports) in &all {
            let own = graph.imports.entry(module.clone()).or_default();
            for import in imports.iter().filter(|import| package.is_empty() || is_module_of(package, import))
            {
                if !all.contains_key(import) {
                    let known = all.keys().cloned().collect();
                    let (module, import) = (module.clone(), import.clone());
                    return Err(LayoutError::NoModule { module, import, known });
                }
                own.insert(import.clone());
                graph.importers.entry(import.clone()).or_default().insert(module.clone());
            }
        }
        graph.order()?;
        Ok(graph)
    }

    /// All modules, by name.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.imports.keys().map(String::as_str)
    }

    /// What `module` imports itself.
    pub fn imports(&self, module: &str) -> impl Iterator<Item = &str> {
        self.imports.get(module).into_iter().flatten().map(String::as_str)
    }

    /// `modules` and all that they import, directly or not.
    pub fn closure<'a>(&self, modules: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        reach(modules, &self.imports)
    }

    /// `modules` and all that import them, directly or not: what a change of them affects.
    pub fn downstream<'a>(&self, modules: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        reach(modules, &self.importers)
    }

    /// All modules, each after those that it imports; by name where that leaves a choice.
    ///
    /// # Errors
    /// [`LayoutError::ImportCycle`].
    pub fn order(&self) -> Result<Vec<String>, LayoutError> {
        let mut missing: BTreeMap<&str, usize> =
            self.imports.iter().map(|(module, imports)| (module.as_str(), imports.len())).collect();
        let mut ready: BTreeSet<&str> = missing.iter().filter(|(_, n)| **n == 0).map(|(m, _)| *m).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(module) = ready.pop_first() {
            missing.remove(module);
            order.push(module.to_owned());
            for importer in self.importers.get(module).into_iter().flatten() {
                if let Some(count) = missing.get_mut(importer.as_str()) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(importer);
                    }
                }
            }
        }
        let Some((&start, _)) = missing.first_key_value() else { return Ok(order) };
        // Every module that is left imports one that is left: walking along comes back to where it was.
        let mut walk = vec![start];
        loop {
            let last = walk[walk.len() - 1];
            let next = self.imports(last).find(|import| missing.contains_key(import)).unwrap_or(start);
            if let Some(at) = walk.iter().position(|module| *module == next) {
                let mut modules: Vec<String> = walk[at..].iter().map(|&m| m.to_owned()).collect();
                modules.push(next.to_owned());
                return Err(LayoutError::ImportCycle { modules });
            }
            walk.push(next);
        }
    }
}

fn reach<'a>(
    from: impl IntoIterator<Item = &'a str>,
    edges: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<String> = from.into_iter().map(str::to_owned).collect();
    while let Some(module) = next.pop() {
        if let Some(onward) = edges.get(&module) {
            next.extend(onward.iter().filter(|m| !seen.contains(*m)).cloned());
        }
        seen.insert(module);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Result<ImportGraph, LayoutError> {
        let modules = edges.iter().map(|(m, i)| ((*m).to_owned(), i.iter().map(|&i| i.to_owned()).collect()));
        ImportGraph::of("N", modules)
    }

    #[test]
    fn closures_go_up_and_downstream_goes_down() {
        let graph = graph(&[
            ("N", &["N.A", "N.B", "N.C"]),
            ("N.A", &["Init"]),
            ("N.B", &["N.A", "Mathlib.Order"]),
            ("N.C", &[]),
        ]);
        let graph = graph.unwrap();
        assert_eq!(Vec::from_iter(graph.closure(["N.B"])), ["N.A", "N.B"]);
        assert_eq!(Vec::from_iter(graph.downstream(["N.A"])), ["N", "N.A", "N.B"]);
        assert_eq!(graph.order().unwrap(), ["N.A", "N.B", "N.C", "N"]);
    }

    #[test]
    fn circles_and_missing_modules_are_named() {
        let circle = graph(&[("N.A", &["N.B"]), ("N.B", &["N.C"]), ("N.C", &["N.B"])]).unwrap_err();
        assert_eq!(circle.to_string(), "modules import each other in a circle: N.B → N.C → N.B");
        let missing = graph(&[("N.A", &["N.X"])]).unwrap_err();
        assert_eq!(missing.to_string(), "`N.A` imports `N.X`, which the library does not have (it has: N.A)");
    }
}
