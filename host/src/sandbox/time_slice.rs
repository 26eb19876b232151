//! Has the scheduler of the system run a thread as soon as it wakes.
//!
//! On a busy machine a thread that wakes waits until the one that runs has used up its time slice,
//! some milliseconds. Linux 6.12 and later let a thread ask for shorter slices of its own, and let
//! one with shorter slices go first. That takes no privilege, and the thread gets no more time.

/// Shortens the slices of the calling thread, where the system can.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn shorten() {
    /// The shortest slice that there is.
    const SLICE: u64 = 100_000;

    /// `struct sched_attr` of sched_setattr(2), in its first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    // The call sets it, too, and a thread may not lower it.
    let Ok(nice) = rustix::process::getpriority_process(None) else {
        return;
    };
    let attributes = Attributes {
        size: 48,
        policy: 0,
        flags: 0,
        nice,
        priority: 0,
        runtime: SLICE,
        deadline: 0,
        period: 0,
    };
    #[expect(
        unsafe_code,
        reason = "no safe wrapper makes this call: its argument stands above it"
    )]
    // SAFETY: the system reads as many bytes as `size` says, those of `attributes`.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if outcome != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!("the clock's thread has slices of the usual length: {error}");
    }
}

/// Other systems have no such call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn shorten() {}
