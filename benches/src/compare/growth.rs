//! The cost of a request as users, clients and hosts grow in number: the same GET of one user, at
//! points along three axes.
//!
//! All points are prepared before the first is measured, and each is measured in every round, so
//! that other work on the machine affects all of them alike. The result is the median of the
//! rounds, and the median of the ratios to the axis's first point within a round. Along the first
//! two axes the native server at its best is measured at each point too: its growth is not the
//! sandbox's.

use std::thread::ScopedJoinHandle;
use std::time::Duration;

use usher_testing::cluster::Cluster;

use super::check;
use super::contestant::{Contestant, Programs};
use super::database::Database;
use super::process;
use super::report::median;
use super::scenario::Scenario;
use super::server::Server;
use crate::Error;
use crate::load::{self, Load, Transport, Until};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Users in the table.
    Rows,
    /// Clients at once, each on a connection of its own.
    Connections,
    /// Hosts in front of one PostgreSQL, which share the clients.
    Hosts,
}

impl Axis {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rows, Self::Connections, Self::Hosts];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Connections => "connections",
            Self::Hosts => "hosts",
        }
    }
}

/// Which points, and how long each is measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many users, one after the other.
    pub rows: Vec<u64>,
    /// How many connections, one after the other.
    pub connections: Vec<usize>,
    /// How many hosts, one after the other.
    pub hosts: Vec<usize>,
    /// What stays the same along the other axes.
    pub usual_rows: u64,
    /// What stays the same along the other axes.
    pub usual_connections: usize,
    /// How many samples of each point.
    pub rounds: usize,
    /// How long a sample takes.
    pub time: Duration,
    /// How long the servers are loaded before a sample counts.
    pub warm_up: Duration,
}

/// One point of an axis, and the results of its samples.
#[derive(Clone, Debug)]
pub struct Point {
    /// What grows.
    pub axis: Axis,
    /// How far.
    pub value: u64,
    database: usize,
    hosts: usize,
    connections: usize,
    samples: Vec<Cost>,
    /// Samples of the native server at its best; none along the axis of hosts.
    native: Vec<Cost>,
}

/// One sample, or the medians of many.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Responses per second.
    pub rate: f64,
    /// The hosts' processor time for each, in microseconds.
    pub cpu: f64,
    /// PostgreSQL's processor time for each, in microseconds.
    pub postgres: f64,
}

impl Point {
    /// The medians.
    pub fn cost(&self) -> Cost {
        medians(self.samples.iter().copied())
    }

    /// The medians of the native server at its best, where it has samples.
    pub fn native(&self) -> Option<Cost> {
        (!self.native.is_empty()).then(|| medians(self.native.iter().copied()))
    }

    /// The medians of the ratios to another point, round by round.
    pub fn ratio(&self, other: &Self) -> Cost {
        medians(ratios(&self.samples, &other.samples))
    }

    /// The same of the native server, where it has samples.
    pub fn native_ratio(&self, other: &Self) -> Option<Cost> {
        (!self.native.is_empty()).then(|| medians(ratios(&self.native, &other.native)))
    }

    /// The medians of the ratios to the native server at this point, round by round, where that had
    /// samples.
    pub fn to_native(&self) -> Option<Cost> {
        (!self.native.is_empty()).then(|| medians(ratios(&self.samples, &self.native)))
    }
}

fn ratios(samples: &[Cost], others: &[Cost]) -> impl Iterator<Item = Cost> {
    samples.iter().zip(others).map(|(own, other)| Cost {
        rate: own.rate / other.rate,
        cpu: own.cpu / other.cpu,
        postgres: own.postgres / other.postgres,
    })
}

fn medians(samples: impl Iterator<Item = Cost>) -> Cost {
    let samples: Vec<_> = samples.collect();
    let of = |what: fn(&Cost) -> f64| median(samples.iter().map(what).collect());
    Cost {
        rate: of(|sample| sample.rate),
        cpu: of(|sample| sample.cpu),
        postgres: of(|sample| sample.postgres),
    }
}

/// A database with its rows, and the hosts in front of it.
struct Place {
    rows: u64,
    // Stopped before their database is dropped.
    servers: Vec<Server>,
    native: Option<Server>,
    database: Database,
}

