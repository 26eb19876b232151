//! The commands and their options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::access::Scopes;
use crate::server::Config;
use crate::telemetry::log;

/// The default database: a file in the working directory.
pub const DEFAULT_DATABASE: &str = "sqlite:usher.db";

/// Serves a WASI component over HTTP and hands it one capability, a database.
///
/// Every option can also be given as the environment variable shown with it, or in the file of
/// --config. Durations are written like 500ms, 30s or 2m, sizes like 65536, 64KiB or 1MiB.
#[derive(Debug, Parser)]
#[command(
    name = "usher",
    version,
    about,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) serve: Options,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve HTTP (the default).
    Serve(Box<Options>),
    /// Bring the database's schema up to date and end.
    Migrate {
        /// Only list the changes, the obstacles and advice; change nothing. The exit code is 1 if
        /// there is an obstacle.
        #[arg(long)]
        plan: bool,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Copy the SQLite file to a new file, while a server uses it or not.
    Backup {
        /// The file to write. It appears once it is complete and verified.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace the file if it exists.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Replace the SQLite file by a backup.
    ///
    /// Nothing may have the file open. It is kept under another name.
    Restore {
        /// The backup. It is verified first, and left as it is.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Run a component over recordings (--record), and show what differs.
    ///
    /// There is no database behind it. The exit code is 1 if anything differs.
    Replay {
        /// Recordings, or directories of them.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Print every setting with its value and its origin, passwords masked.
    Config(Box<Options>),
    /// Write the embedded component to a file, or describe a component.
    #[command(group(clap::ArgGroup::new("what").required(true)))]
    Component {
        /// The file to write the embedded component to; - for standard output.
        #[arg(short, long, value_name = "FILE", group = "what")]
        output: Option<PathBuf>,
        /// Compose the written component with this one, which supplies what it imports, or stands
        /// before it; may be given more than once, from the database outwards.
        #[arg(long, value_name = "FILE", conflicts_with = "info")]
        with: Vec<PathBuf>,
        /// Compose this component instead of the embedded one.
        #[arg(long, value_name = "FILE", requires = "with")]
        component: Option<PathBuf>,
        /// List what a component says of itself, its imports, exports, declared statements and
        /// crates; by default those of the embedded component.
        #[arg(long, value_name = "FILE", num_args = 0..=1, group = "what")]
        #[expect(clippy::option_option, reason = "absent, without a file, with one")]
        info: Option<Option<PathBuf>>,
    },
    /// Write the project of a new service, in Rust, to a new directory.
    New {
        /// The name of the crate and of the directory.
        #[arg(value_name = "NAME")]
        name: String,
        /// A checkout of Usher, which has the SDK [default: the one that this program was built
        /// from].
        #[arg(long, value_name = "DIR")]
        sdk: Option<PathBuf>,
    },
    /// Write the WIT packages against which a component is built.
    Wit {
        /// The directory to write them to, such as wit/deps of another project.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Make a token for --tokens.
    Token {
        #[command(subcommand)]
        action: Token,
    },
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token, add its hash to a file, and print it. It cannot be printed again.
    New {
        /// Whose token it is: one word, which --pass-subject tells the component.
        #[arg(value_name = "NAME")]
        name: String,
        /// What it permits: read (GET, HEAD, OPTIONS), write (all other methods), or both.
        #[arg(long, value_name = "SCOPES", default_value = "read,write")]
        scopes: Scopes,
        /// The file, as in --tokens. It is created if it does not exist.
        #[arg(long, value_name = "FILE")]
        tokens: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(super) struct Options {
    /// postgres://…, sqlite:PATH or memory:; libpq's and SQLAlchemy's spellings are understood, and
    /// for PostgreSQL the variables PGHOST, PGPASSWORD and so on [default: sqlite:usher.db].
    // A string, because clap would repeat an invalid URL in its error, with the password.
    #[arg(
        id = "url",
        long = "database",
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(super) url: Option<String>,
    /// The file that holds the database's URL, such as a container's secret.
    #[arg(
        id = "url-file",
        long = "database-file",
        env = "DATABASE_URL_FILE",
        value_name = "FILE"
    )]
    pub(super) url_file: Option<PathBuf>,
    /// The configuration file: these options by their names, in TOML. None is read if absent.
    #[arg(
        id = "config-file",
        long = "config",
        env = "USHER_CONFIG",
        value_name = "FILE"
    )]
    pub(super) config_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) log: log::Config,
    #[command(flatten)]
    pub(super) config: Config,
}
