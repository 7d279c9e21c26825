//! The tools that agents call: their names, their arguments as types, and what a model is told of them.

use std::sync::{Arc, LazyLock};

use atlas_llm::ToolSpec;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;

/// Arguments of `read_file`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadFile {
    /// Path relative to the library's root, e.g. `Numbers/Parity.lean`.
    pub path: String,
    /// First line to show, from 1; the whole file when absent.
    pub from: Option<u32>,
    /// Last line to show.
    pub to: Option<u32>,
}

/// Arguments of `list_files`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListFiles {
    /// Only paths that begin so, e.g. `Numbers/`.
    pub under: Option<String>,
}

/// Arguments of `search`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Regular expression, matched line by line.
    pub pattern: String,
    /// Only in files whose path begins so.
    pub path: Option<String>,
}

/// Arguments of `find_declarations`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindDeclarations {
    /// Part of the full name, in any case, e.g. `gcd_comm`.
    pub name: Option<String>,
    /// Words that must all occur in the type as Lean prints it, e.g. `Nat.gcd Nat.Coprime =`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
}

/// Arguments of `check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The library file to check, or the one that the snippet imports; your target's module when absent.
    pub path: Option<String>,
    /// Lean lines, without header and imports, to elaborate after importing the module as your draft has it.
    pub snippet: Option<String>,
    /// With `column`: show the goals at this line (from 1) of the snippet, or of the file.
    pub line: Option<u32>,
    /// Column, from 0; 0 when only `line` is given.
    pub column: Option<u32>,
}

/// Arguments of `write_file`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    /// Path relative to the library's root.
    pub path: String,
    /// The whole new content.
    pub content: String,
}

/// Arguments of `edit_file`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditFile {
    /// Path relative to the library's root.
    pub path: String,
    /// Text that occurs exactly once in the file, blanks and line ends included.
    pub old: String,
    /// What takes its place.
    pub new: String,
}

/// Arguments of `write_region`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteRegion {
    /// The region's target; yours when absent.
    pub target: Option<String>,
    /// What goes between the region's markers, without them.
    pub content: String,
}

/// Arguments of `read_book`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadBook {
    /// First line to show, by the book's own line numbers; the part's first when absent.
    pub from: Option<u32>,
    /// Last line to show.
    pub to: Option<u32>,
}

/// Arguments of `submit`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// What you did and why, in one to three sentences: the commit's message.
    pub summary: String,
}

/// Arguments of `give_up`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveUp {
    /// What you tried, where it got stuck, and what a successor should know.
    pub reason: String,
}

/// A reviewer's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictDecision {
    /// It may land.
    Approve,
    /// It can be made right; the reasons say how.
    RequestChanges,
    /// It must not land in any form.
    Reject,
}

/// Arguments of `verdict`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Your decision.
    pub decision: VerdictDecision,
    /// One fault each: where, what is wrong, what it should be. May be empty for an approval only.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// What a triage agent decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriageAction {
    /// Split the proof into new targets.
    Decompose,
    /// The Lean statement is wrong; `text` says why and how to put it right.
    CorrectStatement,
    /// Ask a human; `text` is the question.
    Escalate,
    /// The book's statement is false; `text` gives the counterexample.
    Refute,
    /// Try again; `text` is the advice.
    Retry,
}

/// A target that a triage agent proposes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposedTarget {
    /// New label: letters, digits and dashes, e.g. `gcd-step`.
    pub id: String,
    /// A short title.
    #[serde(default)]
    pub title: String,
    /// The statement in words, complete.
    pub statement: String,
    /// Full Lean name, e.g. `Numbers.gcd_step`.
    pub declaration: String,
    /// Labels of the targets, new or existing, that it rests on.
    #[serde(default)]
    pub depends_on: Vec<String>,
}

/// Arguments of `triage`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Triage {
    /// What is to be done.
    pub action: TriageAction,
    /// Reason, question, counterexample or advice; needed for all actions but `decompose`.
    #[serde(default)]
    pub text: String,
    /// The new targets, for `decompose`.
    #[serde(default)]
    pub targets: Vec<ProposedTarget>,
}

/// A target that an extractor found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractedTarget {
    /// Label: the book's own, else made from the content, e.g. `even-add`.
    pub id: String,
    /// definition, theorem, lemma, proposition, corollary, example or exercise.
    pub kind: String,
    /// The book's number or name of it.
    #[serde(default)]
    pub title: String,
    /// The book's words, complete.
    pub statement: String,
    /// The book's proof, if it has one.
    #[serde(default)]
    pub proof: Option<String>,
    /// Line of the book on which it begins.
    pub line: u32,
    /// Labels of the targets that the statement needs to be understood.
    #[serde(default)]
    pub statement_depends_on: Vec<String>,
    /// Labels of further targets that the book's proof uses.
    #[serde(default)]
    pub proof_depends_on: Vec<String>,
}

/// Arguments of `extract`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extract {
    /// All targets of the part, in the book's order.
    pub targets: Vec<ExtractedTarget>,
}

