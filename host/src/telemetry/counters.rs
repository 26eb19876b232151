//! Counters of requests, connections and instances.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::access_log::AccessLog;
use super::histogram::{Durations, Histogram};
use super::request_id::RequestIds;
use super::routes::{METHOD_NAMES, MethodName, RouteIndex, Routes};

/// The reasons by which failed calls of the component are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedCall {
    /// No permit or memory was available in time.
    Busy,
    /// The call exceeded its deadline or processor time.
    Deadline,
    /// The component failed.
    Trap,
}

/// The statuses that have a counter each: the registered ones, and 499 for a request whose client
/// left before its response began. A component may send others, which are counted by class.
const STATUSES: [u16; 65] = [
    100, 101, 102, 103, 104, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303,
    304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414,
    415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503,
    504, 505, 506, 507, 508, 509, 510, 511,
];

/// The status of a request whose client left before its response began, as nginx has it.
pub(super) const CLIENT_LEFT: u16 = 499;

/// The labels of the other statuses.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// How many labels of statuses there are.
pub(crate) const STATUS_LABELS: usize = STATUSES.len() + CLASSES.len();

/// The label of each status from 100 to 599, by index.
static LABELS: [u8; 500] = labels();

#[expect(
    clippy::cast_possible_truncation,
    reason = "there are fewer than 256 labels"
)]
const fn labels() -> [u8; 500] {
    let mut labels = [0; 500];
    let mut at = 0;
    while at < labels.len() {
        labels[at] = (STATUSES.len() + at / 100) as u8;
        at += 1;
    }
    let mut known = 0;
    while known < STATUSES.len() {
        labels[STATUSES[known] as usize - 100] = known as u8;
        known += 1;
    }
    labels
}

/// The index of a status's label.
fn label_of(status: u16) -> usize {
    let index = usize::from(status).wrapping_sub(100);
    // No response has another status.
    let label = LABELS.get(index).copied().unwrap_or(LABELS[499]);
    usize::from(label)
}

/// A status's label, by index.
pub(crate) fn status_label(index: usize) -> String {
    match STATUSES.get(index) {
        Some(status) => status.to_string(),
        None => CLASSES[(index - STATUSES.len()).min(4)].to_owned(),
    }
}

/// The class of a label, from 1 to 5, or none if no response was sent.
fn class(index: usize) -> Option<usize> {
    match STATUSES.get(index) {
        Some(&CLIENT_LEFT) => None,
        Some(status) => Some(usize::from(*status / 100)),
        None => Some(index - STATUSES.len() + 1),
    }
}

/// The requests of one route and method.
#[derive(Debug)]
struct Series {
    /// By label.
    statuses: [AtomicU64; STATUS_LABELS],
    durations: Histogram,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            statuses: [const { AtomicU64::new(0) }; STATUS_LABELS],
            durations: Histogram::default(),
        }
    }
}

/// Counters of one core. Only that core writes them, so there is no contention.
#[derive(Debug)]
pub struct Counters {
    pub(super) routes: Routes,
    pub(super) access_log: AccessLog,
    pub(super) ids: RequestIds,
    /// By route and method. Made for the first request of each.
    requests: Box<[OnceLock<Box<Series>>]>,
    in_flight: AtomicU64,
    waiting: AtomicU64,
    traps: AtomicU64,
    deadlines: AtomicU64,
    busy: AtomicU64,
    instances: AtomicU64,
    connections: AtomicU64,
    closed_connections: AtomicU64,
    failed_handshakes: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self::new(&Routes::default(), AccessLog::Off)
    }
}

impl Counters {
    /// The routes that the component declares.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Counters of requests to a component with these routes, some of which are logged.
    pub fn new(routes: &Routes, access_log: AccessLog) -> Self {
        let series = routes.all().count() * METHOD_NAMES;
        Self {
            routes: routes.clone(),
            access_log,
            ids: RequestIds::default(),
            requests: (0..series).map(|_| OnceLock::new()).collect(),
            in_flight: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            deadlines: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            instances: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            closed_connections: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
        }
    }

    /// Counts a request that is over.
    pub(super) fn requested(
        &self,
        method: MethodName,
        route: RouteIndex,
        status: u16,
        micros: u64,
    ) {
        let index = route.index() * METHOD_NAMES + method.index();
        let Some(series) = self.requests.get(index) else {
            return;
        };
        let series = series.get_or_init(Box::default);
        if let Some(counter) = series.statuses.get(label_of(status)) {
            counter.fetch_add(1, Relaxed);
        }
        series.durations.observe(micros);
    }

    /// How many requests are in flight.
    pub(crate) fn set_in_flight(&self, requests: usize) {
        self.in_flight.store(requests as u64, Relaxed);
    }

    /// Counts a waiting request until the result is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Relaxed);
        Waiting(self)
    }

    pub(crate) fn failed(&self, kind: FailedCall) {
        let counter = match kind {
            FailedCall::Busy => &self.busy,
            FailedCall::Deadline => &self.deadlines,
            FailedCall::Trap => &self.traps,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn instantiated(&self) {
        self.instances.fetch_add(1, Relaxed);
    }

    pub(crate) fn handshake_failed(&self) {
        self.failed_handshakes.fetch_add(1, Relaxed);
    }

    /// Counts a connection, which is open until the result is dropped.
    pub(crate) fn connected(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Relaxed);
        Connected(Arc::clone(self))
    }
}

