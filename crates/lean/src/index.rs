//! The index of declarations: the toolchain's from the image, a library's from its facts.

use atlas_proto::{CheckLevel, CheckRequest, DeclarationFacts, LookupReply, LookupRequest};

use crate::frame::frames;
use crate::toolchain::Toolchain;

/// Declarations that a look-up gives when it names no number.
const LIMIT: usize = 20;

struct Entry {
    name: String,
    lower: String,
    kind: String,
    module: String,
    statement: String,
}

/// The toolchain's declarations.
#[derive(Default)]
pub(crate) struct Index(Vec<Entry>);

impl Index {
    /// Reads what the session wrote; malformed text gives an empty index.
    pub(crate) fn parse(text: &str) -> Self {
        let mut entries = vec![];
        let mut module = String::new();
        for frame in frames(text).unwrap_or_default() {
            match frame.tag {
                "m" => module = frame.text(0).to_owned(),
                "d" => entries.push(Entry {
                    name: frame.text(0).to_owned(),
                    lower: frame.text(0).to_lowercase(),
                    kind: frame.text(1).to_owned(),
                    module: module.clone(),
                    statement: frame.text(2).to_owned(),
                }),
                _ => {}
            }
        }
        Self(entries)
    }

    /// Declarations that fit, the library's first, then by how short their names are: the plainest fact has the shortest.
    pub(crate) fn search(
        &self,
        library: Vec<DeclarationFacts>,
        request: &LookupRequest,
    ) -> Vec<DeclarationFacts> {
        let name = request.name.to_lowercase();
        let words: Vec<&str> = request.type_words();
        let fits = |lower: &str, statement: &str| {
            lower.contains(&name) && words.iter().all(|w| mentions(statement, w))
        };
        let mut found: Vec<DeclarationFacts> =
            library.into_iter().filter(|f| fits(&f.name.to_lowercase(), &f.statement)).collect();
        let mut toolchain: Vec<&Entry> = self.0.iter().filter(|e| fits(&e.lower, &e.statement)).collect();
        toolchain.sort_by_key(|e| (e.name.chars().count(), &e.name));
        found.extend(toolchain.into_iter().map(|e| DeclarationFacts {
            name: e.name.clone(),
            kind: e.kind.clone(),
            module: e.module.clone(),
            statement: e.statement.clone(),
            ..DeclarationFacts::default()
        }));
        found.truncate(if request.limit == 0 { LIMIT } else { request.limit as usize });
        found
    }
}

/// Answers a look-up: the request's modules are elaborated (or found in the cache) for their facts.
pub(crate) fn lookup(toolchain: &dyn Toolchain, known: &Index, request: &LookupRequest) -> LookupReply {
    if request.modules.is_empty() {
        return LookupReply { declarations: known.search(vec![], request), fault: String::new() };
    }
    let reply = toolchain.check(&CheckRequest {
        level: CheckLevel::Elaborated.into(),
        modules: request.modules.clone(),
        check: request.modules.iter().map(|m| m.name.clone()).collect(),
        ..CheckRequest::default()
    });
    LookupReply { declarations: known.search(reply.declarations, request), fault: reply.fault }
}

/// Whether a type mentions a word; `List.reverse` is also written `xs.reverse`.
fn mentions(statement: &str, word: &str) -> bool {
    statement.contains(word)
        || word
            .rfind('.')
            .is_some_and(|dot| dot > 0 && dot + 1 < word.len() && statement.contains(&word[dot..]))
}

/// The words of a look-up by type.
trait Words {
    fn type_words(&self) -> Vec<&str>;
}

impl Words for LookupRequest {
    fn type_words(&self) -> Vec<&str> {
        self.r#type.split_whitespace().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_are_by_part_of_the_name_and_words_of_the_type() {
        let index = Index::parse(
            "m 14\nInit.Data.Nat.d 12 7 5\nNat.add_commtheoremn + md 12 7 5\nNat.mul_commtheoremn * m"
                .replace("Nat.d", "Natd")
                .replace("m 14", "m 13")
                .as_str(),
        );
        let ask = |name: &str, words: &str| {
            let request =
                LookupRequest { name: name.into(), r#type: words.into(), ..LookupRequest::default() };
            index.search(vec![], &request).into_iter().map(|f| f.name).collect::<Vec<_>>()
        };
        assert_eq!(ask("COMM", ""), ["Nat.add_comm", "Nat.mul_comm"]);
        assert_eq!(ask("comm", "* n"), ["Nat.mul_comm"]);
        assert!(ask("nothing", "").is_empty());
    }
}
