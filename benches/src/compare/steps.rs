//! The cost of a request step by step; each step adds one thing to the one before.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::check;
use super::database::Database;
use super::server::{Ready, Server};
use crate::Error;
use crate::load::{self, Load, Requests, Transport, Until};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The HTTP library, with the same response to everything.
    Http,
    /// A component that sends the same response to everything.
    Call,
    /// The service, with an id out of range, so that it runs no statement.
    Guest,
    /// The service, with a user in memory.
    Memory,
    /// The service, with a user in PostgreSQL.
    Postgres,
}

impl Step {
    /// Each adds to the one before.
    pub const ALL: [Self; 5] = [
        Self::Http,
        Self::Call,
        Self::Guest,
        Self::Memory,
        Self::Postgres,
    ];

    /// Its name in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Http => "HTTP alone",
            Self::Call => "+ the call of an instance, which returns a fixed response",
            Self::Guest => "+ the service: routes, validation, JSON",
            Self::Memory => "+ the database's boundary, and SQLite in memory",
            Self::Postgres => "+ PostgreSQL, in place of SQLite",
        }
    }

    fn status(self) -> u16 {
        if self == Self::Guest { 404 } else { 200 }
    }
}

/// How to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many samples of each step.
    pub rounds: usize,
    /// How long a sample takes.
    pub time: Duration,
    /// How long a server is loaded before its sample counts.
    pub warm_up: Duration,
    /// How many clients at once.
    pub connections: usize,
    /// Usher's program.
    pub usher: PathBuf,
    /// The program that is the HTTP library alone.
    pub http: PathBuf,
    /// The component that sends a fixed response.
    pub hello: PathBuf,
}

/// How many users there are.
const USERS: u64 = 1000;

/// A step and the processor time it took of the server for one request, in microseconds, sample by
/// sample.
pub type Samples = (Step, Vec<f64>);

/// Measures every step in each round.
///
/// # Errors
/// If a server cannot be started, or a response is not the expected one.
pub fn run(settings: &Settings) -> Result<Vec<Samples>, Error> {
    let database = Database::make(None)?;
    database.fill(USERS)?;
    let mut running = Vec::new();
    for step in Step::ALL {
        let server = start(step, settings, &database)?;
        if step == Step::Memory {
            let requests = Requests::new_users(server.address);
            once(&server, 200, settings, Until::Sent(USERS), requests)?;
        }
        running.push((server, (step, Vec::new())));
    }
    for round in 1..=settings.rounds {
        for (server, (step, costs)) in &mut running {
            check()?;
            let requests = || {
                let paths = (1..=USERS).map(|id| match step {
                    Step::Guest => format!("/users/9999999999999999{id:04}"),
                    _ => format!("/users/{id}"),
                });
                Requests::get(server.address, paths)
            };
            let warm_up = Until::Elapsed(settings.warm_up);
            once(server, step.status(), settings, warm_up, requests())?;
            let time = Until::Elapsed(settings.time);
            let cost = once(server, step.status(), settings, time, requests())?;
            eprintln!(
                "round {round} of {}: {}: {cost:.1} µs",
                settings.rounds,
                step.title()
            );
            costs.push(cost);
        }
    }
    Ok(running.into_iter().map(|(_, samples)| samples).collect())
}

fn start(step: Step, settings: &Settings, database: &Database) -> Result<Server, Error> {
    let program = if step == Step::Http {
        &settings.http
    } else {
        &settings.usher
    };
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0"]);
    if step == Step::Call {
        command.arg("--component").arg(&settings.hello);
    }
    let url = if step == Step::Postgres {
        &database.url
    } else {
        "memory:"
    };
    // Not as an argument, which every user of the machine can read.
    command.env("DATABASE_URL", url);
    Server::start(command, Ready::Announced)
        .map_err(|error| format!("{}: {error}", step.title()).into())
}

/// Loads a server and returns its processor time per request, in microseconds.
fn once(
    server: &Server,
    status: u16,
    settings: &Settings,
    until: Until,
    requests: Requests,
) -> Result<f64, Error> {
    let before = server.cpu()?;
    let outcome = load::run(&Load {
        address: server.address,
        transport: Transport::default(),
        connections: settings.connections,
        until,
        requests,
    })?;
    let took = server.cpu()?.saturating_sub(before).as_secs_f64();
    if let Some((other, answers)) = outcome.answers.iter().find(|(got, _)| **got != status) {
        return Err(format!("{answers} answers had status {other} in place of {status}").into());
    }
    Ok(took * 1e6 / outcome.rate() / outcome.elapsed.as_secs_f64())
}
