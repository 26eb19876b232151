//! Finding a server: every address of every host, in libpq's order, and no silent one in the way of
//! the others.
//!
//! libpq tries one address after the other and gives each `connect_timeout`, so that a service
//! whose first host says nothing is away for as long. Here the next address is tried beside one
//! that takes its time ([`STAGGER`]), as RFC 8305 has it for TCP alone; but here an attempt is the
//! whole of a session's beginning. Order still counts: an earlier server is waited for as long as
//! [`HEAD_START`] before a later one that is ready is taken. Who lost like that is tried last from
//! then on, until it [answers](super::silence) again. Nobody is given up before its
//! `connect_timeout`.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::cause::{Cause, Unreachable};
use super::endpoint::{Address, Endpoint, Means, Session};
use super::messages::Naming;
use crate::database::libpq::{Host, Place};

/// How long an address is tried alone.
const STAGGER: Duration = Duration::from_millis(250);

/// How long a server is waited for while a later one is ready.
pub(super) const HEAD_START: Duration = Duration::from_secs(1);

/// The servers, and how sessions are made there.
pub(super) struct Dialer {
    pub(super) hosts: Vec<Host>,
    /// Whether their order is random.
    pub(super) shuffle: bool,
    pub(super) means: Means,
    /// For one attempt, and for the look-up of one name.
    pub(super) limit: Duration,
    silent: Mutex<HashMap<Address, Arc<Endpoint>>>,
    has_choice: AtomicBool,
}

/// A session, and where it is.
pub(super) struct Dialled {
    pub(super) session: Session,
    pub(super) endpoint: Arc<Endpoint>,
}

/// An address to try, or a name whose addresses are not known yet.
struct Candidate {
    /// Its place in the order: those that are not silent, by host, by address.
    rank: (bool, usize, usize),
    state: State,
}

enum State {
    LookedUp,
    Waits(Arc<Endpoint>),
    Tried(Arc<Endpoint>),
    Ready(Box<Dialled>),
    Failed,
    /// The server says no, and none after it is asked.
    Final,
}

impl Dialer {
    pub(super) fn new(hosts: Vec<Host>, shuffle: bool, means: Means, limit: Duration) -> Self {
        let several = hosts.len() > 1;
        Self {
            hosts,
            shuffle,
            means,
            limit,
            silent: Mutex::default(),
            has_choice: AtomicBool::new(several),
        }
    }

    /// The servers that were found silent.
    pub(super) fn silent(&self) -> MutexGuard<'_, HashMap<Address, Arc<Endpoint>>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a server tried after all others, until it answers.
    pub(super) fn found_silent(&self, endpoint: &Arc<Endpoint>) {
        self.silent()
            .insert(endpoint.address.clone(), Arc::clone(endpoint));
    }

    /// Whether there is more than one address, as far as that is known.
    pub(super) fn has_choice(&self) -> bool {
        self.has_choice.load(Relaxed)
    }

    /// Makes a session on the first server that is as it should be.
    pub(super) async fn dial(
        self: &Arc<Self>,
        session: &Arc<tokio_postgres::Config>,
        naming: Naming,
    ) -> Result<Dialled, Unreachable> {
        Race::begin(self, session, naming).run().await
    }
}

/// A host's place in the URL and in the order, and where its name leads.
type Lookup = (usize, usize, Result<Vec<SocketAddr>, Cause>);

/// The attempts of one dialling. What is still under way when it is over is given up.
struct Race {
    dialer: Arc<Dialer>,
    session: Arc<tokio_postgres::Config>,
    naming: Naming,
    candidates: Vec<Candidate>,
    failures: Vec<(String, Cause)>,
    lookups: JoinSet<Lookup>,
    attempts: JoinSet<(Arc<Endpoint>, Result<Session, Cause>)>,
    began: Instant,
    next: Instant,
}

