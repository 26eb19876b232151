//! The command line.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::database::Url;
use crate::sandbox::{Source, USERS_WASM, info, migrate};
use crate::server::{self, Config, ServeError};
use crate::telemetry::{log, log_to_stderr};

/// The default database: a file in the working directory.
pub const DEFAULT_DATABASE: &str = "sqlite:usher.db";

/// Serves a WASI component over HTTP and hands it one capability, a database.
///
/// Every option can also be given as the environment variable shown with it. Durations are written
/// like 500ms, 30s or 2m, sizes like 65536, 64KiB or 1MiB.
#[derive(Debug, Parser)]
#[command(
    name = "usher",
    version,
    about,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
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
    /// Write the embedded component to a file, to run it in another WASI host, or describe a
    /// component.
    #[command(group(clap::ArgGroup::new("what").required(true)))]
    Component {
        /// The file to write the embedded component to.
        #[arg(long, value_name = "FILE", group = "what")]
        output: Option<PathBuf>,
        /// List a component's imports, exports and declared statements; by default those of the
        /// embedded component.
        #[arg(long, value_name = "FILE", num_args = 0..=1, group = "what")]
        #[expect(clippy::option_option, reason = "absent, without a file, with one")]
        info: Option<Option<PathBuf>>,
    },
}

#[derive(Args, Debug)]
struct Options {
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
    url: Option<String>,
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: log::Config,
}

impl Options {
    fn config(self) -> Result<Config, String> {
        let url: Url = match self.url {
            Some(url) => url
                .parse()
                .map_err(|error| format!("cannot use the database URL: {error}"))?,
            None => {
                tracing::info!(
                    "no database given: users are kept in {DEFAULT_DATABASE} \
                     (choose with --database or DATABASE_URL)"
                );
                DEFAULT_DATABASE
                    .parse()
                    .map_err(|error| format!("{DEFAULT_DATABASE}: {error}"))?
            }
        };
        let mut config = self.config;
        config.database.url = url;
        Ok(config)
    }
}

/// Runs the program with these arguments, of which the first is its name.
///
/// The exit code is 0 after a clean end, 2 for a usage or configuration error, 1 for anything else.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::command()
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => {
            let error = without_arguments(error);
            // Help and version go to standard output and are no error. If printing fails, nothing
            // is left to report it to.
            error.print().ok();
            return if error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match cli.command {
        None => serve(cli.serve),
        Some(Command::Serve(options)) => serve(*options),
        Some(Command::Migrate {
            plan: false,
            options,
        }) => with_runtime(*options, async |config| server::migrate(&config).await),
        Some(Command::Migrate {
            plan: true,
            options,
        }) => plan(*options),
        Some(Command::Component { output, info }) => {
            let _log = log_to_stderr(&log::Config::default());
            match component(
                output,
                info.map(|file| file.map_or(Source::Embedded, Source::File)),
            ) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!("{error}");
                    ExitCode::from(2)
                }
            }
        }
    }
}

fn component(output: Option<PathBuf>, info: Option<Source>) -> Result<(), String> {
    if let Some(output) = output {
        std::fs::write(&output, USERS_WASM).map_err(|error| {
            format!(
                "cannot write the component to {}: {error}",
                output.display()
            )
        })?;
    }
    if let Some(source) = info {
        let text = info::describe(&source).map_err(|error| error.to_string())?;
        let mut stdout = std::io::stdout().lock();
        // A closed pipe, as by `head`, is no error.
        match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(format!("cannot write to standard output: {error}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Prints the plan of the migrations.
fn plan(options: Options) -> ExitCode {
    let (mut text, mut can_be_done) = (String::new(), false);
    let code = with_runtime(options, async |config| {
        can_be_done = match server::plan(&config).await? {
            Some(findings) => migrate::describe(&findings, &mut text).unwrap_or_default(),
            None => {
                text.push_str("The component has no migrations, or cannot plan them.\n");
                true
            }
        };
        Ok(())
    });
    let written = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    if code != ExitCode::SUCCESS {
        code
    } else if written.is_ok() && can_be_done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Removes arguments from an error, because a URL without its option, or split by a shell, would be
/// repeated with its password. The names of options remain.
fn without_arguments(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};

    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        let Some(ContextValue::String(argument)) = error.get(kind) else {
            continue;
        };
        let name = argument.strip_prefix("--").unwrap_or_default();
        let is_option = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let is_known = argument.starts_with("--") && argument.contains(" <");
        if !is_option && !is_known {
            error.insert(kind, ContextValue::String("…".to_owned()));
            error.remove(ContextKind::SuggestedSubcommand);
            error.remove(ContextKind::Suggested);
            error.remove(ContextKind::SuggestedArg);
        }
    }
    error
}

fn serve(options: Options) -> ExitCode {
    with_runtime(options, async |config| server::serve(&config).await)
}

fn with_runtime(
    options: Options,
    work: impl AsyncFnOnce(Config) -> Result<(), ServeError>,
) -> ExitCode {
    let _log = log_to_stderr(&options.log);
    let config = match options.config() {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the operating system refused: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(work(config));
    // After a second signal threads may still run, and must not be waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            if error.is_configuration() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// All options of the server as a table, in the order in which they are declared.
    fn table() -> String {
        let mut command = Options::augment_args(clap::Command::new("usher"));
        command.build();
        let mut text = "# Options\n\n\
                        Made from the declarations by \
                        `USHER_WRITE_OPTIONS=1 cargo test -p usher options`.\n\n\
                        | option | environment | default | |\n|---|---|---|---|\n"
            .to_owned();
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long().filter(|long| *long != "help") else {
                continue;
            };
            let value = match (arg.get_action().takes_values(), arg.get_value_names()) {
                (true, Some([name, ..])) => format!(" {name}"),
                _ => String::new(),
            };
            let variable = arg.get_env().map(|name| name.to_string_lossy());
            let defaults: Vec<_> = arg
                .get_default_values()
                .iter()
                .filter(|_| arg.get_action().takes_values())
                .map(|value| format!("`{}`", value.to_string_lossy()))
                .collect();
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            writeln!(
                text,
                "| `--{long}{value}` | `{}` | {} | {} |",
                variable.unwrap_or_default(),
                defaults.join(", "),
                help.replace('\n', " ").replace('|', "\\|")
            )
            .expect("writing to a string cannot fail");
        }
        text
    }

    #[test]
    fn options_table_in_docs_equals_the_declarations() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
        if std::env::var_os("USHER_WRITE_OPTIONS").is_some() {
            std::fs::write(file, table()).expect("docs/options.md can be written");
        }
        let written = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            written == table(),
            "docs/options.md is not up to date: USHER_WRITE_OPTIONS=1 cargo test -p usher options"
        );
    }

    #[test]
    fn config_of_an_embedding_program_equals_the_command_line_defaults() {
        let embedded = Config::new(crate::database::Config::new(Url::memory()));
        let command = Options::augment_args(clap::Command::new("usher"));
        let command = command.mut_args(|arg| arg.env(None::<&str>));
        let matches = command.get_matches_from(["usher"]);
        let options = Options::from_arg_matches(&matches).expect("no option is required");
        assert_eq!(format!("{embedded:?}"), format!("{:?}", options.config));
    }
}
