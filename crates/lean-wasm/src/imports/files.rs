//! File system calls: each ends in the guest's own `Vfs`. Everything that is not there is refused.

use wasmtime::{Caller, Error, Linker, Result, format_err};

use crate::guest::{Guest, Thread, guest};
use crate::memory::{GuestMemory, WASM_PAGE};
use crate::vfs::errno::*;
use crate::vfs::{DIRENT_BYTES, Stat};

/// `AT_EMPTY_PATH`: `newfstatat` of the descriptor itself.
const AT_EMPTY_PATH: i32 = 4096;

/// Writes a `struct stat`.
fn put_stat(memory: &GuestMemory, out: u32, stat: Result<Stat, i32>) -> Result<i32> {
    let stat = match stat {
        Ok(stat) => stat,
        Err(number) => return Ok(-number),
    };
    memory.update(out, 96, |b| {
        b.fill(0);
        b[0..4].copy_from_slice(&1u32.to_le_bytes());
        b[4..8].copy_from_slice(&stat.mode.to_le_bytes());
        b[8..12].copy_from_slice(&1u32.to_le_bytes());
        b[24..32].copy_from_slice(&stat.size.to_le_bytes());
        b[32..36].copy_from_slice(&4096u32.to_le_bytes());
        b[36..40].copy_from_slice(&(stat.size.div_ceil(512) as u32).to_le_bytes());
        b[88..96].copy_from_slice(&stat.inode.to_le_bytes());
    })?;
    Ok(0)
}

fn negated(result: Result<i32, i32>) -> i32 {
    result.unwrap_or_else(|number| -number)
}

fn zero_or(result: Result<(), i32>) -> i32 {
    negated(result.map(|()| 0))
}

/// Reads or writes the buffers of an `iovec` array until one is not filled.
fn transfer(
    g: &mut Guest,
    write: bool,
    file: i32,
    vectors: (u32, i32),
    at: Option<u64>,
    out: u32,
) -> Result<i32> {
    let memory = g.memory.clone();
    let mut total = 0;
    for (address, length) in memory.vectors(vectors.0, vectors.1)? {
        let at = at.map(|at| at.saturating_add(total as u64));
        let moved = memory.update(address, length, |b| {
            if write { g.files.write(file, b, at) } else { g.files.read(file, b, at) }
        })?;
        match moved {
            Ok(count) => {
                total += count;
                if count < length {
                    break;
                }
            }
            Err(number) => return Ok(number),
        }
    }
    memory.set_u32(out, total as u32)?;
    Ok(0)
}

/// Directory entries as `getdents64` gives them.
fn directory_entries(g: &mut Guest, file: i32, out: u32, bytes: u32) -> Result<i32> {
    let entries = match g.files.entries(file, bytes as usize / DIRENT_BYTES as usize) {
        Ok(entries) => entries,
        Err(number) => return Ok(-number),
    };
    let count = entries.len();
    for (k, (name, directory, next)) in entries.into_iter().enumerate() {
        g.memory.update(out.wrapping_add(DIRENT_BYTES as u32 * k as u32), DIRENT_BYTES as usize, |b| {
            b.fill(0);
            b[0..8].copy_from_slice(&(k as u64 + 10).to_le_bytes());
            b[8..16].copy_from_slice(&next.to_le_bytes());
            b[16..18].copy_from_slice(&(DIRENT_BYTES as u16).to_le_bytes());
            b[18] = if directory { 4 } else { 8 };
            let length = name.len().min(255);
            b[19..19 + length].copy_from_slice(&name.as_bytes()[..length]);
        })?;
    }
    Ok((DIRENT_BYTES as usize * count) as i32)
}

pub(super) fn define(l: &mut Linker<Thread>) -> Result<()> {
    define_paths(l)?;
    define_descriptors(l)?;
    define_mapping(l)?;
    define_refused(l)
}

/// A path argument, made absolute; an error number ends the call.
macro_rules! path {
    ($g:ident, $directory:expr, $pointer:expr) => {{
        let text = $g.memory.string($pointer)?;
        match $g.files.absolute($directory, &text) {
            Ok(path) => path,
            Err(number) => return Ok(-number),
        }
    }};
}

