//! The disk as programs meet it: what was synced is there after a power failure, what was not is gone.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use atlas_disk::{DiskError, LossyDisk, Names};
use nix::libc::O_DSYNC;

/// The disk; `None`, with a word about it, where the machine has no FUSE.
fn disk(at: &Path, names: Names) -> Option<LossyDisk> {
    match LossyDisk::mount(at, names) {
        Ok(disk) => Some(disk),
        Err(missing @ DiskError::NoDevice) => {
            eprintln!("not tested: {missing}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn sync_folder(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

#[test]
fn what_was_synced_is_there_after_a_power_failure_and_what_was_not_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut disk) = disk(folder.path(), Names::ByFolder) else { return };
    let at = |name: &str| folder.path().join(name);

    let mut log = File::create_new(at("log")).unwrap();
    log.write_all(b"synced ").unwrap();
    log.sync_data().unwrap();
    log.write_all(b"and not").unwrap();
    let mut through =
        File::options().write(true).create_new(true).custom_flags(O_DSYNC).open(at("through")).unwrap();
    through.write_all(b"at once").unwrap();
    fs::write(at("never"), "synced").unwrap();
    fs::create_dir(at("below")).unwrap();
    sync_folder(folder.path());
    fs::write(at("below/unnamed"), "its folder was not synced").unwrap();
    File::open(at("below/unnamed")).unwrap().sync_all().unwrap();
    fs::rename(at("through"), at("renamed")).unwrap();
    assert_eq!(fs::read(at("log")).unwrap(), b"synced and not", "all see what was written");

    let held = disk.power_fail().unwrap_err().to_string();
    assert!(held.contains("is what works there dead?"), "{held}");
    drop((log, through));
    disk.power_fail().unwrap();
    assert_eq!(fs::read(at("log")).unwrap(), b"synced ");
    assert_eq!(fs::read(at("through")).unwrap(), b"at once");
    assert_eq!(fs::read(at("never")).unwrap(), b"");
    assert_eq!(fs::read(at("renamed")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read_dir(at("below")).unwrap().count(), 0);
}

#[test]
fn a_journal_of_names_is_synced_with_anything() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut disk) = disk(folder.path(), Names::Journaled) else { return };
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    let mut new = File::create_new(at("a/b/new")).unwrap();
    new.write_all(b"whole").unwrap();
    new.sync_all().unwrap();
    drop(new);
    fs::rename(at("a/b/new"), at("a/b/file")).unwrap();
    disk.power_fail().unwrap();
    assert_eq!(fs::read(at("a/b/new")).unwrap(), b"whole", "the new name came after the last sync");
}

#[test]
fn programs_find_it_a_disk_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = disk(folder.path(), Names::ByFolder) else { return };
    let at = |name: &str| folder.path().join(name);
    let mut file = File::options().read(true).write(true).create_new(true).open(at("file")).unwrap();
    // More than the kernel sends at once.
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    file.write_all(&bytes).unwrap();
    file.seek(SeekFrom::Start(1_000_001)).unwrap();
    file.write_all(b"in the middle").unwrap();
    file.set_len(2_000_000).unwrap();
    let mut appended = File::options().append(true).open(at("file")).unwrap();
    appended.write_all(b"end").unwrap();
    let mut wanted = bytes;
    wanted[1_000_001..1_000_014].copy_from_slice(b"in the middle");
    wanted.truncate(2_000_000);
    wanted.extend(b"end");
    assert!(fs::read(at("file")).unwrap() == wanted);

    let mut names: Vec<String> = (0..500).map(|n| format!("a-name-that-takes-some-room-{n:04}")).collect();
    for name in &names {
        File::create_new(at(name)).unwrap();
    }
    names.push("file".to_owned());
    let listed = |path: &Path| {
        let mut listed: Vec<String> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        listed.sort();
        listed
    };
    assert_eq!(listed(folder.path()), names);
    fs::remove_file(at("file")).unwrap();
    let mut text = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut text).unwrap();
    assert!(text == wanted, "a file without a name is there for those who have it open");
    drop((file, appended));
    fs::create_dir(at("full")).unwrap();
    File::create_new(at("full/one")).unwrap();
    assert_eq!(fs::remove_dir(at("full")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    fs::remove_dir_all(at("full")).unwrap();
    assert!(disk.traffic().bytes >= 3_000_000);
    drop(disk);
    assert_eq!(listed(folder.path()), Vec::<String>::new(), "unmounted");
}
