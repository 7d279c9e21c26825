//! What a guest can and cannot reach.

use super::*;

fn vfs() -> Vfs {
    let inputs = BTreeMap::from([("/library/Numbers/Parity.olean".to_owned(), Arc::from(&b"olean"[..]))]);
    Vfs::new("/nonexistent".into(), inputs)
}

#[test]
fn a_guest_reaches_nothing_of_the_machine() {
    let mut vfs = vfs();
    for path in ["/etc/passwd", "/proc/self/environ", "/", "/lib"] {
        assert!(vfs.open(path, 1).is_err(), "write {path}");
    }
    assert_eq!(vfs.open("/etc/passwd", 0), Err(ENOENT));
    let escaped = vfs.absolute(AT_CWD, "../../etc/passwd").unwrap();
    assert_eq!((escaped.as_str(), vfs.open(&escaped, O_CREAT | 1)), ("/etc/passwd", Err(EACCES)));
    assert_eq!(vfs.open("/library/Numbers/Parity.olean", 1), Err(EROFS));
    assert_eq!(vfs.rename("/work/a", "/library/a"), Err(EACCES));
}

#[test]
fn nonce_and_request_are_read_once() {
    let mut vfs = vfs();
    vfs.set_request(Arc::from(&b"check"[..]), "secret".into());
    for path in ["/host/nonce", "/host/request"] {
        let descriptor = vfs.open(path, 0).unwrap();
        let mut buffer = [0; 16];
        assert!(vfs.read(descriptor, &mut buffer, None).unwrap() > 0);
        assert_eq!(vfs.open(path, 0), Err(ENOENT));
    }
}

#[test]
fn inputs_have_directories() {
    let mut vfs = vfs();
    assert_eq!(vfs.stat("/library/Numbers").map(|s| s.mode).unwrap_or(0) & 0o40000, 0o40000);
    let directory = vfs.open("/library/Numbers", 0).unwrap();
    let names: Vec<_> = vfs.entries(directory, 9).unwrap().into_iter().map(|e| e.0).collect();
    assert_eq!(names, [".", "..", "Parity.olean"]);
    assert!(vfs.stat("/library/Other").is_err());
}

#[test]
fn scratch_is_bounded() {
    let mut vfs = vfs();
    let file = vfs.open("/work/a.olean", O_CREAT | 1).unwrap();
    assert_eq!(vfs.write(file, &[7; 100], None), Ok(100));
    assert_eq!(vfs.write(file, &[7], Some(u64::MAX)), Err(ENOSPC));
    assert_eq!(vfs.write(file, &[7], Some(SCRATCH_BYTES as u64)), Err(ENOSPC));
    vfs.close(file).unwrap();
    vfs.rename("/work/a.olean", "/work/b.olean").unwrap();
    assert_eq!(vfs.take_written().0["/work/b.olean"].len(), 100);
}