const CWD: i32 = -100;

fn define_paths(l: &mut Linker<Thread>) -> Result<()> {
    l.func_wrap(
        "env",
        "__syscall_openat",
        |c: Caller<'_, Thread>, directory: i32, path: u32, flags: i32, _mode: u32| -> Result<i32> {
            let mut g = guest(&c);
            let path = path!(g, directory, path);
            Ok(negated(g.files.open(&path, flags)))
        },
    )?;
    for name in ["__syscall_stat64", "__syscall_lstat64"] {
        l.func_wrap("env", name, |c: Caller<'_, Thread>, path: u32, out: u32| -> Result<i32> {
            let g = guest(&c);
            let path = path!(g, CWD, path);
            put_stat(&g.memory, out, g.files.stat(&path))
        })?;
    }
    l.func_wrap(
        "env",
        "__syscall_newfstatat",
        |c: Caller<'_, Thread>, directory: i32, path: u32, out: u32, flags: i32| -> Result<i32> {
            let g = guest(&c);
            if flags & AT_EMPTY_PATH != 0 && g.memory.u8(path)? == 0 {
                return put_stat(&g.memory, out, g.files.fstat(directory));
            }
            let path = path!(g, directory, path);
            put_stat(&g.memory, out, g.files.stat(&path))
        },
    )?;
    l.func_wrap(
        "env",
        "__syscall_faccessat",
        |c: Caller<'_, Thread>, directory: i32, path: u32, mode: i32, _flags: i32| -> Result<i32> {
            let g = guest(&c);
            let path = path!(g, directory, path);
            Ok(match g.files.stat(&path) {
                Ok(stat) if mode & 2 != 0 && stat.mode & 0o200 == 0 => -EACCES,
                Ok(_) => 0,
                Err(number) => -number,
            })
        },
    )?;
    l.func_wrap(
        "env",
        "__syscall_readlinkat",
        |c: Caller<'_, Thread>, directory: i32, path: u32, _out: u32, _size: u32| -> Result<i32> {
            let g = guest(&c);
            let path = path!(g, directory, path);
            // There are no links; `realpath` takes EINVAL for that.
            Ok(if g.files.stat(&path).is_ok() { -EINVAL } else { -ENOENT })
        },
    )?;
    l.func_wrap("env", "__syscall_getcwd", |c: Caller<'_, Thread>, out: u32, size: u32| -> Result<i32> {
        let g = guest(&c);
        let path = format!("{}\0", g.files.working_directory());
        if path.len() > size as usize {
            return Ok(-EINVAL);
        }
        g.memory.write(out, path.as_bytes())?;
        Ok(path.len() as i32)
    })?;
    l.func_wrap("env", "__syscall_chdir", |c: Caller<'_, Thread>, path: u32| -> Result<i32> {
        let mut g = guest(&c);
        let path = path!(g, CWD, path);
        Ok(zero_or(g.files.change_directory(path)))
    })?;
    l.func_wrap(
        "env",
        "__syscall_unlinkat",
        |c: Caller<'_, Thread>, directory: i32, path: u32, _flags: i32| -> Result<i32> {
            let mut g = guest(&c);
            let path = path!(g, directory, path);
            Ok(zero_or(g.files.remove(&path)))
        },
    )?;
    l.func_wrap(
        "env",
        "__syscall_renameat",
        |c: Caller<'_, Thread>, from_directory: i32, from: u32, to_directory: i32, to: u32| -> Result<i32> {
            let mut g = guest(&c);
            let (from, to) = (path!(g, from_directory, from), path!(g, to_directory, to));
            Ok(zero_or(g.files.rename(&from, &to)))
        },
    )?;
    l.func_wrap(
        "env",
        "__syscall_mkdirat",
        |c: Caller<'_, Thread>, directory: i32, path: u32, _mode: u32| -> Result<i32> {
            let g = guest(&c);
            let path = path!(g, directory, path);
            Ok(if g.files.stat(&path).is_ok() { -EEXIST } else { -EACCES })
        },
    )?;
    Ok(())
}

