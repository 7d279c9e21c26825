//! Prints the JSON schema of the AtlasRun: `cargo run -p atlas-api --bin atlasrun-schema > docs/reference/atlasrun.schema.json`.

fn main() {
    println!("{:#}", atlas_api::json_schema());
}