macro_rules! tools {
    ($($name:literal $variant:ident $about:literal,)*) => {
        /// A well-formed tool call.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Request { $(#[doc = concat!("`", $name, "`.")] $variant($variant),)* }

        impl Request {
            fn from_json(name: &str, arguments: Value) -> Option<Result<Self, serde_json::Error>> {
                match name {
                    $($name => Some(serde_json::from_value::<$variant>(arguments).map(Self::$variant)),)*
                    _ => None,
                }
            }
        }

        static SPECS: LazyLock<Vec<Arc<ToolSpec>>> = LazyLock::new(|| vec![
            $(Arc::new(ToolSpec::new($name, $about, schema::<$variant>())),)*
        ]);
    };
}

tools! {
    "read_file" ReadFile "Shows a file of the library as your draft has it, with line numbers, whole or from line to line.",
    "list_files" ListFiles "Lists the library's files with their sizes; changed ones are marked.",
    "search" Search "Finds the lines of the library that match a regular expression.",
    "find_declarations" FindDeclarations "Looks up declarations of this library and of the toolchain by part of the name, by words of the type, or both. Answers with full names and types.",
    "check" Check "Asks Lean. Without arguments: checks your target's module as it stands in your draft and reports errors, warnings and unsolved goals. With `snippet`: elaborates these lines after importing that module, outside every namespace. With `line` and `column`: also shows the goals there.",
    "write_file" WriteFile "Creates a file of your draft or replaces its whole content. Region markers that are there must stay.",
    "edit_file" EditFile "Replaces a text that occurs exactly once in a file of your draft.",
    "write_region" WriteRegion "Replaces what lies between the markers of your target's region.",
    "read_book" ReadBook "Shows lines of the part of the book that you work on, with their numbers.",
    "submit" Submit "Offers your draft and ends your work, if Lean accepts it: the module must check, and a proof must hold no `sorry`. If it does not, you are told why and go on.",
    "give_up" GiveUp "Ends your work without a submission.",
    "verdict" Verdict "Gives your verdict and ends your work.",
    "triage" Triage "Decides what happens to the target and ends your work.",
    "extract" Extract "Gives the list of targets and ends your work.",
}

fn schema<T: JsonSchema>() -> Value {
    // Subschemas inline: not every provider follows `$ref`.
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.remove("description");
    schema.to_value()
}

impl Request {
    /// Reads a call of one of the tools in `allowed`.
    ///
    /// # Errors
    /// What to tell the model: the tool does not exist, or how its arguments are wrong.
    pub fn parse(name: &str, arguments: &Value, allowed: &[String]) -> Result<Self, String> {
        if !allowed.iter().any(|tool| tool == name) {
            return Err(format!("There is no tool `{name}`. Your tools are: {}.", allowed.join(", ")));
        }
        let arguments = match arguments {
            Value::Null => Value::Object(serde_json::Map::new()),
            Value::Object(_) => arguments.clone(),
            _ => {
                return Err(format!(
                    "The arguments of `{name}` are not a JSON object. They must follow {}.",
                    usage(name)
                ));
            }
        };
        match Self::from_json(name, arguments) {
            Some(Ok(request)) => Ok(request),
            Some(Err(error)) => Err(format!(
                "The arguments of `{name}` are wrong: {error}. They must follow {}.",
                usage(name)
            )),
            None => Err(format!("There is no tool `{name}`. Your tools are: {}.", allowed.join(", "))),
        }
    }

    /// Whether the answer lies outside the conversation: in the library, in Lean.
    pub fn needs_io(&self) -> bool {
        matches!(
            self,
            Self::ReadFile(_)
                | Self::ListFiles(_)
                | Self::Search(_)
                | Self::FindDeclarations(_)
                | Self::Check(_)
                | Self::Submit(_)
        )
    }
}

fn usage(name: &str) -> String {
    let schema =
        SPECS.iter().find(|spec| spec.name == name).map(|spec| spec.schema["properties"].to_string());
    schema.unwrap_or_default()
}

/// The specifications of the tools in `names`, in the house's order. Unknown names are left out.
pub fn specs(names: &[String]) -> Vec<Arc<ToolSpec>> {
    SPECS.iter().filter(|spec| names.contains(&spec.name)).cloned().collect()
}

/// Every tool's name.
pub fn names() -> impl Iterator<Item = &'static str> {
    SPECS.iter().map(|spec| spec.name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_calls_are_answered_with_what_there_is() {
        let allowed = vec!["check".to_owned(), "submit".to_owned()];
        let unknown = Request::parse("lake_build", &json!({}), &allowed).unwrap_err();
        assert_eq!(unknown, "There is no tool `lake_build`. Your tools are: check, submit.");
        let forbidden =
            Request::parse("write_file", &json!({"path": "a", "content": ""}), &allowed).unwrap_err();
        assert!(forbidden.contains("check, submit"), "{forbidden}");
        let wrong = Request::parse("submit", &json!({"sumary": "x"}), &allowed).unwrap_err();
        assert!(wrong.contains("unknown field `sumary`") && wrong.contains("commit's message"), "{wrong}");
        let torn = Request::parse("submit", &json!("{\"summ"), &allowed).unwrap_err();
        assert!(torn.contains("not a JSON object"), "{torn}");
        assert_eq!(Request::parse("check", &Value::Null, &allowed), Ok(Request::Check(Check::default())));
    }

    #[test]
    fn schemas_stand_alone_and_describe_every_argument() {
        for spec in SPECS.iter() {
            let text = spec.schema.to_string();
            assert!(!text.contains("$ref") && spec.schema["type"] == "object", "{}: {text}", spec.name);
            for (name, property) in spec.schema["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{}.{name}", spec.name);
            }
        }
    }
}
