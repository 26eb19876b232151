//! The servers that are compared: Usher, the native ones, and others.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use super::certificate::Certificate;
use super::scenario::Scenario;
use super::server::{Ready, Server, free_address};
use crate::Error;

/// A kind of server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// `native`, which all others are compared to.
    Idiomatic,
    /// `native-best`.
    Best,
    /// Usher with instances that serve many requests.
    Usher,
    /// Usher with an instance for every request.
    UsherFresh,
    /// The FastAPI service on uvicorn, one worker.
    FastApi,
    /// A loop in Python that inserts into an SQLite file, without a server.
    Loop,
    /// Another server, by its command line.
    Other(Other),
}

/// A server given by its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    name: String,
    command: Vec<String>,
}

/// Replaced by the listen address in a command line.
const ADDRESS: &str = "{address}";

/// Replaced by the database's URL in a command line.
const DATABASE: &str = "{database}";

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("NAME=COMMAND is expected")?;
        let command: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
        if !command.iter().any(|argument| argument.contains(ADDRESS)) {
            return Err(format!(
                "the command does not say {ADDRESS}, where it shall listen"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            command,
        })
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Usher's.
    pub usher: Option<PathBuf>,
    /// The native server's; the one at its best is beside it.
    pub native: PathBuf,
    /// A Python that has FastAPI, uvicorn, SQLAlchemy, asyncpg and aiosqlite.
    pub python: Option<PathBuf>,
    /// Further servers.
    pub others: Vec<Other>,
    /// The cores for the servers, in taskset(1)'s notation; without it they use all cores.
    pub cores: Option<String>,
}

/// The FastAPI service, as a module for uvicorn.
const FASTAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// What the FastAPI service imports.
const FASTAPI_MODULES: &str =
    "import aiosqlite, asyncpg, email_validator, fastapi, greenlet, sqlalchemy, uvicorn, uvloop";

/// The loop of [`Contestant::Loop`].
const LOOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/sqlite_loop.py");

impl Programs {
    /// A Python, with or without FastAPI.
    fn any_python(&self) -> &Path {
        self.python.as_deref().unwrap_or(Path::new("python3"))
    }

