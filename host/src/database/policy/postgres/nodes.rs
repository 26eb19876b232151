//! The nodes and fields that a statement's tree may have, listed in `nodes.txt`. Any other is
//! denied.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use crate::database::failure;
use crate::database::types::Error;

/// The nodes that a statement may have, with their fields.
pub(super) fn nodes() -> &'static HashMap<&'static str, HashSet<&'static str>> {
    static NODES: OnceLock<HashMap<&'static str, HashSet<&'static str>>> = OnceLock::new();
    NODES.get_or_init(|| {
        let lines = include_str!("nodes.txt").lines();
        let parse = |line: &'static str| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.chain(["location"]).collect()))
        };
        lines
            .filter(|line| !line.starts_with('#'))
            .filter_map(parse)
            .collect()
    })
}

/// Where a node is in the statement, which determines how a relation's name is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// The relation is read.
    Source,
    /// The name is an alias that the statement defines.
    Alias,
    /// The relation is changed, locked or defined.
    Elsewhere,
}

/// The position of the nodes in a field.
pub(super) fn position_of(kind: &str, field: &str) -> Position {
    match (kind, field) {
        ("LockingClause", "lockedRels") => Position::Alias,
        (_, "fromClause" | "sourceRelation")
        | ("DeleteStmt", "usingClause")
        | ("JoinExpr", "larg" | "rarg")
        | ("RangeTableSample", "relation") => Position::Source,
        _ => Position::Elsewhere,
    }
}

/// The kind of node in a field for which the parser does not write the kind.
pub(super) fn structure(kind: &str, field: &str) -> Option<&'static str> {
    Some(match field {
        "into" => "IntoClause",
        "withClause" => "WithClause",
        "relation" | "rel" | "pktable" | "sequence" | "typevar" | "view" => "RangeVar",
        "alias" | "join_using_alias" => "Alias",
        "larg" | "rarg" => "SelectStmt",
        "typeName" | "returnType" => "TypeName",
        "over" => "WindowDef",
        "collClause" => "CollateClause",
        "onConflictClause" => "OnConflictClause",
        "infer" => "InferClause",
        "returningClause" => "ReturningClause",
        "search_clause" => "CTESearchClause",
        "cycle_clause" => "CTECycleClause",
        "partbound" | "bound" => "PartitionBoundSpec",
        "partspec" => "PartitionSpec",
        "output" => "JsonOutput",
        "returning" => "JsonReturning",
        "format" => "JsonFormat",
        "on_empty" | "on_error" => "JsonBehavior",
        "constructor" => "JsonAggConstructor",
        "pathspec" => "JsonTablePathSpec",
        "arg" if kind == "JsonObjectAgg" => "JsonKeyValue",
        "context_item" | "arg" | "value" | "val" | "expr" if kind.starts_with("Json") => {
            "JsonValueExpr"
        }
        _ => return None,
    })
}

pub(super) fn not_listed(kind: &str) -> Error {
    failure::denied(format!(
        "{kind}: a component's statement may not have this in it"
    ))
}

pub(super) fn field_not_listed(kind: &str, field: &str) -> Error {
    match (kind, field) {
        ("SelectStmt", "intoClause") => {
            failure::denied("SELECT INTO: make the table with CREATE TABLE")
        }
        _ => failure::denied(format!(
            "{kind} with {field}: a component's statement may not have this in it"
        )),
    }
}
