//! The modules of a request: what imports what, and in which order they are elaborated.

use std::collections::{BTreeMap, BTreeSet};

use atlas_proto::{Diagnostic, Focus, ModuleSource, Position, Severity};

use crate::source::{imports, is_toolchain};

/// A module of the request.
#[derive(Debug)]
pub(crate) struct Module<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
    /// Bytes of `source` that later questions are likely to share; 0: none.
    pub(crate) begin: usize,
    /// Library modules that it imports itself, sorted, with the lines of the imports.
    pub(crate) library: Vec<(String, u32)>,
    /// Toolchain modules beyond `Init` that it imports itself, sorted.
    pub(crate) toolchain: Vec<String>,
}

/// All modules of a request by name.
#[derive(Debug)]
pub(crate) struct Graph<'a>(BTreeMap<&'a str, Module<'a>>);

/// An error diagnostic of a module as a whole or of one of its lines.
pub(crate) fn error(module: &str, line: u32, message: String) -> Diagnostic {
    let at = (line > 0).then_some(Position { line, column: 0 });
    Diagnostic {
        severity: Severity::Error.into(),
        module: module.to_owned(),
        start: at,
        end: at,
        message,
        unsolved_goals: false,
    }
}

impl<'a> Graph<'a> {
    /// Reads the modules' imports. An import of a module that is not among them and that `elsewhere` knows is the toolchain's
    /// or an installed package's.
    ///
    /// # Errors
    /// A module without bytes: that is not the content's fault.
    pub(crate) fn new(modules: &'a [ModuleSource], elsewhere: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let own_names: BTreeSet<&str> = modules.iter().map(|m| m.name.as_str()).collect();
        let mut all = BTreeMap::new();
        for module in modules {
            let bytes = module
                .source
                .as_deref()
                .ok_or_else(|| format!("the source of module {} is missing", module.name))?;
            let source = std::str::from_utf8(bytes)
                .map_err(|e| format!("module {} is not UTF-8: {e}", module.name))?;
            let mut own = Module { name: &module.name, source, begin: 0, library: vec![], toolchain: vec![] };
            for import in imports(source) {
                let name = import.module.as_str();
                if own_names.contains(name) || !is_toolchain(name) && !elsewhere(name) {
                    own.library.push((import.module, import.line));
                } else if import.module != "Init" && !import.module.starts_with("Init.") {
                    own.toolchain.push(import.module);
                }
            }
            own.library.sort();
            own.library.dedup_by(|a, b| a.0 == b.0);
            own.toolchain.sort();
            own.toolchain.dedup();
            all.insert(module.name.as_str(), own);
        }
        Ok(Self(all))
    }

    /// Cuts a module off behind the lines that are of interest, and notes where they begin.
    pub(crate) fn focus(&mut self, name: &str, focus: &Focus) {
        if let Some(module) = self.0.get_mut(name) {
            let lines = |count: u32| -> usize {
                module.source.split_inclusive('\n').take(count as usize).map(str::len).sum()
            };
            let end = if focus.last_line == 0 { module.source.len() } else { lines(focus.last_line) };
            module.begin = lines(focus.first_line.saturating_sub(1)).min(end);
            module.source = module.source.get(..end).unwrap_or(module.source);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Module<'a>> {
        self.0.get(name)
    }

    /// `roots` and everything below them, each after what it imports.
    ///
    /// # Errors
    /// An import of what is not there, or a cycle, as diagnostics.
    pub(crate) fn order(&self, roots: &[String]) -> Result<Vec<&Module<'a>>, Vec<Diagnostic>> {
        let mut walk =
            Walk { graph: self, done: BTreeMap::new(), order: vec![], faults: vec![], path: vec![] };
        for root in roots {
            match self.0.get(root.as_str()) {
                Some(module) => walk.visit(module),
                None => walk.faults.push(error(
                    root,
                    0,
                    format!("module {root} is not among the modules of the request"),
                )),
            }
        }
        if walk.faults.is_empty() { Ok(walk.order) } else { Err(walk.faults) }
    }
}

