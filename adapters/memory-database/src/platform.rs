//! What SQLite asks of an operating system, by WASI: the clock and random numbers.
//!
//! `sqlite-wasm-rs` declares these functions and their status codes (its module `host`). Nothing in
//! this component sleeps, encrypts or knows a time zone.

use std::time::Duration;

use crate::bindings::wasi::clocks::wall_clock;
use crate::bindings::wasi::random::random;

const OK: i32 = 0;
const UNSUPPORTED: i32 = 1;

/// SQLite sleeps only while it waits for a lock, and no connection here has a busy timeout.
#[unsafe(no_mangle)]
extern "C" fn rust_sqlite_wasm_host_sleep(_seconds: u64, _nanoseconds: u32) {}

/// Fills the buffer, for `random()` and `randomblob()`. `wasmtime serve` has no insecure numbers.
///
/// # Safety
/// `buffer` is writable for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn rust_sqlite_wasm_host_random(buffer: *mut u8, length: usize) -> usize {
    let bytes = random::get_random_bytes(length as u64);
    let count = bytes.len().min(length);
    // SAFETY: the caller's buffer has room for `length` bytes, and does not overlap a new vector.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, count) };
    count
}

/// # Safety
/// `out` is writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn rust_sqlite_wasm_host_epoch_timestamp_in_ms(out: *mut i64) -> i32 {
    let now = wall_clock::now();
    let since = Duration::new(now.seconds, now.nanoseconds);
    let Ok(millis) = i64::try_from(since.as_millis()) else {
        return UNSUPPORTED;
    };
    // SAFETY: the caller passes a place for one number.
    unsafe { out.write(millis) };
    OK
}

/// For encryption, which this build of SQLite does not have.
#[unsafe(no_mangle)]
extern "C" fn rust_sqlite_wasm_host_fill_entropy(_buffer: *mut u8, _length: usize) -> i32 {
    UNSUPPORTED
}

/// For the modifier `localtime`, which fails, because WASI 0.2 has no time zones.
#[unsafe(no_mangle)]
extern "C" fn rust_sqlite_wasm_host_localtime(_seconds: i64, _out: *mut u8) -> i32 {
    UNSUPPORTED
}
