//! Reading an AtlasRun from its file, and checking one that came without a file.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::yaml::{self, Node, Place};
use crate::{AtlasRun, KeySource, Problem, Problems, Provider, Toolchain, json_schema, rules, shape};

/// An AtlasRun as its file has it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The run, with every path absolute.
    pub run: AtlasRun,
    /// The file that it was read from, absolute.
    pub path: PathBuf,
    /// The file's text, for messages and for the run's record.
    pub text: String,
    /// The file as the user named it, for messages.
    named: PathBuf,
    document: Node,
}

impl AtlasRun {
    /// Reads the AtlasRun in the file `path`.
    ///
    /// # Errors
    /// Every mistake of the file, with its place and a way out.
    pub fn load(path: impl AsRef<Path>) -> Result<Loaded, Problems> {
        let named = path.as_ref();
        let unreadable = |message: String, help: &str| {
            Problems(vec![Problem::new(named, Place::default(), message).help(help)])
        };
        let bytes = std::fs::read(named).map_err(|error| {
            unreadable(
                format!("cannot read the AtlasRun: {error}"),
                "give the path of an AtlasRun with `-f FILE`",
            )
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            unreadable(
                format!("the AtlasRun is not UTF-8: byte {at} is none of it"),
                "save the file as UTF-8",
            )
        })?;
        let absolute = std::path::absolute(named).map_err(|error| {
            unreadable(format!("cannot tell where the file is: {error}"), "give an absolute path")
        })?;
        let folder = absolute.parent().unwrap_or_else(|| Path::new("/")).to_owned();
        let document = yaml::parse(named, &text)?;
        let mut run = checked(named, &document, Some(&folder), &text)?;
        run.spec.resolve(&folder);
        Ok(Loaded { run, path: absolute, text, named: named.to_owned(), document })
    }

    /// Checks an AtlasRun that came without a file, e.g. from the Kubernetes API. Paths are taken as they are.
    ///
    /// # Errors
    /// Every mistake; their places are empty.
    pub fn validate(&self) -> Result<(), Problems> {
        let json = serde_json::to_value(self).unwrap_or(Value::Null);
        checked(Path::new(&self.metadata.name), &Node::from_json(&json), None, "").map(|_| ())
    }
}

/// The document as a typed value, or all its mistakes.
fn checked(file: &Path, document: &Node, folder: Option<&Path>, text: &str) -> Result<AtlasRun, Problems> {
    let mut problems = shape::check(file, document, &json_schema());
    problems.extend(rules::check(file, document, folder));
    Problems::check(problems, text)?;
    serde_json::from_value(document.to_json()).map_err(|error| {
        // The schema comes from the types, so that this is a fault of the schema's walk, not of the file alone.
        Problems(vec![Problem::new(file, document.place, format!("not an AtlasRun: {error}"))])
    })
}

impl Loaded {
    /// Checks that the key of every model that some role uses can be read. Runs that are only validated need no keys.
    ///
    /// # Errors
    /// Each key that cannot be read, with the place of its `key`.
    pub fn check_keys(&self) -> Result<(), Problems> {
        let mut problems = Vec::new();
        for (model, node) in self
            .run
            .spec
            .models
            .iter()
            .zip(self.document.at(&["spec", "models"]).map_or(&[][..], Node::items))
        {
            let used = self.run.spec.used_models().contains(&model.name.as_str());
            let Some(key) = model.key.as_ref().filter(|_| used && model.provider != Provider::Recorded)
            else {
                continue;
            };
            if let Err(cause) = key.read() {
                let place = node
                    .get("key")
                    .map_or(node.place, |n| n.entries().first().map_or(n.place, |(_, value)| value.place));
                let message = format!("model `{}`: {cause}", model.name);
                problems.push(Problem::new(&self.named, place, message).help(key.way_out()));
            }
        }
        Problems::check(problems, &self.text)
    }
}

impl crate::AtlasRunSpec {
    /// Makes every path absolute: relative ones are `folder`'s.
    fn resolve(&mut self, folder: &Path) {
        let join = |path: &mut PathBuf| *path = folder.join(&*path);
        for book in &mut self.books {
            join(&mut book.path);
            book.targets.as_mut().map(join);
        }
        if let Toolchain::Path(path) = &mut self.library.toolchain {
            join(path);
        }
        for dependency in &mut self.library.dependencies {
            dependency.path.as_mut().map(join);
        }
        for role in self.agents.roles.values_mut() {
            role.prompt.as_mut().map(join);
        }
        for model in &mut self.models {
            model.recording.as_mut().map(join);
            model.call_log.as_mut().map(join);
            if let Some(KeySource::File(path)) = &mut model.key {
                join(path);
            }
        }
    }
}
