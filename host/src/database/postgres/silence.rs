//! Servers that fall silent under sessions that are open.
//!
//! A server that is gone without a word is noticed by its next statement's deadline, or by TCP's
//! after that. Where there is another server that is too long. So here it is looked at, for as long
//! as there is a choice of servers, which sessions wait for an answer. A server that has said
//! nothing on one for [`QUIET`] is asked whether it speaks at all, which costs it no session; if it
//! does not, and a session can be made elsewhere, those that hang are closed: their statements are
//! told what is known of them, and run elsewhere.
//!
//! Where a server has nobody to take its place its sessions are left alone: it may come back with
//! all it knows.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::dial::Dialer;
use super::endpoint::{Address, Endpoint};
use super::messages::Naming;
use super::sessions::{Seen, Sessions};

/// How often sessions are looked at.
const TICK: Duration = Duration::from_millis(100);

/// After how long without a word a server is asked.
const QUIET: Duration = Duration::from_millis(400);

/// How long it may take to say anything.
const ANSWER: Duration = Duration::from_millis(700);

/// How often a server that speaks is asked again while a statement takes long, and one that does
/// not, whether it does now.
const AGAIN: Duration = Duration::from_secs(2);

/// Watches until nobody uses the servers any more.
pub(super) async fn watch(
    dialer: Weak<Dialer>,
    sessions: Arc<Sessions>,
    session: Arc<tokio_postgres::Config>,
) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting: HashMap<u64, (u64, Instant)> = HashMap::new();
    let mut asked: HashMap<Address, Instant> = HashMap::new();
    let mut asked_silent = Instant::now();
    loop {
        ticks.tick().await;
        let Some(dialer) = dialer.upgrade() else {
            return;
        };
        if !dialer.has_choice() {
            continue;
        }
        if asked_silent.elapsed() >= AGAIN {
            asked_silent = Instant::now();
            let silent: Vec<_> = dialer.silent().values().cloned().collect();
            for endpoint in silent {
                tokio::spawn(try_again(
                    Arc::clone(&dialer),
                    Arc::clone(&session),
                    endpoint,
                ));
            }
        }
        let seen = sessions.seen();
        let now = Instant::now();
        waiting.retain(|number, (heard, _)| {
            seen.iter()
                .any(|seen| seen.number == *number && seen.waits && seen.heard == *heard)
        });
        for seen in seen.iter().filter(|seen| seen.waits) {
            waiting.entry(seen.number).or_insert((seen.heard, now));
        }
        asked.retain(|_, when| when.elapsed() < AGAIN);
        let quiet: Vec<Arc<Endpoint>> = seen
            .iter()
            .filter(|seen| {
                let since = waiting.get(&seen.number);
                since.is_some_and(|(_, since)| now.duration_since(*since) >= QUIET)
            })
            .map(|seen| Arc::clone(&seen.endpoint))
            .collect();
        for endpoint in quiet {
            if asked.insert(endpoint.address.clone(), now).is_none() {
                let seen = of(&seen, &endpoint.address);
                tokio::spawn(ask(
                    Arc::clone(&dialer),
                    Arc::clone(&sessions),
                    Arc::clone(&session),
                    endpoint,
                    seen,
                ));
            }
        }
    }
}

/// The sessions at an address.
fn of(seen: &[Seen], address: &Address) -> Vec<Seen> {
    seen.iter()
        .filter(|seen| seen.endpoint.address == *address)
        .cloned()
        .collect()
}

/// Asks a server whether it speaks, and closes its sessions if it does not and another one serves.
async fn ask(
    dialer: Arc<Dialer>,
    sessions: Arc<Sessions>,
    session: Arc<tokio_postgres::Config>,
    endpoint: Arc<Endpoint>,
    seen: Vec<Seen>,
) {
    if timeout(ANSWER, endpoint.answers()).await.is_ok() {
        return;
    }
    let address = &endpoint.address;
    dialer.found_silent(&endpoint);
    let Ok(dialled) = dialer.dial(&session, Naming::Prefixed).await else {
        return;
    };
    if dialled.endpoint.address == *address {
        return;
    }
    let closed = sessions.close_silent(&seen);
    if closed > 0 {
        tracing::warn!(
            "the database server at {address} says nothing any more: {closed} of its sessions are \
            closed, and {} takes its place",
            dialled.endpoint.address
        );
    }
}

/// Tries whether a silent server takes a session again. Its own answer counts, be it no: then it is
/// asked in its turn again.
async fn try_again(
    dialer: Arc<Dialer>,
    session: Arc<tokio_postgres::Config>,
    endpoint: Arc<Endpoint>,
) {
    match timeout(
        dialer.limit,
        endpoint.attempt(&dialer.means, &session, Naming::Prefixed),
    )
    .await
    {
        Err(_) => {}
        Ok(Err(cause)) if cause.is_silence() => {}
        Ok(_) => {
            dialer.silent().remove(&endpoint.address);
        }
    }
}
