//! Journals that the modelled server has moved away: encoded, in memory while they are few, then in a file that nobody else sees.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::sync::Arc;

use atlas_proto::{ArchivedRecord, Record};
use prost::Message as _;

/// Bytes in memory before they go to the file.
const IN_MEMORY: usize = 64 << 20;

/// Records by sequence, as a journal has them.
pub type Records = Vec<(u64, Arc<Record>)>;

/// Where one journal lies.
#[derive(Debug, Clone, Copy)]
pub struct Shelved {
    from: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Shelf {
    file: Option<File>,
    /// Bytes in the file; what follows is in memory.
    filed: u64,
    tail: Vec<u8>,
}

/// All of them. What was put there never changes, so that copies of a server, which stand for its disk, share them.
#[derive(Debug, Default, Clone)]
pub struct Archives(Rc<RefCell<Shelf>>);

impl Archives {
    /// Puts a journal away.
    pub fn put(&self, records: &[(u64, Arc<Record>)]) -> Shelved {
        let mut shelf = self.0.borrow_mut();
        let start = shelf.tail.len();
        for (sequence, record) in records {
            let record = ArchivedRecord { sequence: *sequence, record: Some(Record::clone(record)) };
            shelf.tail.extend(record.encode_length_delimited_to_vec());
        }
        let shelved = Shelved { from: shelf.filed + start as u64, bytes: shelf.tail.len() - start };
        if shelf.tail.len() >= IN_MEMORY {
            // Where there is no room for a file, memory has to do.
            let _ = shelf.file_away();
        }
        shelved
    }

    /// A journal as it was put away.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn get(&self, Shelved { from, bytes }: Shelved) -> io::Result<Records> {
        let shelf = self.0.borrow();
        let mut read = vec![0; bytes];
        match (from.checked_sub(shelf.filed), &shelf.file) {
            (Some(from), _) => read.copy_from_slice(&shelf.tail[from as usize..from as usize + bytes]),
            (None, Some(file)) => file.read_exact_at(&mut read, from)?,
            (None, None) => return Err(io::ErrorKind::NotFound.into()),
        }
        let mut rest = read.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            let ArchivedRecord { sequence, record } = ArchivedRecord::decode_length_delimited(&mut rest)?;
            records.push((sequence, Arc::new(record.unwrap_or_default())));
        }
        Ok(records)
    }
}

impl Shelf {
    fn file_away(&mut self) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        file.write_all_at(&self.tail, self.filed)?;
        self.filed += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_come_back_from_memory_and_from_the_file() {
        let archives = Archives::default();
        let journal = |of: u64, bytes: usize| -> Records {
            let record = |at| Record {
                cause: format!("{of}.{at}"),
                events: vec![vec![7; bytes]],
                ..Record::default()
            };
            (1..=3).map(|at| (of * 10 + at, Arc::new(record(at)))).collect()
        };
        let journals: Vec<Records> = (0..5).map(|of| journal(of, IN_MEMORY / 6)).collect();
        let shelved: Vec<Shelved> = journals.iter().map(|journal| archives.put(journal)).collect();
        {
            let shelf = archives.0.borrow();
            assert!(shelf.filed > 0 && !shelf.tail.is_empty() && shelf.tail.len() < IN_MEMORY);
        }
        for (journal, shelved) in journals.iter().zip(shelved) {
            assert_eq!(archives.get(shelved).unwrap(), *journal);
        }
        assert_eq!(archives.get(archives.put(&[])).unwrap(), Records::new());
    }
}
