//! Does a tree have the shape that the schema asks for? Reports every place where it does not.

use std::path::Path;

use serde_json::{Map, Value};

use crate::problem::{nearest, one_of};
use crate::yaml::{Node, Place, Yaml};
use crate::{Duration, Problem, Quantity};

/// Every way in which `node` is not of the shape of `schema`, a schema that schemars made.
pub(crate) fn check(file: &Path, node: &Node, schema: &Value) -> Vec<Problem> {
    let none = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&none);
    let mut shape = Shape { file, definitions, problems: Vec::new() };
    shape.node(node, schema, "the document");
    shape.problems
}

struct Shape<'a> {
    file: &'a Path,
    definitions: &'a Map<String, Value>,
    problems: Vec<Problem>,
}

impl Shape<'_> {
    fn report(&mut self, place: Place, message: String, help: Option<String>) {
        let mut problem = Problem::new(self.file, place, message);
        problem.suggestion = help;
        self.problems.push(problem);
    }

    /// Checks `node`, which the messages call `name`.
    fn node(&mut self, node: &Node, schema: &Value, name: &str) {
        let schema = self.resolve(schema);
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            // schemars writes `Option<T>` as T or null.
            let some =
                options.iter().find(|option| option.get("type").and_then(Value::as_str) != Some("null"));
            if node.value != Yaml::Null
                && let Some(some) = some
            {
                self.node(node, some, name);
            }
            return;
        }
        if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
            return self.one_of(node, options, name);
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            return self.word(node, &words, name);
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        match (&node.value, types.iter().find(|t| **t != "null").copied().unwrap_or("null")) {
            (Yaml::Null, _) if types.contains(&"null") => {}
            (Yaml::Map(_), "object") => self.object(node, &schema, name),
            (Yaml::List(items), "array") => {
                if let Some(item_schema) = schema.get("items") {
                    for item in items {
                        self.node(item, item_schema, &format!("an item of {name}"));
                    }
                }
            }
            (Yaml::Text(text), "string") => self.text(node, text, &schema, name),
            (Yaml::Bool(_), "boolean") => {}
            (Yaml::Number(number), "number") => {
                self.range(node, number.as_f64().unwrap_or(f64::NAN), &schema, name)
            }
            (Yaml::Number(number), "integer") => match number.as_f64() {
                Some(value) if number.is_i64() || number.is_u64() => self.range(node, value, &schema, name),
                _ => self.mismatch(node, &schema, "integer", name),
            },
            (_, expected) => self.mismatch(node, &schema, expected, name),
        }
    }

    fn resolve(&self, schema: &Value) -> Value {
        schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| self.definitions.get(reference.rsplit('/').next()?))
            .unwrap_or(schema)
            .clone()
    }

    fn object(&mut self, node: &Node, schema: &Value, name: &str) {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        for (key, value) in node.entries() {
            match (properties.get(&key.name), schema.get("additionalProperties")) {
                (Some(property), _) => self.node(value, property, &format!("`{}`", key.name)),
                (None, Some(Value::Bool(false))) => {
                    let help = match nearest(&key.name, properties.keys().map(String::as_str)) {
                        Some(meant) if node.get(meant).is_some() => {
                            format!("did you mean `{meant}`? it has one already")
                        }
                        _ => one_of(&key.name, properties.keys().map(String::as_str)),
                    };
                    self.report(key.place, format!("{name} has no field `{}`", key.name), Some(help));
                }
                (None, Some(any @ Value::Object(_))) => self.node(value, any, &format!("`{}`", key.name)),
                (None, _) => {}
            }
        }
        for required in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !node.entries().iter().any(|(key, _)| key.name == required) {
                let help = properties
                    .get(required)
                    .and_then(|property| property.get("description").and_then(Value::as_str))
                    .map(|description| format!("`{required}`: {}", first_sentence(description)));
                let place = Place { length: 1, ..node.place };
                self.report(place, format!("{name} lacks `{required}`"), help);
            }
        }
    }

    /// A word out of several, or a mapping with one of several keys.
    fn one_of(&mut self, node: &Node, options: &[Value], name: &str) {
        let words: Vec<&str> =
            options.iter().filter_map(|option| option.get("const").and_then(Value::as_str)).collect();
        if !words.is_empty() {
            return self.word(node, &words, name);
        }
        let keys: Vec<(&String, &Value)> = options
            .iter()
            .filter_map(|option| option.get("properties").and_then(Value::as_object))
            .flat_map(|properties| properties.iter())
            .collect();
        let names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
        let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match node.entries() {
            [(key, value)] => match keys.iter().find(|(known, _)| **known == key.name) {
                Some((_, schema)) => self.node(value, schema, &format!("`{}`", key.name)),
                None => {
                    let help = one_of(&key.name, names);
                    self.report(key.place, format!("{name} has no field `{}`", key.name), Some(help));
                }
            },
            _ => self.report(
                node.place,
                format!("{name} must be a mapping with exactly one of {listed}"),
                None,
            ),
        }
    }

    fn word(&mut self, node: &Node, words: &[&str], name: &str) {
        match node.text() {
            Some(text) if words.contains(&text) => {}
            Some(text) => {
                let help = one_of(text, words.iter().copied());
                self.report(node.place, format!("{name} cannot be `{text}`"), Some(help));
            }
            None => {
                let listed = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
                self.report(
                    node.place,
                    format!("{name} is {}, but must be one of {listed}", node.describe()),
                    None,
                );
            }
        }
    }

    fn text(&mut self, node: &Node, text: &str, schema: &Value, name: &str) {
        let error = match schema.get("format").and_then(Value::as_str) {
            Some("atlas-duration") => text.parse::<Duration>().err().map(|e| e.to_string()),
            Some("atlas-bytes") => text.parse::<Quantity>().err().map(|e| e.to_string()),
            _ => None,
        };
        if let Some(error) = error {
            let (what, help) = error.split_once(": ").unwrap_or((&error, ""));
            self.report(node.place, format!("{name}: {what}"), Some(help.to_owned()));
        } else if text.is_empty() {
            self.report(node.place, format!("{name} is empty"), None);
        }
    }

    fn range(&mut self, node: &Node, value: f64, schema: &Value, name: &str) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        if let Some(least) = bound("minimum").filter(|least| value < *least) {
            self.report(node.place, format!("{name} is {value}, but must be at least {least}"), None);
        } else if let Some(most) = bound("maximum").filter(|most| value > *most) {
            self.report(node.place, format!("{name} is {value}, but must be at most {most}"), None);
        }
    }

    fn mismatch(&mut self, node: &Node, schema: &Value, expected: &str, name: &str) {
        let format = schema.get("format").and_then(Value::as_str);
        let (what, help) = match (expected, format, &node.value) {
            (_, Some("atlas-duration"), Yaml::Number(number)) => (
                "a duration",
                Some(format!("give the unit: `{number}s` for seconds, `{number}m` for minutes")),
            ),
            (_, Some("atlas-bytes"), Yaml::Number(number)) => (
                "a size",
                Some(format!("put it in quotes, with its unit: `{number}Mi`, or `\"{number}\"` for bytes")),
            ),
            ("string", _, Yaml::Number(_) | Yaml::Bool(_)) => ("text", Some("put it in quotes".to_owned())),
            ("string", ..) => ("text", None),
            ("integer", ..) => ("a whole number", None),
            ("number", ..) => ("a number", None),
            ("boolean", ..) => ("`true` or `false`", None),
            ("array", ..) => ("a list", Some("begin each item with `- `".to_owned())),
            _ => ("a mapping", None),
        };
        let length = if matches!(node.value, Yaml::Map(_) | Yaml::List(_)) { 1 } else { node.place.length };
        self.report(
            Place { length, ..node.place },
            format!("{name} is {}, but must be {what}", node.describe()),
            help,
        );
    }
}

fn first_sentence(description: &str) -> String {
    let text = description.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split_once(". ").map_or_else(|| text.trim_end_matches('.'), |(first, _)| first).to_owned()
}
