//! The command line.
//!
//! Settings come from options, from the environment, and from a configuration file. Each setting is
//! declared once, by the module that it limits; nothing here names one of them, apart from the
//! database's URL.
//!
//! | module | contents |
//! |---|---|
//! | `command` | the commands and their options, as clap declares them |
//! | `help` | what `--help`, the manual page and the completions add to that |
//! | `file` | the configuration file |
//! | `origin`, `sources` | the origin of a value; the values outside the command line |
//! | `mistyped` | variables of the environment that look like settings and are none |
//! | `secret` | the database's URL, and the file that holds it |
//! | `parse` | from arguments, environment and file to settings |
//! | `print` | what `usher config` prints |
//! | `new`, `wit` | what `usher new` and `usher wit` write |
//! | `run` | runs a command and returns the exit code |

mod command;
mod file;
mod help;
mod mistyped;
mod new;
mod origin;
mod parse;
mod print;
mod run;
mod secret;
mod sources;
#[cfg(test)]
mod tests;
mod wit;

pub use command::DEFAULT_DATABASE;
pub use run::run;
