//! `atlas validate` and `atlas schema`.

use serde_json::json;

use crate::args::{Output, ValidateArgs};
use crate::failure::{Exit, Result};
use crate::input::{Input, summary, tell};
use crate::print;

/// Looks over an AtlasRun, its books and its keys.
pub fn validate(args: &ValidateArgs) -> Result<Exit> {
    let input = Input::load(&args.file)?;
    // A key may live on another machine: its absence is worth a word and no more.
    let keys = input.loaded.check_keys().err();
    match args.output.output {
        Output::Json => print::json(&json!({
            "run": input.loaded.run.metadata.name,
            "title": input.title,
            "chapters": input.chapters.iter().map(|c| json!({
                "slug": c.slug, "title": c.title, "module": c.module, "source": c.source, "line": c.first_line,
            })).collect::<Vec<_>>(),
            "targets": input.targets,
            "missing_keys": keys.iter().flat_map(|k| k.0.iter()).map(|p| p.message.clone()).collect::<Vec<_>>(),
        }))?,
        Output::Text => {
            print::line(format!("{} is well: {}", args.file.display(), summary(&input)));
            if let Some(problems) = keys {
                let mut text = tell(&problems.0).message;
                text.push_str("\n(only `atlas run` needs the keys)");
                print::error_line(text);
            }
        }
    }
    Ok(Exit::Done)
}

/// Prints the AtlasRun's JSON schema.
pub fn schema() -> Result<Exit> {
    print::json(&atlas_api::json_schema())?;
    Ok(Exit::Done)
}