/// Measures all points.
///
/// # Errors
/// If PostgreSQL or a host cannot be started, or a response is not 200.
pub fn run(programs: &Programs, settings: &Settings) -> Result<Vec<Point>, Error> {
    let cluster = Cluster::durable()?;
    let mut points = points(settings);
    let mut rows: Vec<_> = settings.rows.clone();
    rows.push(settings.usual_rows);
    rows.sort_unstable();
    rows.dedup();
    let mut places = Vec::new();
    for rows in rows {
        let database = Database::make(Some(&cluster.url()))?;
        database.fill(rows)?;
        places.push(Place {
            rows,
            servers: Vec::new(),
            native: None,
            database,
        });
        check()?;
    }
    for point in &mut points {
        let rows = if point.axis == Axis::Rows {
            point.value
        } else {
            settings.usual_rows
        };
        let place = places
            .iter_mut()
            .enumerate()
            .find(|(_, place)| place.rows == rows);
        let (number, place) = place.ok_or("a point without a database")?;
        point.database = number;
        while place.servers.len() < point.hosts {
            place
                .servers
                .push(Contestant::Usher.start(programs, &place.database.url)?);
        }
        if point.axis != Axis::Hosts && place.native.is_none() {
            place.native = Some(Contestant::Best.start(programs, &place.database.url)?);
        }
    }
    for round in 1..=settings.rounds {
        for point in &mut points {
            check()?;
            let place = places
                .get(point.database)
                .ok_or("a point without a database")?;
            let servers = place
                .servers
                .get(..point.hosts)
                .ok_or("a point without hosts")?;
            let sample = sample(servers, point.connections, place.rows, settings, &cluster)?;
            print_sample(round, settings, point, "usher", sample);
            point.samples.push(sample);
            if let (Some(native), true) = (&place.native, point.axis != Axis::Hosts) {
                let native = std::slice::from_ref(native);
                let sample =
                    self::sample(native, point.connections, place.rows, settings, &cluster)?;
                print_sample(round, settings, point, Contestant::Best.name(), sample);
                point.native.push(sample);
            }
        }
    }
    Ok(points)
}

/// Loads the servers for a sample.
fn sample(
    servers: &[Server],
    connections: usize,
    users: u64,
    settings: &Settings,
    cluster: &Cluster,
) -> Result<Cost, Error> {
    load(servers, connections, settings.warm_up, users)?;
    let pid = cluster.pid()?;
    let cpu = || -> Result<_, Error> {
        let own = servers
            .iter()
            .map(Server::cpu)
            .sum::<std::io::Result<Duration>>()?;
        Ok((own, process::cpu_with_children(pid)?))
    };
    let before = cpu()?;
    let (requests, rate) = load(servers, connections, settings.time, users)?;
    let after = cpu()?;
    let each =
        |begin: Duration, end: Duration| end.saturating_sub(begin).as_secs_f64() * 1e6 / requests;
    Ok(Cost {
        rate,
        cpu: each(before.0, after.0),
        postgres: each(before.1, after.1),
    })
}

fn print_sample(round: usize, settings: &Settings, point: &Point, who: &str, sample: Cost) {
    eprintln!(
        "round {round} of {}: {} {}: {who}: {:.0}/s, {:.1} µs, PostgreSQL {:.1} µs",
        settings.rounds,
        point.value,
        point.axis.name(),
        sample.rate,
        sample.cpu,
        sample.postgres
    );
}

fn points(settings: &Settings) -> Vec<Point> {
    let point = |axis, value, hosts, connections| Point {
        axis,
        value,
        database: 0,
        hosts,
        connections,
        samples: Vec::new(),
        native: Vec::new(),
    };
    let rows = settings
        .rows
        .iter()
        .map(|&rows| point(Axis::Rows, rows, 1, settings.usual_connections));
    let connections = settings
        .connections
        .iter()
        .map(|&connections| point(Axis::Connections, connections as u64, 1, connections));
    let hosts = settings
        .hosts
        .iter()
        .map(|&hosts| point(Axis::Hosts, hosts as u64, hosts, settings.usual_connections));
    rows.chain(connections).chain(hosts).collect()
}

/// Loads several hosts at the same time, with the connections shared among them. Returns the number
/// of responses and their rate per second.
#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 requests")]
fn load(
    servers: &[Server],
    connections: usize,
    time: Duration,
    users: u64,
) -> Result<(f64, f64), Error> {
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let each = connections.div_ceil(servers.len().max(1));
        let threads: Vec<_> = servers
            .iter()
            .map(|server| {
                let load = Load {
                    address: server.address,
                    transport: Transport::default(),
                    connections: each,
                    until: Until::Elapsed(time),
                    requests: Scenario::Get.requests(server.address, users),
                };
                scope.spawn(move || load::run(&load).map_err(|error| error.to_string()))
            })
            .collect();
        threads.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let (mut requests, mut rate) = (0.0, 0.0);
    for outcome in outcomes {
        let outcome = outcome.map_err(|_| "a thread of the load has failed")??;
        if let Some((status, answers)) = outcome.answers.iter().find(|(status, _)| **status != 200)
        {
            return Err(format!("{answers} answers had status {status}").into());
        }
        requests += outcome.requests() as f64;
        rate += outcome.rate();
    }
    Ok((requests, rate))
}
