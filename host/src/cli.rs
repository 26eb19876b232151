//! The command line: what can be asked, and what comes of it.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::database::{self, Url};
use crate::sandbox::{Source, USERS_WASM, info, migrate};
use crate::server::{self, Config, ServeError};
use crate::telemetry;

/// Where users are kept if nothing is said: a file in the working directory.
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
        /// Only say what would be done, what stands in the way, and what is worth knowing; change nothing. Ends with 1 where something
        /// stands in the way.
        #[arg(long)]
        plan: bool,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Write the embedded component to a file, to run it in another WASI host, or tell what a component asks for.
    #[command(group(clap::ArgGroup::new("what").required(true)))]
    Component {
        /// The file to write the embedded component to.
        #[arg(long, value_name = "FILE", group = "what")]
        output: Option<PathBuf>,
        /// Tell what a component imports and exports and which statements it declares; of the embedded one if no file is named.
        #[arg(long, value_name = "FILE", num_args = 0..=1, group = "what")]
        #[expect(clippy::option_option, reason = "absent, without a file, with one")]
        info: Option<Option<PathBuf>>,
    },
}

#[derive(Args, Debug)]
struct Options {
    /// Where to serve HTTP clients; port 0 takes a free one.
    #[arg(
        long,
        env = "USHER_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8000"
    )]
    listen: SocketAddr,
    /// Where to serve operators: /live, /ready and /metrics. Nowhere if absent.
    #[arg(long, env = "USHER_ADMIN_LISTEN", value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// postgres://…, sqlite:PATH or memory:; libpq's and SQLAlchemy's spellings are understood, and
    /// for PostgreSQL the variables PGHOST, PGPASSWORD and so on [default: sqlite:usher.db].
    // Taken as text: the parser would repeat a URL it cannot read, password and all.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database: Option<String>,
    /// How long to wait at start for a database that does not answer.
    #[arg(long, env = "USHER_DATABASE_WAIT", value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    database_wait: Duration,
    #[command(flatten)]
    policy: database::Options,
    /// The component to serve in place of the embedded one.
    #[arg(long, env = "USHER_COMPONENT", value_name = "FILE")]
    component: Option<PathBuf>,
    /// Leave the schema as it is at start.
    #[arg(long, env = "USHER_NO_MIGRATE")]
    no_migrate: bool,
    /// For bringing the schema up to date, waiting for locks included; 0s for as long as it takes.
    #[arg(long, env = "USHER_MIGRATION_TIMEOUT", value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    migration_timeout: Duration,
    /// Requests an instance serves before it is replaced; 1 gives every request a fresh one.
    #[arg(
        long,
        env = "USHER_INSTANCE_REUSE",
        value_name = "N",
        default_value = "128"
    )]
    instance_reuse: NonZeroU32,
    /// Memory an instance may use.
    #[arg(long, env = "USHER_INSTANCE_MEMORY", value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    instance_memory: usize,
    /// Memory the host may hold for one request beside the instance's: header fields, bodies, parameters.
    #[arg(long, env = "USHER_REQUEST_MEMORY", value_name = "SIZE", default_value = "32MiB", value_parser = size)]
    request_memory: usize,
    /// The same for all requests together; one that wants more is 503.
    #[arg(long, env = "USHER_HOST_MEMORY", value_name = "SIZE", default_value = "512MiB", value_parser = size)]
    host_memory: usize,
    /// A response that is not streamed; a larger one is 500.
    #[arg(long, env = "USHER_MAX_RESPONSE", value_name = "SIZE", default_value = "16MiB", value_parser = size)]
    max_response: usize,
    /// Processor time of one request; one that takes more is 504.
    #[arg(long, env = "USHER_CPU_TIME", value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    cpu_time: Duration,
    /// How long the component may go on after its answer is complete.
    #[arg(long, env = "USHER_AFTER_ANSWER", value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    after_answer: Duration,
    /// Cores to serve on [default: all].
    #[arg(long, env = "USHER_WORKERS", value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Requests in flight at once; further ones wait [default: 64 for each worker].
    #[arg(long, env = "USHER_MAX_REQUESTS", value_name = "N")]
    max_requests: Option<NonZeroUsize>,
    /// Client connections at once; further ones wait.
    #[arg(
        long,
        env = "USHER_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "10000"
    )]
    max_connections: NonZeroUsize,
    /// A request's body; a larger one is 413.
    #[arg(long, env = "USHER_MAX_BODY", value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    max_body: usize,
    /// A request's line and headers together; larger ones are 431.
    #[arg(long, env = "USHER_MAX_HEAD", value_name = "SIZE", default_value = "64KiB", value_parser = size)]
    max_head: usize,
    /// From a request's arrival to its answer; a later one is 504.
    #[arg(long, env = "USHER_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    request_timeout: Duration,
    /// For a request's head to arrive, and for a connection to be idle.
    #[arg(long, env = "USHER_HEAD_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    head_timeout: Duration,
    /// For a request's body to arrive; a slower one is 408.
    #[arg(long, env = "USHER_BODY_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    body_timeout: Duration,
    /// How long a client may take nothing of its answer before it is cut off.
    #[arg(long, env = "USHER_WRITE_TIMEOUT", value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    write_timeout: Duration,
    /// Proxies whose X-Forwarded-Proto and Forwarded count, by address and separated by commas.
    #[arg(
        long,
        env = "USHER_TRUSTED_PROXY",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1,::1"
    )]
    trusted_proxy: Vec<IpAddr>,
    /// For connections to end after SIGTERM or Ctrl-C.
    #[arg(long, env = "USHER_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    drain_timeout: Duration,
    /// What to log on standard error: error, warn, info, debug or trace.
    #[arg(long, env = "USHER_LOG", value_name = "LEVEL", default_value = "info")]
    log: tracing::Level,
}

