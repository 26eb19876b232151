//! The signals that end the process.
//!
//! SIGHUP has files read again, unless it says that the terminal is gone on which the server was
//! started: then it ends the server, since nobody is left there to end it. Under `nohup` the server
//! goes on.

use std::fs::{self, File};
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT, and SIGHUP of a terminal that is gone. The first signal starts the drain, the
/// second ends the process at once.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` if there is no terminal whose end counts.
    hangup: Option<Signal>,
}

impl Signals {
    /// Registers handlers, so that the signals no longer end the process by themselves. Has to be
    /// called before anything else registers one for SIGHUP.
    ///
    /// # Errors
    /// If the operating system refuses to register a handler.
    pub(crate) fn listen() -> io::Result<Self> {
        let ends_with_terminal = has_terminal() && !ignores_hangup();
        // In any case, so that it does not end a server that has not read its files yet, or has
        // none.
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: ends_with_terminal.then_some(hangup),
        })
    }

    /// The next signal's name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = terminal_gone(&mut self.hangup) => "SIGHUP of a terminal that is gone",
        }
    }
}

async fn terminal_gone(hangup: &mut Option<Signal>) {
    let Some(hangup) = hangup else {
        return std::future::pending().await;
    };
    loop {
        hangup.recv().await;
        if !has_terminal() {
            return;
        }
    }
}

/// Whether the process has a controlling terminal. One that was closed is none.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether the process was started with SIGHUP ignored.
fn ignores_hangup() -> bool {
    // proc_pid_status(5): bit 0 is signal 1, which is SIGHUP.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|ignored| u64::from_str_radix(ignored.trim(), 16).ok())
        .is_some_and(|ignored| ignored & 1 == 1)
}
