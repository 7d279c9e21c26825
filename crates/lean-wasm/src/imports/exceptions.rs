//! C++ exceptions. Throwing and catching itself happens in the guest (see `rewrite`); here is the bookkeeping.
//!
//! A header of 24 bytes lies below each thrown object: type at +4, destructor at +8, caught flag at +12, rethrown flag
//! at +13, adjusted pointer at +16.

use wasmtime::{Caller, Linker, Result, format_err};

use crate::guest::{Thread, guest};

const HEADER: u32 = 24;
const TYPE: u32 = 4;
const DESTRUCTOR: u32 = 8;
const CAUGHT: u32 = 12;
const RETHROWN: u32 = 13;
const ADJUSTED: u32 = 16;

pub(super) fn define(linker: &mut Linker<Thread>) -> Result<()> {
    linker.func_wrap(
        "env",
        "__cxa_throw",
        |mut c: Caller<'_, Thread>, object: u32, kind: u32, destructor: u32| -> Result<()> {
            {
                let g = guest(&c);
                let header = object.wrapping_sub(HEADER);
                g.memory.set_u32(header.wrapping_add(ADJUSTED), 0)?;
                g.memory.set_u32(header.wrapping_add(TYPE), kind)?;
                g.memory.set_u32(header.wrapping_add(DESTRUCTOR), destructor)?;
            }
            c.data_mut().exception = object;
            c.data_mut().uncaught += 1;
            Ok(())
        },
    )?;
    linker.func_wrap("env", "__resumeException", |mut c: Caller<'_, Thread>, object: u32| {
        if c.data().exception == 0 {
            c.data_mut().exception = object;
        }
    })?;
    linker.func_wrap("env", "__cxa_rethrow", |mut c: Caller<'_, Thread>| -> Result<()> {
        let object = c.data_mut().caught.pop().ok_or_else(|| format_err!("no exception to rethrow"))?;
        let header = object.wrapping_sub(HEADER);
        let g = guest(&c);
        if g.memory.u8(header.wrapping_add(RETHROWN))? == 0 {
            g.memory.write(header.wrapping_add(RETHROWN), &[1])?;
            g.memory.write(header.wrapping_add(CAUGHT), &[0])?;
            c.data_mut().caught.push(object);
            c.data_mut().uncaught += 1;
        }
        c.data_mut().exception = object;
        Ok(())
    })?;
    linker.func_wrap(
        "env",
        "__cxa_rethrow_primary_exception",
        |mut c: Caller<'_, Thread>, object: u32| {
            c.data_mut().exception = object;
        },
    )?;
    linker.func_wrap("env", "_emscripten_throw_longjmp", || {})?;
    linker.func_wrap(
        "env",
        "__cxa_begin_catch",
        |mut c: Caller<'_, Thread>, object: u32| -> Result<u32> {
            let header = object.wrapping_sub(HEADER);
            let fresh = {
                let g = guest(&c);
                let fresh = g.memory.u8(header.wrapping_add(CAUGHT))? == 0;
                g.memory.write(header.wrapping_add(CAUGHT), &[1])?;
                g.memory.write(header.wrapping_add(RETHROWN), &[0])?;
                fresh
            };
            if fresh {
                c.data_mut().uncaught -= 1;
            }
            c.data_mut().caught.push(object);
            Ok(object)
        },
    )?;
    linker.func_wrap("host", "exception_last", |c: Caller<'_, Thread>| c.data().exception)?;
    linker.func_wrap("host", "end_catch", |mut c: Caller<'_, Thread>| -> Result<u32> {
        c.data_mut().exception = 0;
        c.data_mut().caught.pop().ok_or_else(|| format_err!("end of a catch without its begin"))
    })?;
    linker.func_wrap("env", "llvm_eh_typeid_for", |kind: i32| kind)?;
    linker.func_wrap("env", "__cxa_uncaught_exceptions", |c: Caller<'_, Thread>| c.data().uncaught)?;
    Ok(())
}
