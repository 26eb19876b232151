//! Says what migrations are at while they run, and whom they wait for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::database::Pool;
use crate::database::migration::Migration;

/// How often it is looked at. A lock is waited for longer than this.
const LOOK: Duration = Duration::from_millis(400);

/// How often a line is said at the most.
const LINE: Duration = Duration::from_secs(5);

/// The most of a statement that a line shows.
const SHOWN: usize = 160;

/// Waits for `work`, and says every few seconds what it is at. Gives also who held the lock that it last waited for.
pub(super) async fn watch<T>(
    work: impl Future<Output = T>,
    pool: &Pool,
    migration: &Arc<Migration>,
) -> (T, Option<String>) {
    let mut work = std::pin::pin!(work);
    let mut watcher = Watcher {
        pool,
        migration,
        said: Instant::now(),
        blockers: None,
    };
    loop {
        tokio::select! {
            biased;
            done = work.as_mut() => return (done, watcher.blockers),
            () = watcher.look() => {}
        }
    }
}

struct Watcher<'a> {
    pool: &'a Pool,
    migration: &'a Arc<Migration>,
    said: Instant,
    blockers: Option<String>,
}

impl Watcher<'_> {
    async fn look(&mut self) {
        tokio::time::sleep(LOOK).await;
        let Some((statement, since)) = self.migration.running() else {
            return;
        };
        if since.elapsed() < LOOK {
            return;
        }
        let Some(activity) = self.pool.activity(&statement.text).await else {
            return;
        };
        if activity.blockers.is_some() {
            self.blockers = activity.blockers;
        }
        if self.said.elapsed() < LINE || since.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.said = Instant::now();
        let text: String = statement
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .flat_map(|line| [line.trim(), " "])
            .collect();
        let text: String = text.trim().chars().take(SHOWN).collect();
        let progress = activity
            .progress
            .map(|progress| format!(", {progress}"))
            .unwrap_or_default();
        tracing::info!(
            "the migrations are at work: {text} (for {:?}{progress})",
            Duration::from_secs(since.elapsed().as_secs())
        );
    }
}
