//! Process, memory, time, environment and the look-up of symbols.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wasmtime::{Caller, Error, Linker, Result, bail, format_err};

use crate::guest::{Exit, Thread, guest};
use crate::memory::{GuestMemory, WASM_PAGE};

/// Addresses of the source text of two `EM_ASM` blocks: how this build of the guest names them. They are those of the
/// one `lean.wasm` whose digest `package` checks.
mod asm {
    /// `getenv`: gives a `malloc`ed string.
    pub(super) const GETENV: i32 = 943_522;
    /// The path of the running program: gives a `malloc`ed string.
    pub(super) const PROGRAM: i32 = 943_765;
}
/// Its directory must exist for the guest.
const PROGRAM: &str = "/lib/lean/lean";

fn monotonic_ns() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64 + 1_000_000_000
}

fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// Writes `seconds` since 1970 as a C `struct tm` in UTC (civil-from-days by Hinnant's method).
fn broken_down_time(memory: &GuestMemory, seconds: i64, out: u32) -> Result<()> {
    let (days, second) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let leap = i64::from(year % 4 == 0 && year % 100 != 0 || year % 400 == 0);
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let year_day = before[(month - 1) as usize] + day - 1 + if month > 2 { leap } else { 0 };
    let weekday = (days + 4).rem_euclid(7);
    let fields =
        [second % 60, second / 60 % 60, second / 3600, day, month - 1, year - 1900, weekday, year_day, 0, 0];
    for (k, value) in fields.into_iter().enumerate() {
        memory.set_u32(out.wrapping_add(4 * k as u32), value as u32)?;
    }
    Ok(())
}

/// Grows the memory to hold `bytes`; 0 when that is refused, which Lean reports as out of memory.
fn grow(c: &Caller<'_, Thread>, bytes: u32) -> i32 {
    let mut g = guest(c);
    let (now, wanted) = ((g.memory.len() / WASM_PAGE) as u64, u64::from(bytes).div_ceil(WASM_PAGE as u64));
    if wanted <= now {
        return 0;
    }
    if wanted > g.most_pages {
        g.refused_growth = true;
        return 0;
    }
    // A fifth, at most 96 MB, more than asked, as Emscripten does: growing is not free.
    let generous = wanted.max((now + now / 5).min(wanted + 1536)).min(g.most_pages);
    let memory = g.memory.shared();
    i32::from(memory.grow(generous - now).is_ok() || memory.grow(wanted - now).is_ok())
}

