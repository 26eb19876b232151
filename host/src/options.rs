//! Parsers and defaults of settings.
//!
//! Each module declares its settings as [`clap::Args`], with name, environment variable, unit,
//! default and help. The command line and `docs/options.md` are generated from these declarations.

use clap::{Args, Command};

/// A size in bytes, as `65536`, `64KiB` or `1MiB`.
///
/// # Errors
/// If the text is no size, or the size exceeds `usize`.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    usize::try_from(long_size(text)?).map_err(|error| error.to_string())
}

/// A size in bytes that may exceed `usize`.
///
/// # Errors
/// If the text is no size.
pub(crate) fn long_size(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>().map(|size| size.as_u64())
}

/// The defaults of settings, for programs that embed Usher.
///
/// # Panics
/// If a setting has no valid default; a test reads them all.
pub(crate) fn defaults<A: Args>() -> A {
    let command = A::augment_args(Command::new("usher")).mut_args(|arg| arg.env(None::<&str>));
    let matches = command.try_get_matches_from(["usher"]);
    let read = matches.and_then(|matches| A::from_arg_matches(&matches));
    read.expect("each setting has a default")
}
