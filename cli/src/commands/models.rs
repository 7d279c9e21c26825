//! `atlas models`: what the AtlasRun's models cost, how fast they may be called, whether their keys are found.

use atlas_api::{AtlasRun, Model, Provider};
use serde_json::{Value, json};

use crate::args::{ModelsArgs, Output};
use crate::failure::{Exit, Result};
use crate::format::short;
use crate::input::tell;
use crate::print;

/// Lists the models.
pub fn models(args: &ModelsArgs) -> Result<Exit> {
    let loaded = AtlasRun::load(&args.file).map_err(|problems| tell(&problems.0))?;
    let spec = &loaded.run.spec;
    let roles = |model: &Model| -> Vec<&str> {
        atlas_api::ROLES
            .into_iter()
            .filter(|role| *role != "automation" && spec.model_of(role) == Some(model.name.as_str()))
            .collect()
    };
    if args.output.output == Output::Json {
        let models: Vec<Value> = spec
            .models
            .iter()
            .map(|model| {
                json!({
                    "name": model.name,
                    "provider": model.provider,
                    "model": model.model,
                    "base_url": model.base_url,
                    "key": key(model).0,
                    "key_found": key(model).1,
                    "price_usd_per_million_tokens": model.price,
                    "requests_per_minute": model.limits.requests_per_minute,
                    "tokens_per_minute": model.limits.tokens_per_minute,
                    "context_window": model.context_window,
                    "max_output_tokens": model.max_output_tokens,
                    "roles": roles(model),
                })
            })
            .collect();
        print::json(&models)?;
        return Ok(Exit::Done);
    }
    let dash = || "–".to_owned();
    let rows = spec
        .models
        .iter()
        .map(|model| {
            let limit = |n: Option<u64>| n.map_or_else(dash, short);
            vec![
                model.name.clone(),
                model.provider.to_string(),
                if model.model.is_empty() { dash() } else { model.model.clone() },
                match key(model) {
                    (source, Some(true)) => format!("{source}: found"),
                    (source, Some(false)) => print::styled(print::WRONG, format!("{source}: not found")),
                    (_, None) => "not needed".into(),
                },
                prices(&model.price),
                limit(model.limits.requests_per_minute.map(u64::from)),
                limit(model.limits.tokens_per_minute),
                short(model.context_window),
                match roles(model).as_slice() {
                    [] => dash(),
                    roles => roles.join(" "),
                },
            ]
        })
        .collect();
    print::line(
        print::table(
            &[
                "MODEL",
                "PROVIDER",
                "NAME THERE",
                "KEY",
                "$/M IN / OUT / CACHE READ / WRITE",
                "CALLS/MIN",
                "TOKENS/MIN",
                "WINDOW",
                "ROLES",
            ],
            rows,
            &[5, 6, 7],
        )
        .trim_end(),
    );
    Ok(Exit::Done)
}

/// Dollars per million tokens, by class; an unset cache price is that of fresh input.
fn prices(price: &atlas_api::Price) -> String {
    let cache = |of: Option<f64>| of.unwrap_or(price.input);
    format!("{} / {} / {} / {}", price.input, price.output, cache(price.cache_read), cache(price.cache_write))
}

/// Where a model's key is to be found, never the key; and whether it is there, when one is needed.
fn key(model: &Model) -> (String, Option<bool>) {
    match (&model.key, model.provider) {
        (_, Provider::Recorded) | (None, _) => (String::new(), None),
        (Some(source), _) => (source.to_string(), Some(source.read().is_ok())),
    }
}
