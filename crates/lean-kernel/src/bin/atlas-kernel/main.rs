//! `atlas-kernel`: checks a lean4export file. The process that reads and checks is a child with limits on its memory and time;
//! however that one ends, this one answers with an exit status that means something.

mod answer;
mod options;
mod supervise;
mod work;

use std::process::ExitCode;

use clap::Parser as _;

use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let answer = if options.worker { work::answer(&options) } else { supervise::answer(&options) };
    ExitCode::from(answer.code())
}
