//! The rounds: each has one sample of every server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use super::certificate::Certificate;
use super::check;
use super::contestant::{Contestant, Programs};
use super::database::Database;
use super::files::{self, Directory};
use super::scenario::Scenario;
use super::server::Server;
use crate::Error;
use crate::load::{self, Load, Outcome, Requests, Transport, Until};

/// The interval at which a loaded server's memory is read.
const MEMORY_INTERVAL: Duration = Duration::from_millis(20);

/// Numbers of rounds, clients and users, and times.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many samples of each server.
    pub rounds: usize,
    /// How long a sample takes.
    pub time: Duration,
    /// How long a server is loaded before its sample counts.
    pub warm_up: Duration,
    /// How many clients at once.
    pub connections: usize,
    /// How many users there are.
    pub users: u64,
}

/// The result of one sample of a server.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Responses per second.
    pub rate: f64,
    /// The server's processor time per response, in microseconds.
    pub cpu: f64,
    /// The kernel's part of it, in microseconds.
    pub system: f64,
    /// How often its threads went to sleep per response.
    pub sleeps: f64,
    /// PostgreSQL's processor time per response, in microseconds, if known.
    pub postgres: Option<f64>,
    /// The latency of the median request, in milliseconds.
    pub p50: f64,
    /// The latency that one request in a hundred exceeded, in milliseconds.
    pub p99: f64,
    /// The most memory it had in RAM, in bytes.
    pub resident: u64,
}

/// All samples of a server.
#[derive(Clone, Debug)]
pub struct Series {
    /// The server.
    pub contestant: Contestant,
    /// The memory it had in RAM before its first request, in bytes.
    pub idle: u64,
    /// In the order of the rounds.
    pub rounds: Vec<Round>,
}

/// Runs all rounds of a scenario.
///
/// # Errors
/// If a server cannot be started, or a response is not 200.
pub fn run(
    scenario: Scenario,
    programs: &Programs,
    postgres: Option<&Database>,
    settings: &Settings,
) -> Result<Vec<Series>, Error> {
    let postgres = postgres.filter(|_| scenario.on_postgres());
    let directory = scenario
        .on_file()
        .then(|| Directory::make("users"))
        .transpose()?;
    let certificate = scenario.is_over_tls().then(Certificate::make).transpose()?;
    let transport = scenario.transport(certificate.as_ref())?;
    let url = match (postgres, &directory) {
        (Some(database), _) => database.url.as_str(),
        (None, Some(_)) => "sqlite:",
        (None, None) => "memory:",
    };
    let users = scenario.users(settings.users);
    if let Some(database) = postgres {
        database.wait_for_disk(scenario.waits_for_disk())?;
        database.slow_user(false)?;
        database.fill(users)?;
    }
    let mut running = Vec::new();
    for (number, contestant) in scenario.contestants(programs, url).into_iter().enumerate() {
        let file = directory.as_ref().map(|directory| directory.file(number));
        if let (Contestant::Loop, Some(file)) = (&contestant, &file) {
            let (idle, rounds) = (0, Vec::new());
            running.push((
                Runner::Loop(file.clone()),
                Series {
                    contestant,
                    idle,
                    rounds,
                },
            ));
            continue;
        }
        let url = match &file {
            Some(file) => format!("sqlite:{}", file.display()),
            None => url.to_owned(),
        };
        let server = contestant.start_for(scenario, certificate.as_ref(), programs, &url)?;
        let idle = server.resident()?;
        if postgres.is_none() && users > 0 {
            let requests = Requests::new_users(server.address);
            load(
                server.address,
                &transport,
                settings.connections,
                Until::Sent(users),
                requests,
            )?;
        }
        running.push((
            Runner::Server(server, file),
            Series {
                contestant,
                idle,
                rounds: Vec::new(),
            },
        ));
    }
    if let Some(database) = postgres {
        // Only now, because a server may change the table at its start.
        database.slow_user(scenario == Scenario::GetBesideSlow)?;
    }
    for round in 1..=settings.rounds {
        for (runner, series) in &mut running {
            check()?;
            if let Runner::Server(_, Some(file)) | Runner::Loop(file) = runner
                && scenario.writes()
            {
                files::clear(file)?;
            }
            if let Some(database) = postgres.filter(|_| scenario.writes()) {
                database.fill(users)?;
            }
            let name = series.contestant.name();
            let measured = match runner {
                Runner::Server(server, _) => {
                    sample(scenario, server, &transport, postgres, settings, users)
                }
                Runner::Loop(file) => sample_loop(programs, file, settings),
            };
            let measured =
                measured.map_err(|error| format!("{}: {name}: {error}", scenario.title()))?;
            eprintln!(
                "{}, round {round} of {}: {name}: {:.0}/s, {:.1} µs",
                scenario.title(),
                settings.rounds,
                measured.rate,
                measured.cpu,
            );
            series.rounds.push(measured);
        }
        // The order changes, so that no server is always first.
        running.rotate_left(1);
    }
    let mut all: Vec<Series> = running.into_iter().map(|(_, series)| series).collect();
    let turned = settings.rounds % all.len().max(1);
    all.rotate_right(turned);
    Ok(all)
}

