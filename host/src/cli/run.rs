//! Runs a command and returns the exit code.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::command::{Command, DEFAULT_DATABASE, Options, Token};
use super::help;
use super::new;
use super::origin::Setting;
use super::parse::{Stop, parse};
use super::print;
use super::wit;
use crate::access::{Scopes, tokens};
use crate::database::{self, CopyError};
use crate::recording::replay;
use crate::sandbox::source::ComponentBytes;
use crate::sandbox::{Source, compose, info, migrate};
use crate::server::{self, Config, ServeError};
use crate::telemetry::log::{self, LogGuard};
use crate::telemetry::log_to_stderr;

/// A usage or configuration error. Any other failure is 1.
const USAGE: u8 = 2;

/// Runs the program with these arguments, of which the first is its name.
///
/// The exit code is 0 after a clean end, 2 for a usage or configuration error, 1 for anything else.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let environment: Vec<_> = std::env::vars_os().collect();
    let parsed = match parse(&arguments, &environment) {
        Ok(parsed) => parsed,
        Err(Stop::Clap(error)) => {
            // Help and version go to standard output and are no error. If printing fails, nothing
            // is left to report it to.
            error.print().ok();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
        Err(Stop::Settings(error)) => {
            let _log = log_as_text();
            return usage(&error);
        }
    };
    let start = Start {
        settings: parsed.settings,
        warnings: parsed.warnings,
    };
    match parsed.cli.command {
        None => serve(parsed.cli.serve, &start),
        Some(Command::Serve(options)) => serve(*options, &start),
        Some(Command::Migrate {
            plan: false,
            options,
        }) => with_runtime(*options, &start, async |config| {
            server::migrate(&config).await
        }),
        Some(Command::Migrate {
            plan: true,
            options,
        }) => plan(*options, &start),
        Some(Command::Backup {
            file,
            force,
            options,
        }) => backup(&file, force, &options, &start),
        Some(Command::Restore { file, options }) => restore(&file, &options, &start),
        Some(Command::Replay { files, options }) => replay(&files, &options, &start),
        Some(Command::Config(options)) => config(*options, &start),
        Some(Command::Component {
            output,
            with,
            component,
            info,
        }) => {
            let _log = log_as_text();
            let written = output.map_or(Ok(()), |output| {
                write_component(&output, component.as_deref(), &with)
            });
            let info = info.map(|file| file.map_or(Source::Embedded, Source::File));
            match written.and_then(|()| info.map_or(Ok(()), |source| describe(&source))) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => usage(&error),
            }
        }
        Some(Command::New { name, sdk }) => {
            let _log = log_as_text();
            let created = new::create(&name, sdk.as_deref());
            match created.and_then(|next| write_out(next.as_bytes())) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => usage(&error),
            }
        }
        Some(Command::Wit { output }) => {
            let _log = log_as_text();
            match wit::write(&output) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => usage(&error),
            }
        }
        Some(Command::Token {
            action:
                Token::New {
                    name,
                    scopes,
                    tokens,
                },
        }) => token(&name, scopes, &tokens),
        Some(Command::Completions { shell }) => print(|out| {
            clap_complete::generate(shell, &mut help::displayed(), "usher", out);
            Ok(())
        }),
        Some(Command::Man) => print(|out| clap_mangen::Man::new(help::displayed()).render(out)),
    }
}

/// Starts the log of a command without settings, or whose settings are wrong: like clap's errors,
/// its lines are for people.
fn log_as_text() -> LogGuard {
    log_to_stderr(&log::Config {
        log_format: Some(log::Format::Text),
        ..log::Config::default()
    })
}

/// What was found out about the settings besides their values.
struct Start {
    settings: Vec<Setting>,
    warnings: Vec<String>,
}

impl Start {
    /// Starts the log, with the warnings about the settings.
    fn log(&self, config: &log::Config) -> LogGuard {
        let guard = log_to_stderr(config);
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        guard
    }
}

fn usage(error: &str) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::from(USAGE)
}

