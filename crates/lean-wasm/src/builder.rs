//! Makes an image from the npm package: rewrite, compile, warm up, save.

use std::path::{Path, PathBuf};
use std::time::Instant;

use wasmtime::{Engine, Module};

use crate::image::{End, Image, Job, machine, warm_up};
use crate::manifest::{CODE, INDEX, LIBRARY, Manifest, REWRITTEN, SESSION, SNAPSHOT, SYMBOLS, Step};
use crate::recipe::Recipe;
use crate::rewrite::rewrite;
use crate::{Error, engine, package};

/// Makes the image in `out` from the unpacked npm package in `package`. Work happens beside it, in `out.partial`, and is
/// moved into place when complete; what an interrupted build or an image of another version has done and is still
/// right is used. Needs about 3.2 GB of memory and 1 GB of disk. `progress` is told each step.
///
/// # Errors
/// [`Error::Digest`] for a package that is not the expected one; others as their texts say.
pub fn build(package: &Path, out: &Path, progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let engine = engine::engine()?;
    if Manifest::usable(out, &engine, Step::Index).is_ok() {
        progress("the image is there and usable");
        return Ok(());
    }
    // One builder at a time: another one, of a second checkout or a test, waits and finds the work done.
    let lock = beside(out, "lock");
    if let Some(parent) = lock.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    let held = std::fs::File::create(&lock).map_err(Error::io("create", &lock))?;
    held.lock().map_err(Error::io("lock", &lock))?;
    if Manifest::usable(out, &engine, Step::Index).is_ok() {
        return Ok(());
    }
    let partial = beside(out, "partial");
    if !partial.exists() && out.exists() {
        std::fs::rename(out, &partial).map_err(Error::io("rename", out))?;
    }
    std::fs::create_dir_all(&partial).map_err(Error::io("create", &partial))?;
    let mut manifest = Manifest::load_or_new(&partial, &engine);
    for step in Step::ALL {
        // The rewritten module is gone once it has been compiled.
        let skipped = step == Step::Rewrite && manifest.is_done(Step::Compile, &engine);
        if manifest.is_done(step, &engine)
            && (step != Step::Rewrite || skipped || partial.join(REWRITTEN).exists())
        {
            continue;
        }
        let started = Instant::now();
        let saved = match step {
            Step::Library => unpack(package, &partial, progress)?,
            Step::Rewrite => rewrite_module(package, &partial, progress)?,
            Step::Compile => compile(&engine, &partial, progress)?,
            Step::Snapshot => Some(snapshot(&engine, &partial, progress)?),
            Step::Index => index(&partial, progress)?,
        };
        manifest.done(step, &partial, &engine, saved)?;
        progress(&format!("done in {:.1} s", started.elapsed().as_secs_f64()));
    }
    if out.exists() {
        std::fs::remove_dir_all(out).map_err(Error::io("remove", out))?;
    }
    std::fs::rename(&partial, out).map_err(Error::io("rename", &partial))
}

/// Checks an image whole: made from the right things, every file with the right digest.
///
/// # Errors
/// [`Error::Image`] says what is wrong with it.
pub fn verify(directory: &Path) -> Result<(), Error> {
    Manifest::usable(directory, &engine::engine()?, Step::Index)?.check_digests(directory)
}

fn beside(out: &Path, suffix: &str) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix}"));
    out.with_file_name(name)
}

type Saved = Option<crate::manifest::Saved>;

fn unpack(package: &Path, partial: &Path, progress: &mut dyn FnMut(&str)) -> Result<Saved, Error> {
    progress("unpacking the compiled library");
    let archive = package::LIBRARY.checked(package)?;
    let target = partial.join(LIBRARY);
    if target.exists() {
        std::fs::remove_dir_all(&target).map_err(Error::io("remove", &target))?;
    }
    package::unpack_library(&archive, &target)?;
    Ok(None)
}

fn rewrite_module(package: &Path, partial: &Path, progress: &mut dyn FnMut(&str)) -> Result<Saved, Error> {
    progress("rewriting lean.wasm");
    // The host's addresses and offsets belong to this very build, whose two halves are these files.
    package::GLUE.checked(package)?;
    let wasm = package::WASM.checked(package)?;
    let bytes = std::fs::read(&wasm).map_err(Error::io("read", &wasm))?;
    let rewritten = rewrite(&bytes)?;
    for (name, bytes) in [(REWRITTEN, &rewritten.module[..]), (SYMBOLS, rewritten.symbols.as_bytes())] {
        let path = partial.join(name);
        put(&path, bytes)?;
    }
    Ok(None)
}

/// Writes a file anew: processes of an image that is being built again may have the old one mapped.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    make_way(path)?;
    std::fs::write(path, bytes).map_err(Error::io("write", path))
}

fn make_way(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn compile(engine: &Engine, partial: &Path, progress: &mut dyn FnMut(&str)) -> Result<Saved, Error> {
    progress("compiling Lean for this machine (75 to 100 s on two cores, 3.2 GB of memory)");
    let (source, target) = (partial.join(REWRITTEN), partial.join(CODE));
    let bytes = std::fs::read(&source).map_err(Error::io("read", &source))?;
    let code = engine.precompile_module(&bytes).map_err(Error::wasm("compile Lean"))?;
    put(&target, &code)?;
    std::fs::remove_file(&source).map_err(Error::io("remove", &source))?;
    Ok(None)
}

fn snapshot(
    engine: &Engine,
    partial: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<crate::manifest::Saved, Error> {
    progress("starting Lean and saving its warm state");
    // SAFETY: the file was written by `compile` with this engine's configuration; the manifest's key for that step,
    // compared before this one runs, names wasmtime's version, its settings and the CPU's features.
    let module = unsafe { Module::deserialize_file(engine, partial.join(CODE)) }
        .map_err(Error::wasm("load the compiled Lean"))?;
    let machine = machine(engine.clone(), module)?;
    let clock = crate::image::Clock::start(engine);
    make_way(&partial.join(SNAPSHOT))?;
    let saved = warm_up(&machine, partial, SESSION, &partial.join(SNAPSHOT));
    drop(clock);
    saved
}

/// Asks the session for the toolchain's declarations and their types.
fn index(partial: &Path, progress: &mut dyn FnMut(&str)) -> Result<Saved, Error> {
    progress("listing the toolchain's declarations");
    let image = Image::open_after(partial, Step::Snapshot)?;
    let job = Job {
        request: b"index\n".to_vec(),
        inputs: std::collections::BTreeMap::new(),
        deadline: std::time::Duration::from_secs(900),
        extra_memory: 1 << 30,
        reader: None,
        given: Recipe::default(),
    };
    let outcome = image.run(image.base(), job)?;
    let End::Answered(text) = outcome.end else {
        return Err(Error::Session(format!(
            "the index of declarations could not be made: {:?}",
            outcome.end
        )));
    };
    let path = partial.join(INDEX);
    put(&path, &text)?;
    Ok(None)
}
