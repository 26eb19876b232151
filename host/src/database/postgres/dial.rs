//! Finds a server among every address of every host, in libpq's order.
//!
//! An unresponsive address does not delay the others. libpq tries one address after the other for
//! `connect_timeout` each. Here, as RFC 8305 does for TCP alone, the next attempt starts after
//! [`STAGGER`] beside the pending one; an attempt is the complete start of a session. The order
//! still counts: a later server that is ready waits [`HEAD_START`] for the earlier ones. A server
//! that loses its place is tried last until it [responds](super::unresponsive) again. No attempt is
//! abandoned before its `connect_timeout`; if all fail, each error is reported.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::connect_error::{AttemptError, ConnectError};
use super::endpoint::{Address, ConnectOptions, Endpoint, StartedSession};
use super::messages::Naming;
use crate::database::libpq::{Host, HostLocation};

/// How long an attempt runs alone before the next one starts.
const STAGGER: Duration = Duration::from_millis(250);

/// How long a server that is ready waits for earlier ones.
pub(super) const HEAD_START: Duration = Duration::from_secs(1);

/// The servers, and how sessions are started there.
pub(super) struct Dialer {
    pub(super) hosts: Vec<Host>,
    /// Whether their order is random.
    pub(super) shuffle: bool,
    pub(super) options: ConnectOptions,
    /// How long one attempt, or the lookup of one name, may take.
    pub(super) limit: Duration,
    unresponsive: Mutex<HashMap<Address, Arc<Endpoint>>>,
    has_several_addresses: AtomicBool,
}

/// A session that was started, and its server.
pub(super) struct Dialled {
    pub(super) session: StartedSession,
    pub(super) endpoint: Arc<Endpoint>,
}

/// An address to try, or a name that is being looked up.
struct Candidate {
    /// The order: whether it is unresponsive, then its host, then its address.
    rank: (bool, usize, usize),
    state: CandidateState,
}

enum CandidateState {
    LookingUp,
    Waiting(Arc<Endpoint>),
    Trying(Arc<Endpoint>),
    Ready(Box<Dialled>),
    Failed,
    /// The server has refused, so no later server is tried.
    Refused,
}

impl Dialer {
    pub(super) fn new(
        hosts: Vec<Host>,
        shuffle: bool,
        options: ConnectOptions,
        limit: Duration,
    ) -> Self {
        let has_several_addresses = hosts.len() > 1;
        Self {
            hosts,
            shuffle,
            options,
            limit,
            unresponsive: Mutex::default(),
            has_several_addresses: AtomicBool::new(has_several_addresses),
        }
    }

    /// The servers that did not respond.
    pub(super) fn unresponsive(&self) -> MutexGuard<'_, HashMap<Address, Arc<Endpoint>>> {
        self.unresponsive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a server tried after all others until it responds.
    pub(super) fn record_unresponsive(&self, endpoint: &Arc<Endpoint>) {
        self.unresponsive()
            .insert(endpoint.address.clone(), Arc::clone(endpoint));
    }

    /// Whether more than one address is known.
    pub(super) fn has_several_addresses(&self) -> bool {
        self.has_several_addresses.load(Relaxed)
    }

    /// Starts a session on the first server that is of the right kind.
    pub(super) async fn dial(
        self: &Arc<Self>,
        config: &Arc<tokio_postgres::Config>,
        naming: Naming,
    ) -> Result<Dialled, ConnectError> {
        Race::start(self, config, naming).run().await
    }
}

/// A host's index in the URL, its position in the order, and its addresses.
type Lookup = (usize, usize, Result<Vec<SocketAddr>, AttemptError>);

/// The attempts of one dial. Those that are pending when it ends are aborted.
struct Race {
    dialer: Arc<Dialer>,
    config: Arc<tokio_postgres::Config>,
    naming: Naming,
    candidates: Vec<Candidate>,
    errors: Vec<(String, AttemptError)>,
    lookups: JoinSet<Lookup>,
    attempts: JoinSet<(Arc<Endpoint>, Result<StartedSession, AttemptError>)>,
    started_at: Instant,
    next_attempt_at: Instant,
}