/// An open client connection.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Counters>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.closed_connections.fetch_add(1, Relaxed);
    }
}

/// A request that waits for a permit.
#[derive(Debug)]
pub(crate) struct Waiting<'c>(&'c Counters);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// The sums of several cores' counters.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Responses by the first digit of their status, from 1 to 5.
    pub(crate) responses: [u64; 5],
    /// The requests of each route and method that had any.
    pub(crate) requests: Vec<Requests>,
    pub(crate) in_flight: u64,
    pub(crate) waiting: u64,
    pub(crate) traps: u64,
    pub(crate) deadlines: u64,
    pub(crate) busy: u64,
    pub(crate) instances: u64,
    pub(crate) connections: u64,
    pub(crate) open_connections: u64,
    pub(crate) failed_handshakes: u64,
}

/// The requests of one route and method.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) route: String,
    pub(crate) method: &'static str,
    /// By label of the status.
    pub(crate) statuses: [u64; STATUS_LABELS],
    pub(crate) durations: Durations,
}

impl Counts {
    /// The sums over the counters of all cores.
    pub(crate) fn of(cores: &[Arc<Counters>]) -> Self {
        let mut sums = Self::default();
        for core in cores {
            sums.in_flight += core.in_flight.load(Relaxed);
            sums.waiting += core.waiting.load(Relaxed);
            sums.traps += core.traps.load(Relaxed);
            sums.deadlines += core.deadlines.load(Relaxed);
            sums.busy += core.busy.load(Relaxed);
            sums.instances += core.instances.load(Relaxed);
            sums.failed_handshakes += core.failed_handshakes.load(Relaxed);
            // Read first, so that a connection that is opened and closed meanwhile never makes the
            // difference negative.
            let closed = core.closed_connections.load(Relaxed);
            let connections = core.connections.load(Relaxed);
            sums.connections += connections;
            sums.open_connections += connections.saturating_sub(closed);
        }
        // By name: a component that took the place of another one may have other routes.
        let mut found: HashMap<(&str, &str), Requests> = HashMap::new();
        for core in cores {
            for route in core.routes.all() {
                for method in MethodName::all() {
                    let index = route.index() * METHOD_NAMES + method.index();
                    let Some(series) = core.requests.get(index).and_then(OnceLock::get) else {
                        continue;
                    };
                    let (route, method) = (core.routes.name(route), method.as_str());
                    let requests = found.entry((route, method)).or_insert_with(|| Requests {
                        route: route.to_owned(),
                        method,
                        statuses: [0; STATUS_LABELS],
                        durations: Durations::default(),
                    });
                    for (sum, status) in requests.statuses.iter_mut().zip(&series.statuses) {
                        *sum += status.load(Relaxed);
                    }
                    requests.durations.add(&series.durations);
                }
            }
        }
        for requests in found.values() {
            sums.add_responses(&requests.statuses);
        }
        sums.requests.extend(found.into_values());
        sums.requests.sort_unstable_by(|one, other| {
            (&one.route, one.method).cmp(&(&other.route, other.method))
        });
        sums
    }

    fn add_responses(&mut self, statuses: &[u64; STATUS_LABELS]) {
        for (label, count) in statuses.iter().enumerate() {
            if let Some(sum) = class(label).and_then(|class| self.responses.get_mut(class - 1)) {
                *sum += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let mut routes = Routes::default();
        routes.add_section(b"GET /users/{id}\n").expect("a route");
        let core = Arc::new(Counters::new(&routes, AccessLog::Off));
        let count = |method: &http::Method, path: &str, status| {
            let route = core.routes.find(path);
            core.requested(MethodName::of(method), route, status, 1000);
        };
        for status in [200, 200, 499, 299, 599] {
            count(&http::Method::GET, "/users/1", status);
        }
        count(&http::Method::POST, "/x", 404);
        let counts = Counts::of(&[Arc::clone(&core), core]);
        assert_eq!(counts.responses, [0, 6, 0, 2, 2]);
        let found: Vec<_> = counts
            .requests
            .iter()
            .flat_map(|one| {
                let statuses = one.statuses.iter().enumerate();
                let counted = statuses.filter(|(_, count)| **count > 0);
                counted.map(|(label, count)| {
                    let label = status_label(label);
                    format!("{} {} {label} {count}", one.method, one.route)
                })
            })
            .collect();
        assert_eq!(
            found,
            [
                "POST (none) 404 2",
                "GET /users/{id} 200 4",
                "GET /users/{id} 499 2",
                "GET /users/{id} 2xx 2",
                "GET /users/{id} 5xx 2",
            ]
        );
        assert_eq!(
            counts
                .requests
                .iter()
                .map(|one| one.durations.count())
                .sum::<u64>(),
            12
        );
    }
}