impl Race {
    fn begin(dialer: &Arc<Dialer>, session: &Arc<tokio_postgres::Config>, naming: Naming) -> Self {
        let began = Instant::now();
        let mut race = Self {
            dialer: Arc::clone(dialer),
            session: Arc::clone(session),
            naming,
            candidates: Vec::new(),
            failures: Vec::new(),
            lookups: JoinSet::new(),
            attempts: JoinSet::new(),
            began,
            next: began + STAGGER,
        };
        let mut order: Vec<usize> = (0..dialer.hosts.len()).collect();
        if dialer.shuffle {
            shuffle(&mut order);
        }
        for (position, index) in order.into_iter().enumerate() {
            let Some(host) = dialer.hosts.get(index) else {
                continue;
            };
            let address = match &host.place {
                Place::Socket(directory) => Address::socket(directory, host.port),
                Place::Address(address) => Address::Tcp(SocketAddr::new(*address, host.port)),
                Place::Name(name) => {
                    race.candidates.push(Candidate {
                        rank: (false, position, 0),
                        state: State::LookedUp,
                    });
                    let (name, port, limit) = (name.clone(), host.port, dialer.limit);
                    race.lookups.spawn(async move {
                        let lookup = tokio::net::lookup_host((name.as_str(), port));
                        let found = match timeout(limit, lookup).await {
                            Ok(Ok(found)) => Ok(found.collect()),
                            Ok(Err(error)) => Err(Cause::Lookup(error)),
                            Err(_) => Err(Cause::Late(limit)),
                        };
                        (index, position, found)
                    });
                    continue;
                }
            };
            race.add(index, position, 0, address);
        }
        race
    }

    async fn run(mut self) -> Result<Dialled, Unreachable> {
        loop {
            self.start_due();
            if let Some(ended) = self.decide() {
                return ended;
            }
            let head_start = self.began + HEAD_START;
            let someone_waits = self.next_waiting().is_some();
            tokio::select! {
                Some(Ok((index, position, found))) = self.lookups.join_next() => {
                    self.looked_up(index, position, found);
                }
                Some(Ok((endpoint, ended))) = self.attempts.join_next() => {
                    self.attempted(endpoint, ended);
                }
                () = sleep_until(self.next), if someone_waits => {}
                () = sleep_until(head_start), if self.is_early() => {}
                // Both sets are empty: everything has ended, and has been decided above.
                else => return Err(Unreachable::nowhere(self.failures)),
            }
        }
    }

    fn is_early(&self) -> bool {
        self.began.elapsed() < HEAD_START
    }

    fn next_waiting(&self) -> Option<usize> {
        self.candidates
            .iter()
            .position(|candidate| matches!(candidate.state, State::Waits(_)))
    }

    /// Starts the next attempt, if nobody is tried or those who are take their time.
    fn start_due(&mut self) {
        let now = Instant::now();
        if !self.attempts.is_empty() && now < self.next {
            return;
        }
        let is_looked_up = |candidate: &Candidate| matches!(candidate.state, State::LookedUp);
        let Some(index) = self.next_waiting() else {
            return;
        };
        // A name's addresses come before those of the hosts behind it, but not for as long as one
        // likes.
        if now < self.next && self.candidates.iter().take(index).any(is_looked_up) {
            return;
        }
        let Some(candidate) = self.candidates.get_mut(index) else {
            return;
        };
        let State::Waits(endpoint) = &candidate.state else {
            return;
        };
        let endpoint = Arc::clone(endpoint);
        candidate.state = State::Tried(Arc::clone(&endpoint));
        let count = u32::try_from(self.candidates.len()).unwrap_or(u32::MAX);
        self.next = now + STAGGER.min(HEAD_START / count.max(1));
        let (dialer, session) = (Arc::clone(&self.dialer), Arc::clone(&self.session));
        let naming = self.naming;
        self.attempts.spawn(async move {
            let attempt = endpoint.attempt(&dialer.means, &session, naming);
            let ended = match timeout(dialer.limit, attempt).await {
                Ok(ended) => ended,
                Err(_) => Err(Cause::Late(dialer.limit)),
            };
            (endpoint, ended)
        });
    }

