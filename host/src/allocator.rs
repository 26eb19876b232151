//! The program's allocator, and the thread that gives back what has been freed.
//!
//! By itself mimalloc gives back what was freed for a second to whoever allocates then. With a core
//! that has freed 100 MiB, it did not serve anybody for 27 ms. So a thread of its own does that.

use std::ffi::{c_int, c_long};
use std::time::Duration;

/// A request makes some forty allocations, a page of users some hundreds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often freed memory is given back.
const EVERY: Duration = Duration::from_secs(1);

/// After how many milliseconds a thread that allocates does it: if this one does not run.
const AT_LATEST: c_long = 60_000;

/// `mi_option_purge_delay` of mimalloc 3.
const PURGE_DELAY: c_int = 15;

#[expect(
    unsafe_code,
    reason = "declared as in mimalloc.h; its crate has no declaration without another feature"
)]
unsafe extern "C" {
    safe fn mi_collect(force: bool);
    safe fn mi_option_set(option: c_int, value: c_long);
}

/// Starts the thread.
pub(crate) fn give_back() {
    let collect = || {
        mi_option_set(PURGE_DELAY, AT_LATEST);
        loop {
            std::thread::sleep(EVERY);
            mi_collect(true);
        }
    };
    // Without it, mimalloc goes on by itself.
    let thread = std::thread::Builder::new().name("usher-memory".into());
    let _ = thread.spawn(collect);
}
