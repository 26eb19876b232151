//! What a connection is held to while a statement runs: its time, and what it may do.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// What a running statement is held to; its progress handler looks here.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// In nanoseconds since [`START`].
    until: AtomicU64,
    /// The number of the run at hand, and the highest number of one that nobody waits for any more. So a stop that comes late
    /// stops nobody else's run.
    run: AtomicU64,
    stopped: AtomicU64,
    /// The host itself speaks: no limit, and it may say BEGIN and COMMIT.
    host: AtomicBool,
    /// The largest value that the statement at hand may make, in bytes.
    max_value: AtomicU32,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn nanos(moment: Instant) -> u64 {
    u64::try_from(moment.saturating_duration_since(*START).as_nanos()).unwrap_or(u64::MAX)
}

impl Control {
    /// Begins a run, and gives its number.
    pub(super) fn arm(&self, until: Instant) -> u64 {
        self.until.store(nanos(until), Relaxed);
        self.run.fetch_add(1, Relaxed) + 1
    }

    /// Ends a run that nobody waits for any more.
    pub(super) fn stop(&self, run: u64) {
        self.stopped.fetch_max(run, Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.stopped.load(Relaxed) >= self.run.load(Relaxed)
            || nanos(Instant::now()) >= self.until.load(Relaxed)
    }

    /// What the progress handler is asked.
    pub(super) fn must_stop(&self) -> bool {
        !self.host.load(Relaxed) && self.is_over()
    }

    /// From here on the host speaks, or a guest again.
    pub(super) fn host_speaks(&self, speaks: bool) {
        self.host.store(speaks, Relaxed);
    }

    /// The largest value that may be made from here on, in bytes.
    pub(super) fn set_max_value(&self, bytes: u32) {
        self.max_value.store(bytes, Relaxed);
    }

    pub(super) fn max_value(&self) -> u32 {
        self.max_value.load(Relaxed)
    }

    /// Decides about each thing that a statement does, however it is spelled and however deep in views and triggers it stands:
    /// SQLite asks while it compiles the statement.
    pub(super) fn authorize(&self, context: AuthContext<'_>) -> Authorization {
        if self.host.load(Relaxed) || is_allowed(context.action, context.database_name) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }
}

fn is_allowed(action: AuthAction<'_>, database: Option<&str>) -> bool {
    // Here the third argument is a column.
    if let AuthAction::AlterTable { database_name, .. } = action {
        return database_name.eq_ignore_ascii_case("main");
    }
    // What is in `temp` belongs to the connection, outlives the request, and shadows the tables of all others.
    if database.is_some_and(|name| !name.eq_ignore_ascii_case("main")) {
        return is_allowed_in_temp(action);
    }
    match action {
        AuthAction::Function { function_name } => is_allowed_function(function_name),
        AuthAction::Pragma { pragma_name, .. } => is_catalogue(pragma_name),
        AuthAction::Read { table_name, .. } => is_readable(table_name),
        // What the planner believes of a table is for ANALYZE to say.
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

/// `ALTER TABLE … RENAME` and `DROP TABLE` look for temporary triggers and views, of which there are none, and mend them. A
/// statement cannot do so itself: SQLite refuses to change its schema's tables by hand.
fn is_allowed_in_temp(action: AuthAction<'_>) -> bool {
    let (AuthAction::Read { table_name, .. }
    | AuthAction::Update { table_name, .. }
    | AuthAction::Delete { table_name }) = action
    else {
        return false;
    };
    matches!(table_name, "sqlite_temp_master" | "sqlite_temp_schema")
}

/// Tables that are not tables: each module of SQLite is one by its own name, and each pragma. Those that show the file, the host
/// or other statements are not read.
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

/// Pragmas that tell of the schema, and change nothing.
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

/// The functions a statement may call: those that tell nothing of the connection or the host, change neither, and whose time is
/// bounded by their arguments' size, or which this host has written anew so that it is ([`super::functions`]).
///
/// Not here for their time or memory: `json_patch`, which compares each name with each, and `json_pretty`, whose indentation is a
/// text of any length. The last line is what `ALTER TABLE` is made of; no statement can call these itself.
fn is_allowed_function(name: &str) -> bool {
    // SQLite gives the name as it was written or defined: `CURRENT_TIMESTAMP` in capitals.
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
