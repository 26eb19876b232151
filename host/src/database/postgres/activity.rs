//! What a statement of migrations waits for, and how far it is. Asked on another connection while it runs.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::run::WantRows;
use super::singles::Singles;
use crate::database::backend::Activity;
use crate::database::budget::Budget;
use crate::database::statement::{Effect, Statement};
use crate::database::types::Value;

/// How long the answer is waited for: it is only for the log.
const PATIENCE: Duration = Duration::from_secs(2);

/// The statement is known by its text, which also tells it from the same one of other databases and roles. No addresses, and nothing of
/// what the others run.
const ACTIVITY: &str = "SELECT \
    (SELECT string_agg('session ' || b.pid || ' (' \
        || COALESCE(NULLIF(left(b.application_name, 64), ''), 'without a name') || ', ' \
        || COALESCE(b.state, 'state unknown') \
        || COALESCE(', its transaction began ' || date_trunc('second', now() - b.xact_start)::text || ' ago', '') \
        || ')', ', ') \
        FROM pg_stat_activity AS b WHERE b.pid = ANY (pg_blocking_pids(a.pid))), \
    (SELECT p.phase || ', ' || p.blocks_done || ' of ' || p.blocks_total || ' blocks, ' \
        || p.tuples_done || ' of ' || p.tuples_total || ' rows' \
        FROM pg_stat_progress_create_index AS p WHERE p.pid = a.pid) \
    FROM pg_stat_activity AS a WHERE a.datname = current_database() AND a.usename = current_user \
    AND a.pid <> pg_backend_pid() AND a.state = 'active' AND left(a.query, 900) = left($1, 900) LIMIT 1";

static STATEMENT: LazyLock<Arc<Statement>> =
    LazyLock::new(|| Statement::new(ACTIVITY.to_owned(), Effect::Reads));

/// Asks about the statement with this text.
pub(super) async fn activity(singles: &Singles, text: &str) -> Option<Activity> {
    let now = Instant::now();
    let budget = Budget {
        began: now,
        deadline: now + PATIENCE,
        rows_bytes: 64 << 10,
    };
    let params = [Value::Text(text.to_owned())];
    let found = singles.run::<WantRows>(&STATEMENT, &params, &budget).await;
    let rows = found
        .inspect_err(|error| tracing::debug!("what migrations wait for is not known: {error}"))
        .ok()?;
    let mut row = rows.rows.into_iter().next()?.into_iter();
    let mut text = || match row.next() {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    Some(Activity {
        blockers: text(),
        progress: text(),
    })
}