impl Race {
    fn start(dialer: &Arc<Dialer>, config: &Arc<tokio_postgres::Config>, naming: Naming) -> Self {
        let started_at = Instant::now();
        let mut race = Self {
            dialer: Arc::clone(dialer),
            config: Arc::clone(config),
            naming,
            candidates: Vec::new(),
            errors: Vec::new(),
            lookups: JoinSet::new(),
            attempts: JoinSet::new(),
            started_at,
            next_attempt_at: started_at + STAGGER,
        };
        let mut order: Vec<usize> = (0..dialer.hosts.len()).collect();
        if dialer.shuffle {
            shuffle(&mut order);
        }
        for (position, index) in order.into_iter().enumerate() {
            let Some(host) = dialer.hosts.get(index) else {
                continue;
            };
            let address = match &host.location {
                HostLocation::Socket(directory) => Address::socket(directory, host.port),
                HostLocation::Address(address) => {
                    Address::Tcp(SocketAddr::new(*address, host.port))
                }
                HostLocation::Name(name) => {
                    race.candidates.push(Candidate {
                        rank: (false, position, 0),
                        state: CandidateState::LookingUp,
                    });
                    let (name, port, limit) = (name.clone(), host.port, dialer.limit);
                    race.lookups.spawn(async move {
                        let lookup = tokio::net::lookup_host((name.as_str(), port));
                        let addresses = match timeout(limit, lookup).await {
                            Ok(Ok(addresses)) => Ok(addresses.collect()),
                            Ok(Err(error)) => Err(AttemptError::Lookup(error)),
                            Err(_) => Err(AttemptError::Timeout(limit)),
                        };
                        (index, position, addresses)
                    });
                    continue;
                }
            };
            race.add(index, position, 0, address);
        }
        race
    }

    async fn run(mut self) -> Result<Dialled, ConnectError> {
        loop {
            self.start_next_attempt();
            if let Some(result) = self.decide() {
                return result;
            }
            let head_start = self.started_at + HEAD_START;
            let has_waiting = self.next_waiting().is_some();
            tokio::select! {
                Some(Ok((index, position, addresses))) = self.lookups.join_next() => {
                    self.record_lookup(index, position, addresses);
                }
                Some(Ok((endpoint, result))) = self.attempts.join_next() => {
                    self.record_attempt(endpoint, result);
                }
                () = sleep_until(self.next_attempt_at), if has_waiting => {}
                () = sleep_until(head_start), if self.is_in_head_start() => {}
                // No lookup and no attempt is pending, and `decide` found no server.
                else => return Err(ConnectError::all_failed(self.errors)),
            }
        }
    }

    fn is_in_head_start(&self) -> bool {
        self.started_at.elapsed() < HEAD_START
    }

    fn next_waiting(&self) -> Option<usize> {
        self.candidates
            .iter()
            .position(|candidate| matches!(candidate.state, CandidateState::Waiting(_)))
    }

    /// Starts the next attempt if none is pending, or if [`STAGGER`] has passed.
    fn start_next_attempt(&mut self) {
        let now = Instant::now();
        if !self.attempts.is_empty() && now < self.next_attempt_at {
            return;
        }
        let is_looking_up =
            |candidate: &Candidate| matches!(candidate.state, CandidateState::LookingUp);
        let Some(index) = self.next_waiting() else {
            return;
        };
        // Later hosts wait for a name's addresses, but only until the next attempt is due.
        if now < self.next_attempt_at && self.candidates.iter().take(index).any(is_looking_up) {
            return;
        }
        let Some(candidate) = self.candidates.get_mut(index) else {
            return;
        };
        let CandidateState::Waiting(endpoint) = &candidate.state else {
            return;
        };
        let endpoint = Arc::clone(endpoint);
        candidate.state = CandidateState::Trying(Arc::clone(&endpoint));
        let count = u32::try_from(self.candidates.len()).unwrap_or(u32::MAX);
        self.next_attempt_at = now + STAGGER.min(HEAD_START / count.max(1));
        let (dialer, config) = (Arc::clone(&self.dialer), Arc::clone(&self.config));
        let naming = self.naming;
        self.attempts.spawn(async move {
            let attempt = endpoint.attempt(&dialer.options, &config, naming);
            let result = match timeout(dialer.limit, attempt).await {
                Ok(result) => result,
                Err(_) => Err(AttemptError::Timeout(dialer.limit)),
            };
            (endpoint, result)
        });
    }

