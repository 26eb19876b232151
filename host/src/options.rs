//! How settings are written, and what they are where nothing is said.
//!
//! Each module declares its own settings as [`clap::Args`]: name, environment variable, unit, default and help stand there and
//! nowhere else. The command line and the table in `docs/options.md` are made of these declarations.

use clap::{Args, Command};

/// A size in bytes, as `65536`, `64KiB` or `1MiB`.
///
/// # Errors
/// Where it is none, or more than this machine can address.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    usize::try_from(long_size(text)?).map_err(|error| error.to_string())
}

/// The same beyond what this machine can address.
///
/// # Errors
/// Where it is none.
pub(crate) fn long_size(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>().map(|size| size.as_u64())
}

/// Settings as they are where neither the command line nor the environment says anything: for programs that embed Usher.
///
/// # Panics
/// Where a setting has no default, or none that can be read, which the tests would show.
pub(crate) fn defaults<A: Args>() -> A {
    let command = A::augment_args(Command::new("usher")).mut_args(|arg| arg.env(None::<&str>));
    let matches = command.try_get_matches_from(["usher"]);
    let read = matches.and_then(|matches| A::from_arg_matches(&matches));
    read.expect("each setting has a default")
}
