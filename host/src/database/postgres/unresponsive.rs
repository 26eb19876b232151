//! Closes the sessions of a server that stops responding while another server is available.
//!
//! Without this, statements wait for their deadline, and later ones for TCP's. While several
//! addresses are known, a task looks for sessions that have received nothing for [`QUIET_LIMIT`]
//! while a response is due. It probes the server without a session. If there is no answer, and a
//! session can be started on another server, the sessions without traffic are closed: their
//! statements fail as on a lost connection, and later ones run on the other server.
//!
//! Without another server the sessions are kept, because the server may come back.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::dial::Dialer;
use super::endpoint::{Address, Endpoint};
use super::messages::Naming;
use super::session_registry::{SessionRegistry, Snapshot};

/// How often sessions are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a due response may be missing before the server is probed.
const QUIET_LIMIT: Duration = Duration::from_millis(400);

/// How long a server may take to answer the probe.
const PROBE_LIMIT: Duration = Duration::from_millis(700);

/// How often a server is probed during a long statement, and an unresponsive server is tried.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Runs until the dialer is dropped.
pub(super) async fn watch(
    dialer: Weak<Dialer>,
    sessions: Arc<SessionRegistry>,
    config: Arc<tokio_postgres::Config>,
) {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // By session: what it had received when it began to wait, and since when it waits.
    let mut waiting: HashMap<u64, (u64, Instant)> = HashMap::new();
    let mut probed_at: HashMap<Address, Instant> = HashMap::new();
    let mut retried_at = Instant::now();
    loop {
        ticks.tick().await;
        let Some(dialer) = dialer.upgrade() else {
            return;
        };
        if !dialer.has_several_addresses() {
            continue;
        }
        if retried_at.elapsed() >= PROBE_INTERVAL {
            retried_at = Instant::now();
            let unresponsive: Vec<_> = dialer.unresponsive().values().cloned().collect();
            for endpoint in unresponsive {
                tokio::spawn(retry(Arc::clone(&dialer), Arc::clone(&config), endpoint));
            }
        }
        let snapshots = sessions.snapshots();
        let now = Instant::now();
        waiting.retain(|number, (received, _)| {
            snapshots.iter().any(|snapshot| {
                snapshot.number == *number
                    && snapshot.awaits_response
                    && snapshot.received == *received
            })
        });
        for snapshot in snapshots.iter().filter(|snapshot| snapshot.awaits_response) {
            waiting
                .entry(snapshot.number)
                .or_insert((snapshot.received, now));
        }
        probed_at.retain(|_, when| when.elapsed() < PROBE_INTERVAL);
        let quiet: Vec<Arc<Endpoint>> = snapshots
            .iter()
            .filter(|snapshot| {
                let since = waiting.get(&snapshot.number);
                since.is_some_and(|(_, since)| now.duration_since(*since) >= QUIET_LIMIT)
            })
            .map(|snapshot| Arc::clone(&snapshot.endpoint))
            .collect();
        for endpoint in quiet {
            if probed_at.insert(endpoint.address.clone(), now).is_none() {
                let snapshots = at_address(&snapshots, &endpoint.address);
                tokio::spawn(probe(
                    Arc::clone(&dialer),
                    Arc::clone(&sessions),
                    Arc::clone(&config),
                    endpoint,
                    snapshots,
                ));
            }
        }
    }
}

/// The sessions at an address.
fn at_address(snapshots: &[Snapshot], address: &Address) -> Vec<Snapshot> {
    snapshots
        .iter()
        .filter(|snapshot| snapshot.endpoint.address == *address)
        .cloned()
        .collect()
}

/// Probes a server. If it does not answer and another one does, closes its sessions.
async fn probe(
    dialer: Arc<Dialer>,
    sessions: Arc<SessionRegistry>,
    config: Arc<tokio_postgres::Config>,
    endpoint: Arc<Endpoint>,
    snapshots: Vec<Snapshot>,
) {
    if timeout(PROBE_LIMIT, endpoint.check_responds())
        .await
        .is_ok()
    {
        return;
    }
    let address = &endpoint.address;
    dialer.record_unresponsive(&endpoint);
    let Ok(dialled) = dialer.dial(&config, Naming::Prefixed).await else {
        return;
    };
    if dialled.endpoint.address == *address {
        return;
    }
    let closed = sessions.close_unresponsive(&snapshots);
    if closed > 0 {
        tracing::warn!(
            "the database server at {address} does not respond: {closed} of its sessions are \
             closed, and new ones are opened at {}",
            dialled.endpoint.address
        );
    }
}

/// Tries to start a session on an unresponsive server. Any answer, even a refusal, returns it to
/// its place in the order.
async fn retry(dialer: Arc<Dialer>, config: Arc<tokio_postgres::Config>, endpoint: Arc<Endpoint>) {
    match timeout(
        dialer.limit,
        endpoint.attempt(&dialer.options, &config, Naming::Prefixed),
    )
    .await
    {
        Err(_) => {}
        Ok(Err(error)) if error.is_unresponsive() => {}
        Ok(_) => {
            dialer.unresponsive().remove(&endpoint.address);
        }
    }
}