/// What takes part.
enum Runner {
    /// A server, and its SQLite file if it has one.
    Server(Server, Option<PathBuf>),
    /// The loop in Python, on a file.
    Loop(PathBuf),
}

fn sample_loop(programs: &Programs, file: &Path, settings: &Settings) -> Result<Round, Error> {
    programs.run_loop(file, settings.warm_up)?;
    let figures = programs.run_loop(file, settings.time)?;
    let &[count, seconds, user, system, switches, p50, p99, resident] = &figures[..] else {
        return Err("the loop in Python prints something else".into());
    };
    Ok(Round {
        rate: count / seconds,
        cpu: (user + system) * 1e6 / count,
        system: system * 1e6 / count,
        sleeps: switches / count,
        postgres: None,
        p50,
        p99,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bytes in RAM"
        )]
        resident: resident as u64,
    })
}

fn sample(
    scenario: Scenario,
    server: &Server,
    transport: &Transport,
    postgres: Option<&Database>,
    settings: &Settings,
    users: u64,
) -> Result<Round, Error> {
    let requests = scenario.requests(server.address, users);
    let connections = scenario.connections(settings.connections);
    load(
        server.address,
        transport,
        connections,
        Until::Elapsed(settings.warm_up),
        requests.clone(),
    )?;
    let database_cpu = || postgres.map_or(Ok(None), Database::cpu);
    let before = (server.cpu()?, database_cpu()?);
    let (system, sleeps) = (server.system()?, server.sleeps()?);
    let done = AtomicBool::new(false);
    let (outcome, resident) = std::thread::scope(|scope| {
        let glances = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Relaxed) {
                // Clients notice a server that has ended.
                most = server.resident().unwrap_or_default().max(most);
                std::thread::sleep(MEMORY_INTERVAL);
            }
            most
        });
        let beside = scenario.beside(server.address).map(|requests| {
            let until = Until::Elapsed(settings.time);
            scope.spawn(move || {
                load(server.address, transport, 1, until, requests)
                    .map_err(|error| error.to_string())
            })
        });
        let outcome = load(
            server.address,
            transport,
            connections,
            Until::Elapsed(settings.time),
            requests,
        );
        done.store(true, Relaxed);
        let outcome = outcome.and_then(|outcome| match beside.map(ScopedJoinHandle::join) {
            None | Some(Ok(Ok(_))) => Ok(outcome),
            Some(Ok(Err(error))) => Err(format!("the slow query: {error}").into()),
            Some(Err(_)) => Err("the thread of the slow query has failed".into()),
        });
        (outcome, glances.join().unwrap_or_default())
    });
    let outcome = outcome?;
    let after = (server.cpu()?, database_cpu()?);
    let requests = outcome.rate() * outcome.elapsed.as_secs_f64();
    let each =
        |begin: Duration, end: Duration| end.saturating_sub(begin).as_secs_f64() * 1e6 / requests;
    Ok(Round {
        rate: outcome.rate(),
        cpu: each(before.0, after.0),
        system: each(system, server.system()?),
        #[expect(
            clippy::cast_precision_loss,
            reason = "some thousands a second for some seconds"
        )]
        sleeps: server.sleeps()?.saturating_sub(sleeps) as f64 / requests,
        postgres: before.1.zip(after.1).map(|(begin, end)| each(begin, end)),
        p50: outcome.quantile(0.5).as_secs_f64() * 1e3,
        p99: outcome.quantile(0.99).as_secs_f64() * 1e3,
        resident,
    })
}

/// Loads a server, whose responses must all be 200, or 204 for DELETE.
fn load(
    address: SocketAddr,
    transport: &Transport,
    connections: usize,
    until: Until,
    requests: Requests,
) -> Result<Outcome, Error> {
    let outcome = load::run(&Load {
        address,
        transport: transport.clone(),
        connections,
        until,
        requests,
    })?;
    match outcome
        .answers
        .iter()
        .find(|(status, _)| !matches!(status, 200 | 204))
    {
        Some((status, answers)) => Err(format!(
            "{answers} of {} answers had status {status}",
            outcome.requests()
        )
        .into()),
        None if outcome.requests() == 0 => Err("no answer at all".into()),
        None => Ok(outcome),
    }
}
