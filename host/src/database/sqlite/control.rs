//! The limits of a running statement: its deadline, its largest value, and what it may do.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::workers;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// The limits of a connection's running statement, read by SQLite's handlers.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// In nanoseconds since [`START`].
    deadline: AtomicU64,
    /// The number of the current run, and the highest number that was stopped. So a late stop
    /// cannot end the next run.
    run: AtomicU64,
    stopped: AtomicU64,
    /// From when on the thread of the run has a lower priority.
    lower_at: AtomicU64,
    /// Whether it may have one: nothing waits for what the connection reads.
    is_reader: bool,
    /// The statement is the host's: it has no limits, and BEGIN and COMMIT are allowed.
    is_host: AtomicBool,
    /// The largest value that the current statement may make, in bytes.
    max_value: AtomicU32,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn nanos(moment: Instant) -> u64 {
    u64::try_from(moment.saturating_duration_since(*START).as_nanos()).unwrap_or(u64::MAX)
}

impl Control {
    pub(super) fn new(is_reader: bool) -> Self {
        Self {
            is_reader,
            ..Self::default()
        }
    }

    /// Begins a run and returns its number.
    pub(super) fn start(&self, deadline: Instant) -> u64 {
        self.deadline.store(nanos(deadline), Relaxed);
        self.lower_at.store(u64::MAX, Relaxed);
        self.run.fetch_add(1, Relaxed) + 1
    }

    /// Begins a run on a worker's thread, which may take long, and returns its number.
    pub(super) fn start_on_worker(&self, deadline: Instant) -> u64 {
        let run = self.start(deadline);
        if self.is_reader {
            self.lower_at
                .store(nanos(Instant::now() + workers::LONG), Relaxed);
        }
        run
    }