    /// Runs [`Contestant::Loop`] on a file for some time, and returns the figures that it prints.
    ///
    /// # Errors
    /// If it fails.
    pub fn run_loop(&self, file: &Path, time: Duration) -> Result<Vec<f64>, Error> {
        let output = Command::new(self.any_python())
            .args([Path::new(LOOP), file])
            .arg(time.as_secs_f64().to_string())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err("the loop in Python has failed".into());
        }
        let text = String::from_utf8(output.stdout)?;
        Ok(text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?)
    }

    /// Whether a Python has what the FastAPI service needs.
    pub fn has_fastapi(python: &Path) -> bool {
        Command::new(python)
            .args(["-c", FASTAPI_MODULES])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

impl Contestant {
    /// Its name in the table.
    pub fn name(&self) -> &str {
        match self {
            Self::Idiomatic => "native, idiomatic",
            Self::Best => "native, best",
            Self::Usher => "usher",
            Self::UsherFresh => "usher, fresh instances",
            Self::FastApi => "FastAPI, 1 worker",
            Self::Loop => "loop in Python",
            Self::Other(other) => &other.name,
        }
    }

    /// Whether the server is available and supports this database.
    pub fn takes_part(&self, programs: &Programs, database: &str) -> bool {
        let memory = database == "memory:";
        match self {
            Self::Idiomatic | Self::Best => true,
            Self::Usher | Self::UsherFresh => programs.usher.is_some(),
            Self::FastApi => programs.python.is_some() && !memory,
            Self::Loop => Command::new(programs.any_python())
                .arg("--version")
                .stdout(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
            // A server without a URL can only keep users in memory.
            Self::Other(other) => {
                other
                    .command
                    .iter()
                    .any(|argument| argument.contains(DATABASE))
                    != memory
            }
        }
    }

    /// Starts it on a free port.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self, programs: &Programs, database: &str) -> Result<Server, Error> {
        self.start_with(&[], programs, database)
    }

    /// The same for clients who connect as those of a scenario.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_for(
        &self,
        scenario: Scenario,
        certificate: Option<&Certificate>,
        programs: &Programs,
        database: &str,
    ) -> Result<Server, Error> {
        let mut options = Vec::new();
        if let Some(certificate) = certificate {
            options.extend([OsStr::new("--tls-cert"), certificate.file.as_os_str()]);
            options.extend([OsStr::new("--tls-key"), certificate.key.as_os_str()]);
        }
        let is_native = matches!(self, Self::Idiomatic | Self::Best);
        if is_native && scenario.is_by_http2() {
            options.push(OsStr::new("--http2"));
        }
        self.start_with(&options, programs, database)
    }

    fn start_with(
        &self,
        options: &[&OsStr],
        programs: &Programs,
        database: &str,
    ) -> Result<Server, Error> {
        let listen = ["--listen", "127.0.0.1:0"];
        let (mut command, ready) = match self {
            Self::Idiomatic | Self::Best => {
                let mut command = Command::new(if *self == Self::Best {
                    programs.native.with_file_name("native-best")
                } else {
                    programs.native.clone()
                });
                command.args(listen);
                (command, Ready::Announced)
            }
            Self::Usher | Self::UsherFresh => {
                let program = programs
                    .usher
                    .as_ref()
                    .ok_or("there is no usher to start")?;
                let mut command = Command::new(program);
                command.args(listen);
                if *self == Self::UsherFresh {
                    command.args(["--instance-reuse", "1"]);
                }
                (command, Ready::Announced)
            }
            Self::FastApi => {
                let address = free_address()?;
                let python = programs
                    .python
                    .as_ref()
                    .ok_or("there is no Python to start")?;
                let mut command = Command::new(python);
                command
                    .args(["-m", "uvicorn", "fastapi_users:app", "--app-dir", FASTAPI])
                    .args([
                        "--host",
                        &address.ip().to_string(),
                        "--port",
                        &address.port().to_string(),
                    ])
                    .args([
                        "--loop",
                        "uvloop",
                        "--no-access-log",
                        "--log-level",
                        "warning",
                    ])
                    .env("DATABASE_URL", sqlalchemy_url(database));
                (command, Ready::At(address))
            }
            Self::Loop => return Err("it is no server".into()),
            Self::Other(other) => {
                let address = free_address()?;
                (other.command(address, database)?, Ready::At(address))
            }
        };
        command.args(options);
        if let Some(cores) = &programs.cores {
            command = on(cores, &command);
        }
        if !matches!(self, Self::FastApi) {
            // Not as an argument, which every user of the machine can read.
            command.env("DATABASE_URL", database);
        }
        Server::start(command, ready).map_err(|error| format!("{}: {error}", self.name()).into())
    }
}

/// The URL as SQLAlchemy spells it: with a driver, and for a file with one more slash.
fn sqlalchemy_url(url: &str) -> String {
    match url.strip_prefix("sqlite:") {
        Some(file) => format!("sqlite+aiosqlite:///{file}"),
        None => url.replacen("postgres://", "postgresql+asyncpg://", 1),
    }
}

/// The same command, restricted to some cores.
fn on(cores: &str, command: &Command) -> Command {
    let mut kept = Command::new("taskset");
    kept.args(["--cpu-list", cores])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => kept.env(name, value),
            None => kept.env_remove(name),
        };
    }
    kept
}

impl Other {
    fn command(&self, address: SocketAddr, database: &str) -> Result<Command, Error> {
        let fill = |argument: &String| {
            argument
                .replace(ADDRESS, &address.to_string())
                .replace(DATABASE, database)
        };
        let (program, arguments) = self.command.split_first().ok_or("an empty command")?;
        let mut command = Command::new(fill(program));
        command.args(arguments.iter().map(fill));
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::{Contestant, Other, Programs};

    #[test]
    fn server_without_url_uses_memory_database() {
        let programs = Programs {
            usher: None,
            native: "native".into(),
            python: None,
            others: Vec::new(),
            cores: None,
        };
        for (command, memory) in [
            ("a=b --addr {address}", true),
            ("a=b {address} --to {database}", false),
        ] {
            let other: Other = command.parse().expect("a command");
            let other = Contestant::Other(other);
            assert_eq!(other.takes_part(&programs, "memory:"), memory);
            assert_eq!(other.takes_part(&programs, "postgres://a/b"), !memory);
        }
    }

    #[test]
    fn command_without_address_placeholder_is_an_error() {
        "a=b".parse::<Other>().expect_err("no address");
        "b {address}".parse::<Other>().expect_err("no name");
    }
}
