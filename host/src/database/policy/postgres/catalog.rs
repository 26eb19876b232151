//! The functions and relations of PostgreSQL's catalogue that a statement may name.

use std::collections::HashMap;
use std::sync::OnceLock;

/// What a function may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// It changes nothing.
    Reads,
    /// It changes the component's own objects, or takes a lock.
    Writes,
    /// It changes nothing, and returns what only migrations may read.
    ReadsForMigrations,
}

/// The relations of `pg_catalog` that may be read: they describe schemas and the progress of an
/// index.
///
/// Others show sessions, roles, settings, files or statistics of data.
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

/// Those that migrations may read too, for the encoding and the languages of triggers.
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

/// A function of `pg_catalog`, if it may be called.
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

/// What a relation's name refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// A relation of the component or of the database's owner.
    Ordinary,
    /// A relation of the catalogue that may be read.
    Readable,
    /// A relation of the catalogue that only migrations may read.
    ReadableForMigrations,
    /// A relation of the catalogue that may not be used.
    Closed,
}

/// The kind of a relation. Names beginning with `pg_` belong to the catalogue even without a
/// schema, because `pg_catalog` is searched first.
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

/// Whether a name is PostgreSQL's: the catalogue, temporary tables, TOAST, roles.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("pg_") || name == "information_schema"
}