    /// Ends a run, if it is still the current one.
    pub(super) fn stop(&self, run: u64) {
        self.stopped.fetch_max(run, Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over_at(nanos(Instant::now()))
    }

    fn is_over_at(&self, now: u64) -> bool {
        self.stopped.load(Relaxed) >= self.run.load(Relaxed) || now >= self.deadline.load(Relaxed)
    }

    /// For the progress handler: whether to interrupt the statement.
    pub(super) fn must_stop(&self) -> bool {
        let now = nanos(Instant::now());
        if now >= self.lower_at.load(Relaxed) {
            self.lower_at.store(u64::MAX, Relaxed);
            workers::lower_priority();
        }
        !self.is_host.load(Relaxed) && self.is_over_at(now)
    }

    /// Whether the statements that follow are the host's.
    pub(super) fn set_host(&self, is_host: bool) {
        self.is_host.store(is_host, Relaxed);
    }

    pub(super) fn set_max_value(&self, bytes: u32) {
        self.max_value.store(bytes, Relaxed);
    }

    pub(super) fn max_value(&self) -> u32 {
        self.max_value.load(Relaxed)
    }

    /// For SQLite's authorizer: allows or denies an action of a statement. SQLite calls it for each
    /// action while it compiles the statement, also for those in views and triggers.
    pub(super) fn authorize(&self, context: AuthContext<'_>) -> Authorization {
        if self.is_host.load(Relaxed) || is_allowed(context.action, context.database_name) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }
}

fn is_allowed(action: AuthAction<'_>, database: Option<&str>) -> bool {
    // `database_name` of the context is a column here.
    if let AuthAction::AlterTable { database_name, .. } = action {
        return database_name.eq_ignore_ascii_case("main");
    }
    // An object in `temp` outlives the request on the connection and shadows the tables of other
    // requests.
    if database.is_some_and(|name| !name.eq_ignore_ascii_case("main")) {
        return is_allowed_in_temp(action);
    }
    match action {
        AuthAction::Function { function_name } => is_allowed_function(function_name),
        AuthAction::Pragma { pragma_name, .. } => is_catalogue(pragma_name),
        AuthAction::Read { table_name, .. } => is_readable(table_name),
        // Only ANALYZE changes the planner's statistics.
        AuthAction::Insert { table_name } | AuthAction::Update { table_name, .. } => {
            !starts_with(table_name, "sqlite_stat")
        }
        AuthAction::Unknown { .. }
        | AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. }
        | AuthAction::CreateVtable { .. }
        | AuthAction::DropVtable { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::DropTempTable { .. }
        | AuthAction::DropTempIndex { .. }
        | AuthAction::DropTempTrigger { .. }
        | AuthAction::DropTempView { .. } => false,
        _ => true,
    }
}

/// `ALTER TABLE … RENAME` and `DROP TABLE` update temporary triggers and views, of which there are
/// none. SQLite itself denies other statements changes of its schema tables.
fn is_allowed_in_temp(action: AuthAction<'_>) -> bool {
    let (AuthAction::Read { table_name, .. }
    | AuthAction::Update { table_name, .. }
    | AuthAction::Delete { table_name }) = action
    else {
        return false;
    };
    matches!(table_name, "sqlite_temp_master" | "sqlite_temp_schema")
}

/// Whether a table may be read. Each module of SQLite is a virtual table of its name, and so is
/// each pragma; those that show the file, the host or other statements may not be read.
fn is_readable(table: &str) -> bool {
    const MODULES: [&str; 14] = [
        "bytecode",
        "completion",
        "carray",
        "dbstat",
        "fts3tokenize",
        "fts4aux",
        "fts5vocab",
        "sqlite_dbdata",
        "sqlite_dbpage",
        "sqlite_dbptr",
        "sqlite_memstat",
        "sqlite_stmt",
        "sqlite_vtab",
        "tables_used",
    ];
    if starts_with(table, "pragma_") {
        return table.get("pragma_".len()..).is_some_and(is_catalogue);
    }
    !MODULES
        .iter()
        .any(|module| table.eq_ignore_ascii_case(module))
}

/// Pragmas that show the schema and change nothing.
fn is_catalogue(pragma: &str) -> bool {
    [
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "table_info",
        "table_list",
        "table_xinfo",
    ]
    .iter()
    .any(|known| pragma.eq_ignore_ascii_case(known))
}

fn starts_with(name: &str, start: &str) -> bool {
    name.get(..start.len())
        .is_some_and(|found| found.eq_ignore_ascii_case(start))
}

/// The functions that a statement may call. They neither show nor change the connection or the
/// host, and their time is bounded by the size of their arguments, some by a replacement
/// ([`super::functions`]).
///
/// Two are left out for their time and memory: `json_patch` compares each name with each, and the
/// indentation of `json_pretty` may have any length. The last ones, from `sqlite_add_constraint`
/// on, implement `ALTER TABLE`; no statement can call them itself.
fn is_allowed_function(name: &str) -> bool {
    // SQLite passes the name as written or defined: `CURRENT_TIMESTAMP` in capitals.
    let name = name.to_ascii_lowercase();
    matches!(
        name.as_str(),
        "abs"
            | "avg"
            | "ceil"
            | "ceiling"
            | "char"
            | "coalesce"
            | "concat"
            | "concat_ws"
            | "count"
            | "cume_dist"
            | "current_date"
            | "current_time"
            | "current_timestamp"
            | "date"
            | "datetime"
            | "dense_rank"
            | "exp"
            | "first_value"
            | "floor"
            | "format"
            | "glob"
            | "group_concat"
            | "hex"
            | "if"
            | "ifnull"
            | "iif"
            | "instr"
            | "julianday"
            | "lag"
            | "last_value"
            | "lead"
            | "length"
            | "like"
            | "likelihood"
            | "likely"
            | "ln"
            | "log"
            | "log10"
            | "log2"
            | "lower"
            | "ltrim"
            | "max"
            | "min"
            | "mod"
            | "nth_value"
            | "ntile"
            | "nullif"
            | "octet_length"
            | "percent_rank"
            | "pi"
            | "pow"
            | "power"
            | "printf"
            | "quote"
            | "random"
            | "randomblob"
            | "rank"
            | "replace"
            | "round"
            | "row_number"
            | "rtrim"
            | "sign"
            | "soundex"
            | "sqlite_version"
            | "sqrt"
            | "strftime"
            | "string_agg"
            | "substr"
            | "substring"
            | "subtype"
            | "sum"
            | "time"
            | "timediff"
            | "total"
            | "trim"
            | "trunc"
            | "typeof"
            | "unhex"
            | "unicode"
            | "unistr"
            | "unistr_quote"
            | "unixepoch"
            | "unlikely"
            | "upper"
            | "zeroblob"
            | "->"
            | "->>"
            | "json"
            | "jsonb"
            | "json_array"
            | "jsonb_array"
            | "json_array_insert"
            | "jsonb_array_insert"
            | "json_array_length"
            | "json_error_position"
            | "json_extract"
            | "jsonb_extract"
            | "json_group_array"
            | "jsonb_group_array"
            | "json_group_object"
            | "jsonb_group_object"
            | "json_insert"
            | "jsonb_insert"
            | "json_object"
            | "jsonb_object"
            | "json_quote"
            | "json_remove"
            | "jsonb_remove"
            | "json_replace"
            | "jsonb_replace"
            | "json_set"
            | "jsonb_set"
            | "json_type"
            | "json_valid"
            | "sqlite_add_constraint"
            | "sqlite_drop_column"
            | "sqlite_drop_constraint"
            | "sqlite_fail"
            | "sqlite_find_constraint"
            | "sqlite_rename_column"
            | "sqlite_rename_quotefix"
            | "sqlite_rename_table"
            | "sqlite_rename_test"
    )
}
