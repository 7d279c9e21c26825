//! Compiles `atlas/v1/*.proto` without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "atlas/v1/common.proto",
        "atlas/v1/check.proto",
        "atlas/v1/work.proto",
        "atlas/v1/planner.proto",
        "atlas/v1/agent.proto",
        "atlas/v1/merge.proto",
    ];
    println!("cargo:rerun-if-changed=atlas/v1");
    let descriptors = protox::compile(files, ["."])?;
    prost_build::Config::new()
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .compile_fds(descriptors)?;
    Ok(())
}