/// Writes to standard output. A closed pipe, as by `head`, is no error.
fn write_out(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

fn print(text: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> ExitCode {
    let mut bytes = Vec::new();
    let written = text(&mut bytes).map_err(|error| error.to_string());
    match written.and_then(|()| write_out(&bytes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _log = log_as_text();
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the embedded component or the one of a file, composed with others.
fn write_component(
    output: &Path,
    component: Option<&Path>,
    with: &[PathBuf],
) -> Result<(), String> {
    let to_stdout = output == Path::new("-");
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(
            "the component is binary, and standard output is a terminal: redirect it, or name a \
             file"
                .to_owned(),
        );
    }
    let source = component.map_or(Source::Embedded, |file| Source::File(file.to_owned()));
    let bytes = source.bytes();
    let mut bytes = bytes.map_err(|error| format!("cannot read {source}: {error}"))?;
    for file in with {
        bytes = ComponentBytes::new(compose::compose(&bytes, file)?.into());
    }
    if to_stdout {
        return write_out(&bytes);
    }
    std::fs::write(output, &*bytes).map_err(|error| {
        format!(
            "cannot write the component to {}: {error}",
            output.display()
        )
    })
}

fn describe(source: &Source) -> Result<(), String> {
    let text = info::describe(source).map_err(|error| error.to_string())?;
    write_out(text.as_bytes())
}

/// Makes a token and prints it.
fn token(name: &str, scopes: Scopes, file: &Path) -> ExitCode {
    let _log = log_as_text();
    let printed = tokens::create(name, scopes, file)
        .and_then(|token| write_out(format!("{token}\n").as_bytes()));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => usage(&error),
    }
}

/// Prints every setting with its value and its origin.
fn config(options: Options, start: &Start) -> ExitCode {
    let _log = start.log(&options.log);
    let described = options.url(&start.settings).and_then(|url| {
        let text = print::describe(&start.settings, &url);
        options.config(&start.settings).map(|_| text)
    });
    match described {
        Ok(text) => print(|out| out.write_all(text.as_bytes())),
        Err(error) => usage(&error),
    }
}

fn backup(file: &Path, force: bool, options: &Options, start: &Start) -> ExitCode {
    let _log = start.log(&options.log);
    let url = match options.url(&start.settings) {
        Ok(url) => url,
        Err(error) => return usage(&error),
    };
    match database::backup(&url, file, force) {
        Ok(bytes) => {
            let file = file.display();
            tracing::info!("backed up {url} to {file}: {bytes} bytes, verified");
            ExitCode::SUCCESS
        }
        Err(error) => not_copied(&error),
    }
}

fn restore(file: &Path, options: &Options, start: &Start) -> ExitCode {
    let _log = start.log(&options.log);
    let url = match options.url(&start.settings) {
        Ok(url) => url,
        Err(error) => return usage(&error),
    };
    match database::restore(&url, file) {
        Ok(restored) => {
            let (bytes, file) = (restored.bytes, file.display());
            match restored.kept {
                Some(kept) => tracing::info!(
                    "restored {url} from {file}: {bytes} bytes, verified; what was there before \
                     is in {}",
                    kept.display()
                ),
                None => tracing::info!("restored {url} from {file}: {bytes} bytes, verified"),
            }
            ExitCode::SUCCESS
        }
        Err(error) => not_copied(&error),
    }
}

/// Replays recordings and prints what differs.
fn replay(files: &[PathBuf], options: &Options, start: &Start) -> ExitCode {
    let _log = start.log(&options.log);
    let mut written = Ok(());
    let mut print = |text: &str| {
        if written.is_ok() {
            written = write_out(text.as_bytes());
        }
    };
    let summary = match replay::replay(files, &options.config.sandbox, &mut print) {
        Ok(summary) => summary,
        Err(error) => return usage(&error.to_string()),
    };
    print(&format!("{summary}\n"));
    match written {
        Ok(()) if summary.is_good() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn not_copied(error: &CopyError) -> ExitCode {
    tracing::error!("{error}");
    if error.is_usage() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the plan of the migrations.
fn plan(options: Options, start: &Start) -> ExitCode {
    let (mut text, mut can_be_done) = (String::new(), false);
    let code = with_runtime(options, start, async |config| {
        can_be_done = match server::plan(&config).await? {
            Some(findings) => migrate::describe(&findings, &mut text).unwrap_or_default(),
            None => {
                text.push_str("The component has no migrations, or cannot plan them.\n");
                true
            }
        };
        Ok(())
    });
    let written = write_out(text.as_bytes());
    if code != ExitCode::SUCCESS {
        code
    } else if written.is_ok() && can_be_done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn serve(options: Options, start: &Start) -> ExitCode {
    with_runtime(options, start, async |config| server::serve(&config).await)
}

fn with_runtime(
    options: Options,
    start: &Start,
    work: impl AsyncFnOnce(Config) -> Result<(), ServeError>,
) -> ExitCode {
    let _log = start.log(&options.log);
    if options.url.is_none() && options.url_file.is_none() {
        tracing::info!(
            "no database given: users are kept in {DEFAULT_DATABASE} (choose with --database or \
             DATABASE_URL)"
        );
    }
    let config = match options.config(&start.settings) {
        Ok(config) => config,
        Err(error) => return usage(&error),
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
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