fn define_descriptors(l: &mut Linker<Thread>) -> Result<()> {
    l.func_wrap("env", "__syscall_fstat64", |c: Caller<'_, Thread>, file: i32, out: u32| -> Result<i32> {
        let g = guest(&c);
        put_stat(&g.memory, out, g.files.fstat(file))
    })?;
    l.func_wrap("env", "__syscall_getdents64", |c: Caller<'_, Thread>, file: i32, out: u32, bytes: u32| {
        directory_entries(&mut guest(&c), file, out, bytes)
    })?;
    l.func_wrap(
        "env",
        "__syscall_fcntl64",
        |c: Caller<'_, Thread>, file: i32, command: i32, _arguments: u32| -> i32 {
            match (guest(&c).files.is_directory(file), command) {
                (Err(number), _) => -number,
                // F_GETFD to F_SETFL and the locks: nobody else is there.
                (Ok(_), 1..=4 | 13 | 14) => 0,
                _ => -EINVAL,
            }
        },
    )?;
    l.func_wrap("env", "__syscall_ioctl", |_file: i32, _operation: i32, _arguments: u32| -> i32 { -ENOTTY })?;
    l.func_wrap("env", "__syscall_poll", |_files: u32, _count: i32, _timeout: i32| -> i32 { 0 })?;
    let wasi = "wasi_snapshot_preview1";
    l.func_wrap(wasi, "fd_write", |c: Caller<'_, Thread>, file: i32, vectors: u32, count: i32, out: u32| {
        transfer(&mut guest(&c), true, file, (vectors, count), None, out)
    })?;
    l.func_wrap(wasi, "fd_read", |c: Caller<'_, Thread>, file: i32, vectors: u32, count: i32, out: u32| {
        transfer(&mut guest(&c), false, file, (vectors, count), None, out)
    })?;
    l.func_wrap(
        wasi,
        "fd_pwrite",
        |c: Caller<'_, Thread>, file: i32, vectors: u32, count: i32, at: u64, out: u32| {
            transfer(&mut guest(&c), true, file, (vectors, count), Some(at), out)
        },
    )?;
    l.func_wrap(
        wasi,
        "fd_pread",
        |c: Caller<'_, Thread>, file: i32, vectors: u32, count: i32, at: u64, out: u32| {
            transfer(&mut guest(&c), false, file, (vectors, count), Some(at), out)
        },
    )?;
    l.func_wrap(
        wasi,
        "fd_seek",
        |c: Caller<'_, Thread>, file: i32, offset: i64, whence: i32, out: u32| -> Result<i32> {
            let mut g = guest(&c);
            match g.files.seek(file, offset, whence) {
                Ok(position) => g.memory.set_u64(out, position).map(|()| 0),
                Err(number) => Ok(number),
            }
        },
    )?;
    l.func_wrap(wasi, "fd_close", |c: Caller<'_, Thread>, file: i32| -> i32 {
        let mut g = guest(&c);
        match g.files.close(file) {
            Ok(Some((channel, bytes))) => {
                g.receive(channel, &bytes);
                0
            }
            Ok(None) => 0,
            Err(number) => number,
        }
    })?;
    l.func_wrap(wasi, "fd_sync", |_file: i32| -> i32 { 0 })?;
    l.func_wrap(wasi, "fd_fdstat_get", |c: Caller<'_, Thread>, file: i32, out: u32| -> Result<i32> {
        let g = guest(&c);
        match g.files.is_directory(file) {
            Ok(directory) => g.memory.update(out, 24, |b| {
                b.fill(0);
                b[0] = if directory { 3 } else { 4 };
                0
            }),
            Err(number) => Ok(number),
        }
    })?;
    Ok(())
}