impl Options {
    fn config(self) -> Result<Config, String> {
        let url: Url = match self.database {
            Some(url) => url
                .parse()
                .map_err(|error| format!("cannot use the database URL: {error}"))?,
            None => {
                tracing::info!(
                    "no database given: users are kept in {DEFAULT_DATABASE} (choose with --database or DATABASE_URL)"
                );
                DEFAULT_DATABASE
                    .parse()
                    .map_err(|error| format!("{DEFAULT_DATABASE}: {error}"))?
            }
        };
        let mut config = Config::new(self.policy.config(url));
        config.listen = self.listen;
        config.admin_listen = self.admin_listen;
        config.database_wait = self.database_wait;
        config.component = self.component.map_or(Source::Embedded, Source::File);
        config.migrate = !self.no_migrate;
        config.migration_timeout = self.migration_timeout;
        config.instance_reuse = self.instance_reuse;
        config.instance_memory = self.instance_memory;
        config.request_memory = self.request_memory;
        config.host_memory = self.host_memory;
        config.max_response = self.max_response;
        config.cpu_time = self.cpu_time;
        config.after_answer = self.after_answer;
        if let Some(workers) = self.workers {
            config.set_workers(workers);
        }
        config.max_requests = self.max_requests.unwrap_or(config.max_requests);
        config.max_connections = self.max_connections;
        config.max_body = self.max_body;
        config.max_head = self.max_head;
        config.request_timeout = self.request_timeout;
        config.head_timeout = self.head_timeout;
        config.body_timeout = self.body_timeout;
        config.write_timeout = self.write_timeout;
        config.trusted_proxies = self.trusted_proxy.into();
        config.drain_timeout = self.drain_timeout;
        Ok(config)
    }
}

fn size(text: &str) -> Result<usize, String> {
    let size: bytesize::ByteSize = text.parse()?;
    usize::try_from(size.as_u64()).map_err(|error| error.to_string())
}

/// Runs the program on these arguments, the first being its own name.
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
            // Help and version go to standard output and are no error. If even that fails there is
            // nobody left to tell.
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
            telemetry::log_to_stderr(tracing::Level::INFO);
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
        // A reader that has seen enough, such as `head`, is no error.
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

/// Prints what the migrations would do.
fn plan(options: Options) -> ExitCode {
    let (mut text, mut can_be_done) = (String::new(), false);
    let code = with_runtime(options, async |config| {
        can_be_done = match server::plan(&config).await? {
            Some(findings) => migrate::describe(&findings, &mut text).unwrap_or_default(),
            None => {
                text.push_str(
                    "The component has no migrations, or cannot say what they would do.\n",
                );
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

/// An error without the arguments it would repeat: a URL that a shell has taken apart, or that was
/// given without its option, is one of them, password and all. Of an option that is not known only
/// its name is repeated.
fn without_arguments(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};

    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        let Some(ContextValue::String(said)) = error.get(kind) else {
            continue;
        };
        let name = said.strip_prefix("--").unwrap_or_default();
        let is_option = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let is_known = said.starts_with("--") && said.contains(" <");
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
    telemetry::log_to_stderr(options.log);
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
    // A second signal ends with threads still at work; waiting for them here would be a third
    // drain.
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
