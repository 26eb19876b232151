//! A connection whose session was set up and has the requested settings.
//!
//! [`super::connect`] creates it only after the settings were read back. A session that reports a
//! changed setting later is no longer [intact](Session::is_intact) and must not be used again.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::maybe_done;
use tokio_postgres::Client;

use super::limits::CLEANUP_LIMIT;
use super::messages::Watch;
use super::settings::{SessionCommands, Settings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionKind {
    /// For one statement or transaction at a time.
    Dedicated,
    /// For the statements of many requests.
    Shared,
}

/// How sessions of one kind are started.
#[derive(Clone, Debug)]
pub(super) struct SessionTemplate {
    pub(super) settings: Settings,
    pub(super) config: Arc<tokio_postgres::Config>,
}

pub(super) struct Session {
    client: Client,
    watch: Arc<Watch>,
    commands: SessionCommands,
    opened_at: Instant,
    accepts_writes: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("opened_at", &self.opened_at)
            .finish_non_exhaustive()
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Session {
    pub(super) fn new(
        client: Client,
        watch: Arc<Watch>,
        commands: SessionCommands,
        accepts_writes: bool,
    ) -> Self {
        Self {
            client,
            watch,
            commands,
            opened_at: Instant::now(),
            accepts_writes,
        }
    }

    pub(super) fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    pub(super) fn commands(&self) -> &SessionCommands {
        &self.commands
    }

    pub(super) fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// Whether the connection is open and no reported setting has changed.
    pub(super) fn is_intact(&self) -> bool {
        !self.client.is_closed() && !self.watch.is_changed()
    }

    /// Whether the server accepted writes when the session was opened.
    pub(super) fn accepts_writes(&self) -> bool {
        self.accepts_writes
    }

    /// Sends the command that ends the transaction and, in the same write, the reset.
    ///
    /// Returns the result of the command, or `None` after the deadline, and whether the session was
    /// reset.
    pub(super) async fn end_transaction(
        &self,
        command: &str,
        deadline: Instant,
    ) -> (Option<Result<(), tokio_postgres::Error>>, bool) {
        let mut ended = pin!(self.client.batch_execute(command));
        let mut reset = pin!(maybe_done(self.reset()));
        // The order of the first polls is the order on the connection.
        let both = poll_fn(|context| {
            let ended = ended.as_mut().poll(context);
            let _ = reset.as_mut().poll(context);
            ended
        });
        match tokio::time::timeout_at(deadline.into(), both).await {
            Err(_) => (None, false),
            Ok(ended) => {
                let reset_in_time = tokio::time::timeout(CLEANUP_LIMIT, reset.as_mut()).await;
                let is_reset = reset_in_time.is_ok() && reset.take_output().unwrap_or_default();
                (Some(ended), is_reset)
            }
        }
    }

    /// Resets the session to its settings. Returns whether that succeeded.
    pub(super) async fn reset(&self) -> bool {
        match &self.commands.reset {
            None => true,
            Some(reset) => self.client.batch_execute(reset).await.is_ok(),
        }
    }
}