pub(super) fn define(linker: &mut Linker<Thread>) -> Result<()> {
    linker.func_wrap_async(
        "env",
        "emscripten_asm_const_int",
        |mut c: Caller<'_, Thread>, (code, _signature, arguments): (i32, u32, u32)| {
            Box::new(async move {
                let text = match code {
                    asm::GETENV => {
                        let g = guest(&c);
                        let name = g.memory.string(g.memory.u32(arguments)?)?;
                        g.environment
                            .iter()
                            .find_map(|e| e.strip_prefix(&name)?.strip_prefix('=').map(str::to_owned))
                    }
                    asm::PROGRAM => Some(PROGRAM.to_owned()),
                    // Debug output and the mounting of directories.
                    _ => None,
                };
                let Some(text) = text else { return Ok::<u32, Error>(0) };
                let malloc = c
                    .get_export("malloc")
                    .and_then(wasmtime::Extern::into_func)
                    .ok_or_else(|| format_err!("no malloc"))?;
                let address = malloc.typed::<u32, u32>(&c)?.call_async(&mut c, text.len() as u32 + 1).await?;
                if address != 0 {
                    guest(&c).memory.write(address, format!("{text}\0").as_bytes())?;
                }
                Ok(address)
            })
        },
    )?;
    linker.func_wrap("env", "exit", |code: i32| -> Result<()> { Err(Exit(code).into()) })?;
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", |code: i32| -> Result<()> {
        Err(Exit(code).into())
    })?;
    linker.func_wrap("env", "_abort_js", || -> Result<()> { bail!("the guest called abort()") })?;
    linker.func_wrap(
        "env",
        "__assert_fail",
        |c: Caller<'_, Thread>, what: u32, file: u32, line: i32, _function: i32| -> Result<()> {
            let g = guest(&c);
            bail!("assertion failed: {} at {}:{line}", g.memory.string(what)?, g.memory.string(file)?)
        },
    )?;
    linker.func_wrap("env", "emscripten_get_heap_max", |c: Caller<'_, Thread>| -> u32 {
        (guest(&c).most_pages.min(u64::from(crate::guest::MOST_PAGES) - 1) as usize * WASM_PAGE) as u32
    })?;
    linker.func_wrap("env", "emscripten_resize_heap", |c: Caller<'_, Thread>, bytes: u32| grow(&c, bytes))?;
    linker.func_wrap("env", "emscripten_get_now", || -> f64 { monotonic_ns() as f64 / 1e6 })?;
    linker.func_wrap("env", "emscripten_date_now", || -> f64 { (wall_ns() / 1_000_000) as f64 })?;
    linker.func_wrap("env", "uv__hrtime", |_kind: i32| -> i64 { monotonic_ns() as i64 })?;
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "clock_res_get",
        |c: Caller<'_, Thread>, _clock: i32, out: u32| -> Result<i32> {
            guest(&c).memory.set_u64(out, 1).map(|()| 0)
        },
    )?;
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "clock_time_get",
        |c: Caller<'_, Thread>, clock: i32, _precision: i64, out: u32| -> Result<i32> {
            guest(&c).memory.set_u64(out, if clock == 0 { wall_ns() } else { monotonic_ns() }).map(|()| 0)
        },
    )?;
    linker.func_wrap(
        "env",
        "_tzset_js",
        |c: Caller<'_, Thread>,
         zone: u32,
         daylight: u32,
         standard_name: u32,
         daylight_name: u32|
         -> Result<()> {
            let g = guest(&c);
            g.memory.set_u32(zone, 0)?;
            g.memory.set_u32(daylight, 0)?;
            g.memory.write(standard_name, b"UTC\0")?;
            g.memory.write(daylight_name, b"UTC\0")
        },
    )?;
    for name in ["_gmtime_js", "_localtime_js"] {
        linker.func_wrap("env", name, |c: Caller<'_, Thread>, seconds: i64, out: u32| {
            broken_down_time(&guest(&c).memory, seconds, out)
        })?;
    }
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "random_get",
        |c: Caller<'_, Thread>, out: u32, count: u32| -> Result<i32> {
            let mut g = guest(&c);
            let bytes: Vec<u8> = (0..count.min(1 << 16)).map(|_| g.next_random()).collect();
            g.memory.write(out, &bytes)?;
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "environ_sizes_get",
        |c: Caller<'_, Thread>, count: u32, size: u32| -> Result<i32> {
            let g = guest(&c);
            g.memory.set_u32(count, g.environment.len() as u32)?;
            g.memory.set_u32(size, g.environment.iter().map(|e| e.len() as u32 + 1).sum())?;
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "environ_get",
        |c: Caller<'_, Thread>, pointers: u32, mut text: u32| -> Result<i32> {
            let g = guest(&c);
            for (k, variable) in g.environment.iter().enumerate() {
                g.memory.set_u32(pointers.wrapping_add(4 * k as u32), text)?;
                g.memory.write(text, format!("{variable}\0").as_bytes())?;
                text = text.wrapping_add(variable.len() as u32 + 1);
            }
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "_emscripten_get_progname",
        |c: Caller<'_, Thread>, out: u32, size: u32| -> Result<()> {
            let name = b"/bin/lean\0";
            guest(&c).memory.write(out, &name[..name.len().min(size as usize)])
        },
    )?;
    linker.func_wrap(
        "env",
        "_dlsym_js",
        |c: Caller<'_, Thread>, _handle: i32, name: u32, _index: i32| -> Result<i32> {
            let g = guest(&c);
            Ok(g.symbols.get(&g.memory.string(name)?).unwrap_or(0))
        },
    )?;
    Ok(())
}
