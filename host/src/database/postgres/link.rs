//! A session that is set up, and proven to be what was asked for.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::maybe_done;
use tokio_postgres::Client;

use super::limits::CLEANING;
use super::messages::Watch;
use super::settings::{Settings, Words};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One statement or transaction at a time.
    Own,
    /// Statements of many requests.
    Shared,
}

/// How connections of one kind are opened.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) settings: Settings,
    pub(super) config: Arc<tokio_postgres::Config>,
}

/// A connection to the server whose session is set up.
pub(super) struct Link {
    client: Client,
    watch: Arc<Watch>,
    words: Words,
    born: Instant,
    takes_writes: bool,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("born", &self.born)
            .finish_non_exhaustive()
    }
}

impl Deref for Link {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Link {
    /// One whose session has just been set up.
    pub(super) fn new(client: Client, watch: Arc<Watch>, words: Words, takes_writes: bool) -> Self {
        Self {
            client,
            watch,
            words,
            born: Instant::now(),
            takes_writes,
        }
    }

    pub(super) fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The host's own statements on it.
    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    pub(super) fn born(&self) -> Instant {
        self.born
    }

    /// Whether it is open, and as it was set up.
    pub(super) fn is_intact(&self) -> bool {
        !self.client.is_closed() && !self.watch.is_changed()
    }

    /// Whether its server took writes when it was opened.
    pub(super) fn takes_writes(&self) -> bool {
        self.takes_writes
    }

    /// Ends a transaction, and brings the session back to its beginning behind it, in one write.
    ///
    /// Gives what the server said to the end, unless the deadline came first, and whether the session
    /// is at its beginning.
    pub(super) async fn end(
        &self,
        how: &str,
        deadline: Instant,
    ) -> (Option<Result<(), tokio_postgres::Error>>, bool) {
        let mut ended = pin!(self.client.batch_execute(how));
        let mut reset = pin!(maybe_done(self.reset()));
        // Polled in this order, which is the order in which they are sent.
        let both = poll_fn(|context| {
            let ended = ended.as_mut().poll(context);
            let _ = reset.as_mut().poll(context);
            ended
        });
        match tokio::time::timeout_at(deadline.into(), both).await {
            Err(_) => (None, false),
            Ok(ended) => {
                let is_reset = tokio::time::timeout(CLEANING, reset.as_mut()).await.is_ok();
                (
                    Some(ended),
                    is_reset && reset.take_output().unwrap_or_default(),
                )
            }
        }
    }

    /// Brings the session back to its beginning. Gives whether it is there.
    pub(super) async fn reset(&self) -> bool {
        match &self.words.reset {
            None => true,
            Some(reset) => self.client.batch_execute(reset).await.is_ok(),
        }
    }
}