struct Walk<'g, 'a> {
    graph: &'g Graph<'a>,
    /// Whether a module that was met is finished.
    done: BTreeMap<&'g str, bool>,
    order: Vec<&'g Module<'a>>,
    faults: Vec<Diagnostic>,
    path: Vec<&'g str>,
}

impl<'g, 'a> Walk<'g, 'a> {
    fn visit(&mut self, module: &'g Module<'a>) {
        if self.done.contains_key(module.name) {
            return;
        }
        self.done.insert(module.name, false);
        self.path.push(module.name);
        for (name, line) in &module.library {
            match self.graph.get(name) {
                None => {
                    let message = format!(
                        "unknown module `{name}`: it is neither a module of the library nor of the toolchain"
                    );
                    self.faults.push(error(module.name, *line, message));
                }
                Some(imported) if self.done.get(imported.name) == Some(&false) => {
                    let from = self.path.iter().position(|m| *m == imported.name).unwrap_or(0);
                    let cycle = [&self.path[from..], &[imported.name]].concat().join(" → ");
                    self.faults.push(error(
                        module.name,
                        *line,
                        format!("the modules import each other: {cycle}"),
                    ));
                }
                Some(imported) => self.visit(imported),
            }
        }
        self.path.pop();
        self.done.insert(module.name, true);
        self.order.push(module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, source: &str) -> ModuleSource {
        ModuleSource { name: name.into(), sha256: String::new(), source: Some(source.as_bytes().to_vec()) }
    }

    #[test]
    fn imported_modules_come_first_and_others_not_at_all() {
        let modules = [
            module(
                "N.C",
                "module\npublic import N.A\npublic import N.B\nimport Std.Data.HashMap\nimport Init.Data.List",
            ),
            module("N.B", "module\npublic import N.A"),
            module("N.A", "module\npublic import Init"),
            module("N.D", ""),
        ];
        let graph = Graph::new(&modules, &|_| false).unwrap();
        let order: Vec<_> = graph.order(&["N.C".into()]).unwrap().iter().map(|m| m.name).collect();
        assert_eq!(order, ["N.A", "N.B", "N.C"]);
        assert_eq!(graph.get("N.C").unwrap().toolchain, ["Std.Data.HashMap"]);
    }

    #[test]
    fn a_focus_cuts_the_module_off_behind_its_lines() {
        let modules = [module("N.A", "module\n-- begin é\nx\n-- end é\nrest")];
        let mut graph = Graph::new(&modules, &|_| false).unwrap();
        let focused = |graph: &mut Graph<'_>, first_line, last_line| {
            graph.focus("N.A", &Focus { first_line, last_line });
            let module = graph.get("N.A").unwrap();
            (module.source[..module.begin].to_owned(), module.source[module.begin..].to_owned())
        };
        let told = focused(&mut graph, 3, 4);
        assert_eq!(told, ("module\n-- begin é\n".to_owned(), "x\n-- end é\n".to_owned()));
        assert_eq!(focused(&mut graph, 9, 2).1, "", "lines beyond the end are none");
    }

    #[test]
    fn cycles_and_unknown_modules_are_diagnostics_with_a_line() {
        let modules = [module("N.A", "import N.B\nimport N.Z"), module("N.B", "import N.A")];
        let faults = Graph::new(&modules, &|_| false).unwrap().order(&["N.A".into()]).unwrap_err();
        let told: Vec<_> =
            faults.iter().map(|d| (d.module.as_str(), d.start.unwrap().line, d.message.as_str())).collect();
        assert_eq!(told[0], ("N.B", 1, "the modules import each other: N.A → N.B → N.A"));
        assert_eq!((told[1].0, told[1].1), ("N.A", 2));
    }
}
