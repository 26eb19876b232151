//! The keys of the moment, which are replaced while the server runs.
//!
//! A file is read again when it changes. The keys of a URL are fetched every `--jwt-refresh`, and
//! when a token names a key that is not there: issuers begin to use new keys. Tokens can be made
//! up, so they cause at most one request in [`ASK_INTERVAL`]. If there are no new keys, those of
//! before stay, and a line says why.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::fetch::{Endpoint, FETCH_TIMEOUT, FetchError};
use super::key::{KeySet, MAX_SET};
use super::source::Source;
use crate::access::error::AccessError;
use crate::reload::{Files, Watch};

/// Between two requests that unknown keys cause.
const ASK_INTERVAL: Duration = Duration::from_secs(5);

/// Between a request that failed and the next one, unless `--jwt-refresh` is shorter.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// How often the server tries at start to fetch the keys.
const START_INTERVAL: Duration = Duration::from_millis(500);

/// The keys of the moment.
#[derive(Debug)]
pub(super) struct Keys {
    source: Source,
    watched: Files,
    refresh: Duration,
    set: RwLock<Arc<KeySet>>,
    asked: Mutex<Asked>,
    wanted: Notify,
    /// How many requests that were asked for have ended.
    answered: watch::Sender<u64>,
}

/// The requests that unknown keys cause.
#[derive(Debug, Default)]
struct Asked {
    last: Option<Instant>,
    is_running: bool,
}

/// A request for keys that was asked for, until it ends.
#[derive(Debug)]
pub(crate) struct Refresh(watch::Receiver<u64>);

impl Refresh {
    /// Waits for the request to end, with new keys or without.
    pub(crate) async fn ended(mut self) {
        let _late = tokio::time::timeout(FETCH_TIMEOUT, self.0.changed()).await;
    }
}

impl Keys {
    /// Reads or fetches the keys. A server that does not answer is asked again for so long.
    ///
    /// # Errors
    /// One line, if there are none.
    pub(super) async fn load(
        source: Source,
        wait: Duration,
        refresh: Duration,
    ) -> Result<Arc<Self>, AccessError> {
        let file = match &source {
            Source::File(file) => Some(file.clone()),
            Source::Url(_) => None,
        };
        let watched = Files::before_reading(file.into_iter().collect());
        let set = match &source {
            Source::File(_) => read(&source).map_err(AccessError::Settings)?,
            Source::Url(endpoint) => first(endpoint, wait).await?,
        };
        tracing::debug!("{} keys of {source} are valid", set.count());
        Ok(Arc::new(Self {
            source,
            watched,
            refresh,
            set: RwLock::new(Arc::new(set)),
            asked: Mutex::default(),
            wanted: Notify::new(),
            answered: watch::Sender::new(0),
        }))
    }

    /// The keys of the moment.
    pub(super) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for keys, since one is unknown. `None` if there cannot be others now: they come from a
    /// file, or were asked for a moment ago.
    pub(super) fn ask(&self, now: Instant) -> Option<Refresh> {
        if matches!(self.source, Source::File(_)) {
            return None;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let refresh = Refresh(self.answered.subscribe());
        if asked.is_running {
            return Some(refresh);
        }
        let is_recent = |last| now.saturating_duration_since(last) < ASK_INTERVAL;
        if asked.last.is_some_and(is_recent) {
            return None;
        }
        *asked = Asked {
            last: Some(now),
            is_running: true,
        };
        drop(asked);
        self.wanted.notify_one();
        Some(refresh)
    }

    /// Replaces the keys while the server runs, for as long as it is polled.
    ///
    /// # Errors
    /// If the operating system refuses to register a handler.
    pub(super) fn watch(
        self: Arc<Self>,
    ) -> io::Result<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> {
        if matches!(self.source, Source::File(_)) {
            let watch = Watch::new(self.watched.clone())?;
            return Ok(Box::pin(watch.run(move || {
                let read = read(&self.source);
                self.replace(read, true);
            })));
        }
        let mut hangup = signal(SignalKind::hangup())?;
        Ok(Box::pin(async move {
            let mut pause = self.refresh;
            while let Source::Url(endpoint) = &self.source {
                let (is_asked, is_told) = tokio::select! {
                    () = self.wanted.notified() => (true, false),
                    _ = hangup.recv() => (false, true),
                    () = tokio::time::sleep(pause) => (false, false),
                };
                let fetched = fetch(endpoint).await;
                pause = match fetched {
                    Ok(_) => self.refresh,
                    Err(_) => self.refresh.min(RETRY_INTERVAL),
                };
                self.replace(fetched, is_told);
                if is_asked {
                    let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                    asked.is_running = false;
                    self.answered.send_modify(|answered| *answered += 1);
                }
            }
        }))
    }

    /// Takes new keys. A line says so if they differ, or if the operator asked for them.
    fn replace(&self, new: Result<KeySet, String>, is_told: bool) {
        match new {
            Ok(set) => {
                let mut current = self.set.write().unwrap_or_else(PoisonError::into_inner);
                let is_new = **current != set;
                if is_told || is_new {
                    tracing::info!("{} keys of {} are valid now", set.count(), self.source);
                }
                // Tokens that were verified by these keys stay known.
                if is_new {
                    *current = Arc::new(set);
                }
            }
            Err(error) => tracing::error!("{error}; the keys of before stay valid"),
        }
    }
}

/// Reads the file.
fn read(source: &Source) -> Result<KeySet, String> {
    let Source::File(file) = source else {
        return Err(format!("{source} is no file"));
    };
    let mut json = Vec::new();
    let read = File::open(file).and_then(|file| {
        let limit = MAX_SET as u64 + 1;
        file.take(limit).read_to_end(&mut json)
    });
    read.map_err(|error| format!("cannot read --jwt-keys {source}: {error}"))?;
    if json.len() > MAX_SET {
        return Err(format!(
            "--jwt-keys {source} is longer than {MAX_SET} bytes"
        ));
    }
    parse(source, &json)
}

/// Fetches the keys at start, and tries again while their server is not available.
async fn first(endpoint: &Endpoint, wait: Duration) -> Result<KeySet, AccessError> {
    let (deadline, mut is_told) = (Instant::now() + wait, false);
    loop {
        let error = match endpoint.fetch().await {
            Ok(json) => return parse(endpoint, &json).map_err(AccessError::Settings),
            Err(error) => error,
        };
        if !error.is_transient() {
            return Err(AccessError::Settings(unfetched(endpoint, &error)));
        }
        if Instant::now() + START_INTERVAL >= deadline {
            return Err(AccessError::Unavailable(unfetched(endpoint, &error)));
        }
        if !std::mem::replace(&mut is_told, true) {
            let wait = humantime::format_duration(wait);
            let error = unfetched(endpoint, &error);
            tracing::warn!("{error}; trying again for {wait} (--jwt-wait)");
        }
        tokio::time::sleep(START_INTERVAL).await;
    }
}

async fn fetch(endpoint: &Endpoint) -> Result<KeySet, String> {
    let json = endpoint.fetch().await;
    parse(
        endpoint,
        &json.map_err(|error| unfetched(endpoint, &error))?,
    )
}

fn unfetched(endpoint: &Endpoint, error: &FetchError) -> String {
    format!("cannot fetch --jwt-keys {endpoint}: {error}")
}

fn parse(source: &dyn fmt::Display, json: &[u8]) -> Result<KeySet, String> {
    KeySet::parse(json).map_err(|error| format!("cannot use --jwt-keys {source}: {error}"))
}
