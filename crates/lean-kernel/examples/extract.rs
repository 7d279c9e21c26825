//! Writes a part of a lean4export file: the declarations named, and everything that they rest on.
//!
//! ```text
//! cargo run -p atlas-lean-kernel --example extract -- FILE NAME… > PART
//! ```
//!
//! With `--digest` it writes the digests of the declarations instead, as `pinned.rs` has them.

use std::error::Error;
use std::io::{BufReader, BufWriter, Write as _};

use atlas_lean_kernel::ndjson::{Bounds, Reader, write};
use atlas_lean_kernel::{Base, digest};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let digests = arguments.iter().position(|a| a == "--digest").map(|i| arguments.remove(i)).is_some();
    let [file, names @ ..] = &arguments[..] else { return Err("extract [--digest] FILE NAME…".into()) };
    let mut reader = Reader::new(&Base::empty(), &Bounds::default());
    reader.read(&mut BufReader::new(std::fs::File::open(file)?))?;
    let (mut terms, declarations) = reader.finish();
    let names = names.iter().map(|n| terms.name_path(n)).collect::<Result<Vec<_>, _>>()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    if digests {
        for n in names {
            writeln!(out, "    (\"{}\", \"{}\"),", terms.show(n), digest(&terms, &declarations, n))?;
        }
    } else {
        write(&terms, &declarations, &names, &mut out)?;
    }
    Ok(out.flush()?)
}