    fn record_lookup(
        &mut self,
        index: usize,
        position: usize,
        addresses: Result<Vec<SocketAddr>, AttemptError>,
    ) {
        self.candidates.retain(|candidate| {
            !(candidate.rank.1 == position && matches!(candidate.state, CandidateState::LookingUp))
        });
        match addresses {
            Err(error) => {
                let host = self.dialer.hosts.get(index);
                let name = host.map(|host| host.name.clone()).unwrap_or_default();
                self.errors.push((name, error));
            }
            Ok(mut addresses) => {
                // A lookup may return an address more than once.
                let mut seen = HashSet::new();
                addresses.retain(|address| seen.insert(*address));
                if self.dialer.shuffle {
                    shuffle(&mut addresses);
                }
                for (number, address) in addresses.into_iter().enumerate() {
                    self.add(index, position, number, Address::Tcp(address));
                }
            }
        }
        if self.candidates.len() > 1 {
            self.dialer.has_several_addresses.store(true, Relaxed);
        }
    }

    fn record_attempt(
        &mut self,
        endpoint: Arc<Endpoint>,
        result: Result<StartedSession, AttemptError>,
    ) {
        let candidate = self.candidates.iter_mut().find(|candidate| {
            matches!(
                &candidate.state,
                CandidateState::Trying(tried) if Arc::ptr_eq(tried, &endpoint)
            )
        });
        let state = match result {
            Ok(session) => {
                self.dialer.unresponsive().remove(&endpoint.address);
                if !session.is_preferred {
                    // A later server may be of the preferred kind.
                    self.next_attempt_at = Instant::now();
                }
                CandidateState::Ready(Box::new(Dialled { session, endpoint }))
            }
            Err(error) => {
                self.next_attempt_at = Instant::now();
                if error.is_unresponsive() {
                    self.dialer.record_unresponsive(&endpoint);
                }
                let state = if error.is_final() {
                    CandidateState::Refused
                } else {
                    CandidateState::Failed
                };
                self.errors.push((endpoint.address.to_string(), error));
                state
            }
        };
        if let Some(candidate) = candidate {
            candidate.state = state;
        }
    }

    /// The result, once no pending attempt can change it or the head start has passed.
    fn decide(&mut self) -> Option<Result<Dialled, ConnectError>> {
        let is_in_head_start = self.is_in_head_start();
        let (mut is_pending, mut second_choice) = (false, None);
        let mut winner = None;
        for (index, candidate) in self.candidates.iter().enumerate() {
            match &candidate.state {
                CandidateState::Failed => {}
                CandidateState::Refused if is_pending => {}
                CandidateState::Refused => {
                    let errors = std::mem::take(&mut self.errors);
                    return Some(Err(ConnectError::all_failed(errors)));
                }
                CandidateState::Ready(dialled) if dialled.session.is_preferred => {
                    winner = Some(index);
                    break;
                }
                CandidateState::Ready(_) => {
                    second_choice.get_or_insert(index);
                }
                // Later candidates wait for this one.
                CandidateState::LookingUp
                | CandidateState::Waiting(_)
                | CandidateState::Trying(_)
                    if is_in_head_start =>
                {
                    return None;
                }
                CandidateState::LookingUp
                | CandidateState::Waiting(_)
                | CandidateState::Trying(_) => is_pending = true,
            }
        }
        if winner.is_none() && second_choice.is_none() {
            if is_pending {
                return None;
            }
            let errors = std::mem::take(&mut self.errors);
            return Some(Err(ConnectError::all_failed(errors)));
        }
        let index = winner.or(second_choice)?;
        let rank = self.candidates.get(index)?.rank;
        for candidate in self.candidates.iter().filter(|other| other.rank < rank) {
            // Its head start has passed.
            if let CandidateState::Trying(endpoint) = &candidate.state {
                self.dialer.record_unresponsive(endpoint);
            }
        }
        match self.candidates.swap_remove(index).state {
            CandidateState::Ready(dialled) => Some(Ok(*dialled)),
            _ => None,
        }
    }

    fn add(&mut self, index: usize, position: usize, number: usize, address: Address) {
        let Some(host) = self.dialer.hosts.get(index) else {
            return;
        };
        let is_unresponsive = self.dialer.unresponsive().contains_key(&address);
        let endpoint = Arc::new(Endpoint {
            address,
            name: host.name.clone(),
            password: host.password.clone(),
        });
        self.candidates.push(Candidate {
            rank: (is_unresponsive, position, number),
            state: CandidateState::Waiting(endpoint),
        });
        self.candidates.sort_by_key(|candidate| candidate.rank);
    }
}

/// Puts a list into a random order. The keys of a hash map are random enough for that.
fn shuffle<T>(list: &mut [T]) {
    let random = RandomState::new();
    for end in (1..list.len()).rev() {
        let pick = random.hash_one(end) % (end as u64 + 1);
        list.swap(end, usize::try_from(pick).unwrap_or_default());
    }
}
