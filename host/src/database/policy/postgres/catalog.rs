//! What of PostgreSQL's catalogue a statement may name.

use std::collections::HashMap;
use std::sync::OnceLock;

/// What is known of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// It changes nothing.
    Reads,
    /// It changes something of the component's own, or takes a lock.
    Writes,
    /// It changes nothing, and shows what only migrations may see.
    ReadsForMigrations,
}

/// Relations of `pg_catalog` that may be read: what a schema consists of, and how far an index is.
///
/// Others show other sessions, names of roles, settings, files or statistics of data.
const CATALOG: [&str; 25] = [
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_extension",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_locks",
    "pg_namespace",
    "pg_opclass",
    "pg_partitioned_table",
    "pg_policy",
    "pg_proc",
    "pg_rewrite",
    "pg_sequence",
    "pg_sequences",
    "pg_stat_progress_create_index",
    "pg_trigger",
    "pg_type",
    "pg_am",
];

/// Those that migrations may read as well: the database's encoding, and whether there is a language for triggers.
const CATALOG_FOR_MIGRATIONS: [&str; 2] = ["pg_database", "pg_language"];

/// Views of `information_schema` that may be read.
const INFORMATION_SCHEMA: [&str; 15] = [
    "check_constraints",
    "columns",
    "constraint_column_usage",
    "constraint_table_usage",
    "domain_constraints",
    "domains",
    "element_types",
    "key_column_usage",
    "referential_constraints",
    "sequences",
    "table_constraints",
    "tables",
    "triggered_update_columns",
    "triggers",
    "views",
];

/// What is known of a function of `pg_catalog`, unless it may not be called.
pub(super) fn function(name: &str) -> Option<Function> {
    static FUNCTIONS: OnceLock<HashMap<&'static str, Function>> = OnceLock::new();
    let functions = FUNCTIONS.get_or_init(|| {
        let mut known = HashMap::new();
        let mut kind = Function::Reads;
        let lines = include_str!("functions.txt").lines();
        for line in lines.filter(|line| !line.starts_with('#')) {
            match line {
                "[immutable]" | "[reads]" => kind = Function::Reads,
                "[writes]" => kind = Function::Writes,
                "[migrations]" => kind = Function::ReadsForMigrations,
                names => known.extend(names.split_whitespace().map(|name| (name, kind))),
            }
        }
        known
    });
    functions.get(name).copied()
}

/// What a relation's name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// One of the component's own, or of the database's owner.
    Ordinary,
    /// One of the catalogue that may be read.
    Readable,
    /// One of the catalogue that migrations may read.
    ReadableForMigrations,
    /// One of the catalogue that may not be touched.
    Closed,
}

/// What a relation is. Names beginning with `pg_` are the catalogue's, with a schema or without: `pg_catalog` is searched first.
pub(super) fn relation(schema: Option<&str>, name: &str) -> Relation {
    let catalog = || {
        if CATALOG.contains(&name) {
            Relation::Readable
        } else if CATALOG_FOR_MIGRATIONS.contains(&name) {
            Relation::ReadableForMigrations
        } else {
            Relation::Closed
        }
    };
    match schema {
        None if is_reserved(name) => catalog(),
        None => Relation::Ordinary,
        Some("pg_catalog") => catalog(),
        Some("information_schema") if INFORMATION_SCHEMA.contains(&name) => Relation::Readable,
        Some("information_schema") => Relation::Closed,
        Some(schema) if is_reserved(schema) => Relation::Closed,
        Some(_) => Relation::Ordinary,
    }
}

/// Whether a name belongs to PostgreSQL: the catalogue, temporary tables, TOAST, roles.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("pg_") || name == "information_schema"
}
