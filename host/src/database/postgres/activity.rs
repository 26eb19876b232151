//! Reports what a running statement of migrations waits for, and its progress.
//!
//! Another connection queries PostgreSQL's statistics views. The report is only for the log: if the
//! query fails, there is none.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::run::FetchRows;
use super::single_statement::SingleStatements;
use crate::database::backend::Activity;
use crate::database::budget::Budget;
use crate::database::statement::{Effect, Statement};
use crate::database::types::Value;

const QUERY_LIMIT: Duration = Duration::from_secs(2);

/// Finds the statement by its text, database and role. Of blocking sessions it returns neither
/// addresses nor statements.
const ACTIVITY: &str = "SELECT \
    (SELECT string_agg('session ' || b.pid || ' (' \
        || COALESCE(NULLIF(left(b.application_name, 64), ''), 'without a name') || ', ' \
        || COALESCE(b.state, 'state unknown') \
        || COALESCE(', its transaction began ' \
            || date_trunc('second', now() - b.xact_start)::text || ' ago', '') \
        || ')', ', ') \
        FROM pg_stat_activity AS b WHERE b.pid = ANY (pg_blocking_pids(a.pid))), \
    (SELECT p.phase || ', ' || p.blocks_done || ' of ' || p.blocks_total || ' blocks, ' \
        || p.tuples_done || ' of ' || p.tuples_total || ' rows' \
        FROM pg_stat_progress_create_index AS p WHERE p.pid = a.pid) \
    FROM pg_stat_activity AS a WHERE a.datname = current_database() AND a.usename = current_user \
    AND a.pid <> pg_backend_pid() AND a.state = 'active' \
    AND left(a.query, 900) = left($1, 900) LIMIT 1";

static STATEMENT: LazyLock<Arc<Statement>> =
    LazyLock::new(|| Statement::new(ACTIVITY.to_owned(), Effect::Reads));

pub(super) async fn activity(single_statements: &SingleStatements, text: &str) -> Option<Activity> {
    let now = Instant::now();
    let budget = Budget::new(now, now + QUERY_LIMIT, 64 << 10);
    let params = [Value::Text(text.to_owned())];
    let found = single_statements
        .run::<FetchRows>(&STATEMENT, &params, &budget)
        .await;
    let rows = found
        .inspect_err(|error| {
            tracing::debug!("what the migrations wait for cannot be queried: {error}");
        })
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
