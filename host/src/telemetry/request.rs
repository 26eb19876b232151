//! What is known of one request: its names, its time, its statements, and how it ended.
//!
//! The total time of a request is from the arrival of its head to the last byte of its response
//! that went to the connection. Its parts are disjoint:
//!
//! - *database*: calls of the component on `usher:database`, waits for a connection included;
//! - *guest*: the component runs, which is the time in polls of it that is no database time;
//! - *host*: the rest, with waits for a permit, for the rest of the request, and for a client that
//!   reads slowly.
//!
//! The parts are measured only if the access log needs them, because reading the clock is among the
//! dearest steps of a short request.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::access_log::{AccessLog, Entry};
use super::counters::{CLIENT_LEFT, Counters};
use super::histogram::micros;
use super::request_id::{self, TRACEPARENT, X_REQUEST_ID};
use super::routes::{MethodName, RouteIndex};

/// Who is to blame for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Its request was refused, or it left before the response was complete.
    Client,
    /// It failed, or took too long.
    Component,
    /// It was unavailable, overloaded or too slow.
    Database,
    /// It had no room for the request, or failed.
    Host,
}

impl Blame {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Component => "component",
            Self::Database => "database",
            Self::Host => "host",
        }
    }
}

/// The values of `blame`: none yet, or one of [`Blame`].
const NONE: u8 = 0;
const ALL: [Blame; 4] = [
    Blame::Client,
    Blame::Component,
    Blame::Database,
    Blame::Host,
];

/// One request, from its arrival until its response is complete.
#[derive(Debug)]
pub struct RequestInfo {
    counters: Arc<Counters>,
    id: HeaderValue,
    traceparent: Option<HeaderValue>,
    method: MethodName,
    route: RouteIndex,
    /// Whether the parts of its time are measured.
    is_timed: bool,
    arrival: Instant,
    status: AtomicU16,
    blame: AtomicU8,
    is_cut_short: AtomicBool,
    bytes: AtomicU64,
    statements: AtomicU32,
    retries: AtomicU32,
    database: AtomicU64,
    guest: AtomicU64,
    /// Since when the guest runs, in nanoseconds after the arrival.
    guest_since: AtomicU64,
    /// Whether the guest waits for the database.
    is_in_database: AtomicBool,
}