/// Private mappings of files: allocated memory with the file's bytes in it.
fn define_mapping(l: &mut Linker<Thread>) -> Result<()> {
    l.func_wrap_async(
        "env",
        "_mmap_js",
        |mut c: Caller<'_, Thread>, (length, _protection, _flags, file, offset, allocated, out): (u32, i32, i32, i32, u64, u32, u32)| {
            Box::new(async move {
                let malloc = c.get_export("malloc").and_then(wasmtime::Extern::into_func).ok_or_else(|| format_err!("no malloc"))?;
                let wanted = length.checked_add(WASM_PAGE as u32).ok_or_else(|| format_err!("mapping of {length} bytes"))?;
                let block = malloc.typed::<u32, u32>(&c)?.call_async(&mut c, wanted).await?;
                if block == 0 {
                    return Ok(-48); // ENOMEM
                }
                let address = block.next_multiple_of(WASM_PAGE as u32);
                let mut g = guest(&c);
                let memory = g.memory.clone();
                let read = memory.update(address, length as usize, |b| {
                    b.fill(0);
                    let mut done = 0;
                    while done < b.len() {
                        match g.files.read(file, &mut b[done..], Some(offset.saturating_add(done as u64)))? {
                            0 => break,
                            count => done += count,
                        }
                    }
                    Ok(())
                })?;
                if let Err(number) = read {
                    return Ok(-i32::abs(number));
                }
                memory.set_u32(allocated, 0)?;
                memory.set_u32(out, address)?;
                Ok::<i32, Error>(0)
            })
        },
    )?;
    // What was mapped lies in a block that stays; a guest does not live long.
    l.func_wrap(
        "env",
        "_munmap_js",
        |_address: u32, _length: u32, _protection: i32, _flags: i32, _file: i32, _offset: i64| -> i32 { 0 },
    )?;
    Ok(())
}

/// Calls that this machine does not have for a guest: processes, sockets, links, permissions.
fn define_refused(l: &mut Linker<Thread>) -> Result<()> {
    macro_rules! refused {
        ($($name:literal : $($t:ty),* ;)*) => { $( l.func_wrap("env", $name, |$(_: $t),*| -> i32 { -ENOSYS })?; )* };
    }
    refused! {
        "__syscall_chmod": i32, i32; "__syscall_fchownat": i32, i32, i32, i32, i32; "__syscall_fchmod": i32, i32;
        "__syscall_fchmodat2": i32, i32, i32, i32; "__syscall_fchown32": i32, i32, i32; "__syscall_fchdir": i32;
        "__syscall_rmdir": i32; "__syscall_mknodat": i32, i32, i32, i32; "__syscall_pipe": i32; "__syscall_dup": i32;
        "__syscall_dup3": i32, i32, i32; "__syscall_symlinkat": i32, i32, i32; "__syscall_ftruncate64": i32, i64;
        "__syscall_truncate64": i32, i64; "__syscall_utimensat": i32, i32, i32, i32; "__syscall_statfs64": i32, i32, i32;
        "__syscall_fstatfs64": i32, i32, i32; "__syscall_fdatasync": i32; "__syscall_fallocate": i32, i32, i64, i64;
        "__syscall_fadvise64": i32, i64, i64, i32; "_emscripten_system": i32; "_emscripten_lookup_name": i32;
        "__syscall_socket": i32, i32, i32, i32, i32, i32; "__syscall_connect": i32, i32, i32, i32, i32, i32;
        "__syscall_bind": i32, i32, i32, i32, i32, i32; "__syscall_listen": i32, i32, i32, i32, i32, i32;
        "__syscall_accept4": i32, i32, i32, i32, i32, i32; "__syscall_sendto": i32, i32, i32, i32, i32, i32;
        "__syscall_recvfrom": i32, i32, i32, i32, i32, i32; "__syscall_sendmsg": i32, i32, i32, i32, i32, i32;
        "__syscall_recvmsg": i32, i32, i32, i32, i32, i32; "__syscall_getsockname": i32, i32, i32, i32, i32, i32;
        "__syscall_getpeername": i32, i32, i32, i32, i32, i32; "__syscall_getsockopt": i32, i32, i32, i32, i32, i32;
        "getaddrinfo": i32, i32, i32, i32; "_dlopen_js": i32; "_setitimer_js": i32, f64;
    }
    Ok(())
}
