//! A journal and its snapshot on file, for the tests of machines: so that nobody changes what a journal is folded into and keeps
//! [`Machine::SNAPSHOT`], which would have hosts go on from states that the program of today would not have come to.

use std::fs;
use std::path::Path;

use atlas_domain::ActorId;
use atlas_proto::{Archive, ArchivedRecord, Record};
use prost::Message as _;

use crate::{Journaled, Machine};

/// Folds `<folder>/<name>.journal` and compares the state with the one of `<name>.<SNAPSHOT>.snapshot`. Where that is missing, as after a
/// new number, it is written, to be committed, and the test fails this once.
///
/// # Errors
/// What is to be done about it.
pub fn check<M: Machine + PartialEq>(folder: &Path, name: &str, actor: &ActorId) -> Result<(), String> {
    let number = M::SNAPSHOT.ok_or("it takes no snapshots")?;
    let journal = folder.join(format!("{name}.journal"));
    let bytes = fs::read(&journal).map_err(|error| format!("{}: {error}", journal.display()))?;
    let archive = Archive::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
    let mut folded = Journaled::<M>::new(actor);
    for ArchivedRecord { sequence, record } in archive.records {
        folded.fold(actor, sequence, record.unwrap_or_default()).map_err(|error| error.to_string())?;
    }
    let snapshot = folder.join(format!("{name}.{number}.snapshot"));
    if !snapshot.exists() {
        let state = folded.machine().snapshot().ok_or("it cannot be encoded")?;
        fs::write(&snapshot, state).map_err(|error| format!("{}: {error}", snapshot.display()))?;
        return Err(format!(
            "{} is new: commit it, and take away that of the number before",
            snapshot.display()
        ));
    }
    let state = fs::read(&snapshot).map_err(|error| format!("{}: {error}", snapshot.display()))?;
    if M::restore(&state).is_ok_and(|restored| restored == *folded.machine()) {
        return Ok(());
    }
    Err(format!(
        "{} is folded into another state than it was when SNAPSHOT became {number}: make it {}",
        journal.display(),
        number + 1
    ))
}

/// Writes a journal for [`check`], an event a record, with the times in Unix milliseconds.
///
/// # Errors
/// The file cannot be written.
pub fn write<'a, M: Machine>(
    folder: &Path,
    name: &str,
    events: impl IntoIterator<Item = (&'a M::Event, u64)>,
) -> std::io::Result<()> {
    let record = |(sequence, (event, time_ms)): (u64, (&M::Event, u64))| ArchivedRecord {
        sequence,
        record: Some(Record {
            version: M::VERSION,
            cause: sequence.to_string(),
            time_ms,
            events: vec![event.encode_to_vec()],
            ..Record::default()
        }),
    };
    let archive = Archive { records: (1..).zip(events).map(record).collect() };
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{name}.journal")), archive.encode_to_vec())
}