/// The header fields by which a trusted client names its request. A field that is invalid, or is
/// there twice, is ignored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GivenNames<'h> {
    id: Field<'h>,
    traceparent: Field<'h>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Field<'h> {
    #[default]
    Absent,
    Once(&'h HeaderValue),
    Ambiguous,
}

impl<'h> Field<'h> {
    fn add(&mut self, value: &'h HeaderValue) {
        *self = match self {
            Self::Absent => Self::Once(value),
            _ => Self::Ambiguous,
        };
    }

    fn if_valid(self, is_valid: impl FnOnce(&HeaderValue) -> bool) -> Option<HeaderValue> {
        match self {
            Self::Once(value) if is_valid(value) => Some(value.clone()),
            _ => None,
        }
    }
}

impl<'h> GivenNames<'h> {
    /// Notes a field of the request, if it is one of these.
    pub(crate) fn add(&mut self, name: &HeaderName, value: &'h HeaderValue) {
        // The lengths exclude nearly all others.
        match name.as_str() {
            name if name.len() == 12 && name == X_REQUEST_ID.as_str() => self.id.add(value),
            name if name.len() == 11 && name == TRACEPARENT.as_str() => {
                self.traceparent.add(value);
            }
            _ => {}
        }
    }
}

/// Removes the fields that only a trusted client may set.
pub(crate) fn strip(headers: &mut HeaderMap) {
    headers.remove(X_REQUEST_ID);
    headers.remove(TRACEPARENT);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What names a request in a line of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogNames<'r> {
    pub(crate) id: Option<&'r str>,
    pub(crate) trace: Option<&'r str>,
    pub(crate) method: Option<&'static str>,
    pub(crate) route: Option<&'r str>,
}

impl RequestInfo {
    /// A request that arrived now.
    pub(crate) fn arrived(
        counters: &Arc<Counters>,
        method: &Method,
        path: &str,
        given: GivenNames<'_>,
    ) -> CountedRequest {
        let route = counters.routes.find(path);
        Self::begin(counters, MethodName::of(method), route, given)
    }

    /// A request that cannot be read.
    pub(crate) fn unreadable(counters: &Arc<Counters>) -> CountedRequest {
        let route = RouteIndex::default();
        Self::begin(counters, MethodName::OTHER, route, GivenNames::default())
    }

    fn begin(
        counters: &Arc<Counters>,
        method: MethodName,
        route: RouteIndex,
        given: GivenNames<'_>,
    ) -> CountedRequest {
        let traceparent = |value: &HeaderValue| request_id::trace_id(value).is_some();
        CountedRequest(Arc::new(Self {
            id: given
                .id
                .if_valid(request_id::is_valid)
                .unwrap_or_else(|| counters.ids.next()),
            traceparent: given.traceparent.if_valid(traceparent),
            method,
            route,
            is_timed: counters.access_log != AccessLog::Off,
            arrival: Instant::now(),
            status: AtomicU16::new(CLIENT_LEFT),
            blame: AtomicU8::new(NONE),
            is_cut_short: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            statements: AtomicU32::new(0),
            retries: AtomicU32::new(0),
            database: AtomicU64::new(0),
            guest: AtomicU64::new(0),
            guest_since: AtomicU64::new(0),
            is_in_database: AtomicBool::new(false),
            counters: Arc::clone(counters),
        }))
    }

    /// Its id.
    pub fn id(&self) -> &str {
        request_id::text(&self.id)
    }

    /// The id of its trace, if a trusted client named one.
    pub fn trace(&self) -> Option<&str> {
        self.traceparent.as_ref().and_then(request_id::trace_id)
    }

    /// Its method, or `other` for one that is not standard.
    pub fn method(&self) -> &'static str {
        self.method.as_str()
    }

    /// The route that it matches.
    pub fn route(&self) -> &str {
        self.counters.routes.name(self.route)
    }

    /// What names a request in lines of the log; nothing without one.
    pub(crate) fn log_names(request: Option<&Self>) -> LogNames<'_> {
        LogNames {
            id: request.map(Self::id),
            trace: request.and_then(Self::trace),
            method: request.map(Self::method),
            route: request.map(Self::route),
        }
    }

    /// Whether its response has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.method == MethodName::of(&Method::HEAD)
    }

    /// When it arrived.
    pub(crate) fn arrival(&self) -> Instant {
        self.arrival
    }

    /// Adds its names to its response.
    pub(crate) fn name_response(&self, headers: &mut HeaderMap) {
        headers.insert(X_REQUEST_ID, self.id.clone());
        if let Some(traceparent) = &self.traceparent {
            headers.insert(TRACEPARENT, traceparent.clone());
        }
    }

    /// Its response begins.
    pub(crate) fn responded(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Relaxed);
    }

    /// Blames one for an error, unless another is blamed already.
    #[cold]
    pub(crate) fn blame(&self, blame: Blame) {
        let index = ALL.iter().position(|one| *one == blame).unwrap_or_default();
        let value = u8::try_from(index).unwrap_or_default() + 1;
        // A failed exchange means that another is blamed.
        let _ = self.blame.compare_exchange(NONE, value, Relaxed, Relaxed);
    }

    /// Its response ended before it was complete.
    #[cold]
    pub(crate) fn cut_short(&self, blame: Blame) {
        self.is_cut_short.store(true, Relaxed);
        self.blame(blame);
    }

    /// Whether the component waits for the database.
    pub(crate) fn is_in_database(&self) -> bool {
        self.is_in_database.load(Relaxed)
    }

    /// So many bytes of its response went to the connection.
    pub(crate) fn sent(&self, bytes: usize) {
        if self.is_timed {
            self.bytes.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// A statement was run again by the host.
    pub(crate) fn retried(&self, times: u32) {
        self.retries.fetch_add(times, Relaxed);
    }

    /// The guest is polled.
    pub(crate) fn guest_resumed(&self) {
        if self.is_timed && !self.is_in_database() {
            self.guest_runs(Instant::now());
        }
    }

    /// The poll of the guest ends.
    pub(crate) fn guest_paused(&self) {
        if self.is_timed && !self.is_in_database() {
            self.guest_ran(Instant::now());
        }
    }

    /// The guest calls the database.
    pub(crate) fn database_entered(&self, now: Instant) {
        self.is_in_database.store(true, Relaxed);
        if self.is_timed {
            self.guest_ran(now);
        }
    }

    /// The call on the database that began then is over.
    pub(crate) fn database_left(&self, began: Instant, now: Instant) {
        self.is_in_database.store(false, Relaxed);
        if self.is_timed {
            let took = nanos(now.saturating_duration_since(began));
            self.database.fetch_add(took, Relaxed);
            self.guest_runs(now);
        }
    }

    /// A statement reached the database.
    pub(crate) fn counted_statement(&self) {
        self.statements.fetch_add(1, Relaxed);
    }

    /// Whether the parts of its time are measured.
    pub(crate) fn is_timed(&self) -> bool {
        self.is_timed
    }

    fn since_arrival(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.arrival))
    }

    fn guest_runs(&self, now: Instant) {
        self.guest_since.store(self.since_arrival(now), Relaxed);
    }

    fn guest_ran(&self, now: Instant) {
        let now = self.since_arrival(now);
        let ran = now.saturating_sub(self.guest_since.swap(now, Relaxed));
        self.guest.fetch_add(ran, Relaxed);
    }

    /// Counts the request, and logs it if the access log has it.
    fn ended(&self) {
        let took = self.arrival.elapsed();
        let status = self.status.load(Relaxed);
        let counters = &self.counters;
        counters.requested(self.method, self.route, status, micros(took));
        let is_error = status >= 400 || self.is_cut_short.load(Relaxed);
        if counters.access_log.includes(is_error, took) {
            self.log(status, is_error, took);
        }
    }

    #[cold]
    fn log(&self, status: u16, is_error: bool, took: Duration) {
        let blame = match self.blame.load(Relaxed).checked_sub(1) {
            Some(index) => ALL.get(usize::from(index)).copied(),
            None if status >= 500 => Some(Blame::Component),
            None => Some(Blame::Client),
        };
        let (guest, database) = (self.guest.load(Relaxed), self.database.load(Relaxed));
        let host = nanos(took).saturating_sub(guest).saturating_sub(database);
        let entry = Entry {
            id: self.id(),
            trace: self.trace(),
            method: self.method(),
            route: self.route(),
            status,
            bytes: self.bytes.load(Relaxed),
            host_us: host / 1000,
            guest_us: guest / 1000,
            database_us: database / 1000,
            statements: self.statements.load(Relaxed).into(),
            retries: self.retries.load(Relaxed).into(),
            blame: blame.filter(|_| is_error).map(Blame::name),
            is_cut_short: self.is_cut_short.load(Relaxed),
        };
        entry.write();
    }
}

/// A request that is counted, and logged, when this is dropped.
#[derive(Debug)]
pub struct CountedRequest(Arc<RequestInfo>);

impl CountedRequest {
    /// What is known of the request, for whoever logs a line about it.
    pub(crate) fn info(&self) -> &Arc<RequestInfo> {
        &self.0
    }
}

impl Deref for CountedRequest {
    type Target = RequestInfo;

    fn deref(&self) -> &RequestInfo {
        &self.0
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        self.0.ended();
    }
}