    fn looked_up(&mut self, index: usize, position: usize, found: Result<Vec<SocketAddr>, Cause>) {
        self.candidates.retain(|candidate| {
            !(candidate.rank.1 == position && matches!(candidate.state, State::LookedUp))
        });
        match found {
            Err(cause) => {
                let host = self.dialer.hosts.get(index);
                let name = host.map(|host| host.name.clone()).unwrap_or_default();
                self.failures.push((name, cause));
            }
            Ok(mut addresses) => {
                // A name may lead to one address by several ways.
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
            self.dialer.has_choice.store(true, Relaxed);
        }
    }

    fn attempted(&mut self, endpoint: Arc<Endpoint>, ended: Result<Session, Cause>) {
        let tried = self.candidates.iter_mut().find(|candidate| {
            matches!(&candidate.state, State::Tried(tried) if Arc::ptr_eq(tried, &endpoint))
        });
        let state = match ended {
            Ok(session) => {
                self.dialer.silent().remove(&endpoint.address);
                if !session.is_preferred {
                    // There may be a better one.
                    self.next = Instant::now();
                }
                State::Ready(Box::new(Dialled { session, endpoint }))
            }
            Err(cause) => {
                self.next = Instant::now();
                if cause.is_silence() {
                    self.dialer.found_silent(&endpoint);
                }
                let state = if cause.is_final() {
                    State::Final
                } else {
                    State::Failed
                };
                self.failures.push((endpoint.address.to_string(), cause));
                state
            }
        };
        if let Some(tried) = tried {
            tried.state = state;
        }
    }

    /// The outcome, as soon as nothing that may still come could change it, or has had its time.
    fn decide(&mut self) -> Option<Result<Dialled, Unreachable>> {
        let is_early = self.is_early();
        let (mut open, mut second_choice) = (false, None);
        let mut winner = None;
        for (index, candidate) in self.candidates.iter().enumerate() {
            match &candidate.state {
                State::Failed => {}
                State::Final if open => {}
                State::Final => {
                    let failures = std::mem::take(&mut self.failures);
                    return Some(Err(Unreachable::nowhere(failures)));
                }
                State::Ready(dialled) if dialled.session.is_preferred => {
                    winner = Some(index);
                    break;
                }
                State::Ready(_) => {
                    second_choice.get_or_insert(index);
                }
                // Whoever is ready behind this one waits for it.
                State::LookedUp | State::Waits(_) | State::Tried(_) if is_early => return None,
                State::LookedUp | State::Waits(_) | State::Tried(_) => open = true,
            }
        }
        if winner.is_none() && second_choice.is_none() {
            return (!open).then(|| Err(Unreachable::nowhere(std::mem::take(&mut self.failures))));
        }
        let index = winner.or(second_choice)?;
        let rank = self.candidates.get(index)?.rank;
        for candidate in self.candidates.iter().filter(|other| other.rank < rank) {
            // It has had its time.
            if let State::Tried(endpoint) = &candidate.state {
                self.dialer.found_silent(endpoint);
            }
        }
        match self.candidates.swap_remove(index).state {
            State::Ready(dialled) => Some(Ok(*dialled)),
            _ => None,
        }
    }

    fn add(&mut self, index: usize, position: usize, number: usize, address: Address) {
        let Some(host) = self.dialer.hosts.get(index) else {
            return;
        };
        let is_silent = self.dialer.silent().contains_key(&address);
        let endpoint = Arc::new(Endpoint {
            address,
            name: host.name.clone(),
            password: host.password.clone(),
        });
        self.candidates.push(Candidate {
            rank: (is_silent, position, number),
            state: State::Waits(endpoint),
        });
        self.candidates.sort_by_key(|candidate| candidate.rank);
    }
}

/// Puts a list into a random order. Nobody needs it to be more than that, so the randomness is that
/// of a hash map.
fn shuffle<T>(list: &mut [T]) {
    let random = RandomState::new();
    for end in (1..list.len()).rev() {
        let pick = random.hash_one(end) % (end as u64 + 1);
        list.swap(end, usize::try_from(pick).unwrap_or_default());
    }
}
