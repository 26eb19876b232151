//! Compares whole servers. Each is started as its users start it, and they are loaded alternately.
//! The result is the median of the rounds, and the median of the ratios to the native servers
//! within a round, because a shared machine changes from one minute to the next.
//!
//! Processor time is that of the server's process, user and system, including threads that have
//! ended.
//!
//! | module | what lives there |
//! |---|---|
//! | [`scenario`] | what the servers are asked to do |
//! | [`contestant`] | who takes part |
//! | [`measure`] | the rounds |
//! | [`steps`] | what a request costs step by step, from HTTP alone to PostgreSQL |
//! | [`start`] | from starting a server to its first answer |
//! | [`growth`] | what a request costs as users, clients and hosts grow in number |
//! | [`report`], [`plot`] | the tables and the picture |
//! | [`server`], [`process`] | a started server, and what the kernel knows of it |
//! | [`database`] | PostgreSQL, given or started for the occasion |
//! | [`files`], [`certificate`] | the files of the servers, and their certificate |
//! | [`machine`] | what all this ran on |

pub mod certificate;
pub mod contestant;
pub mod database;
pub mod files;
pub mod growth;
pub mod machine;
pub mod measure;
pub mod plot;
pub mod process;
pub mod report;
pub mod scenario;
pub mod server;
pub mod start;
pub mod steps;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::signal::unix::{SignalKind, signal};

use crate::Error;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C and SIGTERM make [`check`] fail instead of ending the program, so that
/// servers and databases are removed.
///
/// # Errors
/// If the operating system refuses.
pub fn catch_signals() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        INTERRUPTED.store(true, Relaxed);
    });
    Ok(())
}

/// Returns an error if the program was told to end.
///
/// # Errors
/// If Ctrl-C or SIGTERM was received.
pub fn check() -> Result<(), Error> {
    if INTERRUPTED.load(Relaxed) {
        Err("interrupted".into())
    } else {
        Ok(())
    }
}
