//! Logs the progress of running migrations, and the sessions whose locks they wait for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::database::Pool;
use crate::database::migration::Migration;

/// The interval of checks, shorter than the wait for a lock.
const INTERVAL: Duration = Duration::from_millis(400);

/// The shortest time between two log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The characters of a statement that a log line shows.
const MAX_STATEMENT: usize = 160;

/// Waits for `work` and logs its progress. Returns also the sessions that held the lock for which
/// it last waited.
pub(super) async fn watch<T>(
    work: impl Future<Output = T>,
    pool: &Pool,
    migration: &Arc<Migration>,
) -> (T, Option<String>) {
    let mut work = std::pin::pin!(work);
    let mut watcher = Watcher {
        pool,
        migration,
        logged: Instant::now(),
        blockers: None,
    };
    loop {
        tokio::select! {
            biased;
            done = work.as_mut() => return (done, watcher.blockers),
            () = watcher.check() => {}
        }
    }
}

struct Watcher<'a> {
    pool: &'a Pool,
    migration: &'a Arc<Migration>,
    logged: Instant,
    blockers: Option<String>,
}

impl Watcher<'_> {
    async fn check(&mut self) {
        tokio::time::sleep(INTERVAL).await;
        let Some((statement, since)) = self.migration.running() else {
            return;
        };
        if since.elapsed() < INTERVAL {
            return;
        }
        let Some(activity) = self.pool.activity(&statement.text).await else {
            return;
        };
        if activity.blockers.is_some() {
            self.blockers = activity.blockers;
        }
        if self.logged.elapsed() < LOG_INTERVAL || since.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.logged = Instant::now();
        let text: String = statement
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .flat_map(|line| [line.trim(), " "])
            .collect();
        let text: String = text.trim().chars().take(MAX_STATEMENT).collect();
        let progress = activity
            .progress
            .map(|progress| format!(", {progress}"))
            .unwrap_or_default();
        tracing::info!(
            "the migrations are running: {text} (for {:?}{progress})",
            Duration::from_secs(since.elapsed().as_secs())
        );
    }
}
