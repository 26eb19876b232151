//! The values that the fields of a statement's nodes may have: kinds of objects, options,
//! operators, types and names. A value that is not listed is denied.

use super::catalog;
use super::tree::At;
use crate::database::failure;
use crate::database::types::Error;

/// Checks the values of a node's fields.
pub(super) fn check(kind: &str, fields: At<'_>) -> Result<(), Error> {
    let list = |key| fields.get(key).into_iter().flat_map(At::children);
    match kind {
        "A_Expr" => operator(fields.get("name"))?,
        "SubLink" => operator(fields.get("operName"))?,
        "SortBy" => operator(fields.get("useOp"))?,
        "TypeName" => type_name(fields.get("names"))?,
        "RangeTableSample" => {
            let names = fields.get("method").map(At::names).unwrap_or_default();
            if !matches!(names.last(), Some(Some("bernoulli" | "system"))) || names.len() > 2 {
                return Err(failure::denied("TABLESAMPLE takes BERNOULLI or SYSTEM"));
            }
        }
        "ExplainStmt" => {
            let query = fields.get("query").and_then(At::node);
            let inner = query.map(|(kind, _)| kind).unwrap_or_default();
            if !matches!(
                inner,
                "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt"
            ) {
                return Err(failure::denied("EXPLAIN takes a query or a change of rows"));
            }
            one_of(
                list("options"),
                "EXPLAIN",
                &[
                    "analyze",
                    "buffers",
                    "costs",
                    "format",
                    "generic_plan",
                    "memory",
                    "serialize",
                    "summary",
                    "timing",
                    "verbose",
                    "wal",
                ],
            )?;
        }
        "VacuumStmt" => {
            if fields.has("is_vacuumcmd") {
                return Err(failure::denied(
                    "VACUUM is the host's to run, not a component's",
                ));
            }
            one_of(list("options"), "ANALYZE", &["verbose", "skip_locked"])?;
        }
        "CreateStmt" => {
            value(fields, "oncommit", &["ONCOMMIT_NOOP"])?;
            value(fields, "accessMethod", &["heap"])?;
        }
        "IntoClause" => {
            value(fields, "onCommit", &["ONCOMMIT_NOOP"])?;
            value(fields, "accessMethod", &["heap"])?;
        }
        "CreateTableAsStmt" => {
            value(fields, "objtype", &["OBJECT_TABLE", "OBJECT_MATVIEW"])?;
        }
        "IndexStmt" => value(
            fields,
            "accessMethod",
            &["btree", "hash", "gin", "gist", "spgist", "brin"],
        )?,
        "Constraint" => value(
            fields,
            "access_method",
            &["btree", "hash", "gin", "gist", "spgist", "brin"],
        )?,
        "AlterTableStmt" => value(
            fields,
            "objtype",
            &[
                "OBJECT_TABLE",
                "OBJECT_INDEX",
                "OBJECT_SEQUENCE",
                "OBJECT_VIEW",
                "OBJECT_MATVIEW",
                "OBJECT_TYPE",
            ],
        )?,
        "AlterTableCmd" => value(fields, "subtype", ALTERATIONS)?,
        "ReindexStmt" => value(
            fields,
            "kind",
            &["REINDEX_OBJECT_INDEX", "REINDEX_OBJECT_TABLE"],
        )?,
        "DefineStmt" => {
            value(fields, "kind", &["OBJECT_COLLATION"])?;
            not_reserved(fields.get("defnames"))?;
        }
        "CreateEnumStmt" | "AlterEnumStmt" | "AlterDomainStmt" => {
            not_reserved(fields.get("typeName"))?;
        }
        "CreateDomainStmt" => not_reserved(fields.get("domainname"))?,
        "CreateStatsStmt" | "AlterStatsStmt" => not_reserved(fields.get("defnames"))?,
        "CreateSchemaStmt" => not_reserved(fields.get("schemaname"))?,
        "DropStmt" => {
            value(fields, "removeType", OBJECTS)?;
            not_reserved(fields.get("objects"))?;
        }
        "CommentStmt" => {
            value(fields, "objtype", OBJECTS)?;
            not_reserved(fields.get("object"))?;
        }
        "RenameStmt" => {
            value(fields, "renameType", OBJECTS)?;
            not_reserved(fields.get("object"))?;
            not_reserved(fields.get("newname"))?;
        }
        "AlterObjectSchemaStmt" => {
            value(fields, "objectType", OBJECTS)?;
            not_reserved(fields.get("object"))?;
            not_reserved(fields.get("newschema"))?;
        }
        "CreateTrigStmt" => {
            let names = fields.get("funcname").map(At::names).unwrap_or_default();
            if names.len() != 1 || !fields.has("row") {
                return Err(failure::denied(
                    "a trigger runs FOR EACH ROW a function that is named without a schema",
                ));
            }
        }
        _ => {}
    }
    Ok(())
}

/// The subcommands of ALTER TABLE that concern the table alone, and neither its owner nor where it
/// is stored.
const ALTERATIONS: &[&str] = &[
    "AT_AddColumn",
    "AT_AddConstraint",
    "AT_AddIdentity",
    "AT_AddInherit",
    "AT_AlterColumnType",
    "AT_AlterConstraint",
    "AT_AttachPartition",
    "AT_ClusterOn",
    "AT_ColumnDefault",
    "AT_DetachPartition",
    "AT_DetachPartitionFinalize",
    "AT_DisableRowSecurity",
    "AT_DisableTrig",
    "AT_DropCluster",
    "AT_DropColumn",
    "AT_DropConstraint",
    "AT_DropExpression",
    "AT_DropIdentity",
    "AT_DropInherit",
    "AT_DropNotNull",
    "AT_EnableRowSecurity",
    "AT_EnableTrig",
    "AT_ForceRowSecurity",
    "AT_NoForceRowSecurity",
    "AT_ReplicaIdentity",
    "AT_ResetOptions",
    "AT_ResetRelOptions",
    "AT_SetCompression",
    "AT_SetExpression",
    "AT_SetIdentity",
    "AT_SetNotNull",
    "AT_SetOptions",
    "AT_SetRelOptions",
    "AT_SetStatistics",
    "AT_SetStorage",
    "AT_ValidateConstraint",
];

/// What may be dropped, renamed, moved and commented on: what belongs to a schema and holds no
/// code.
const OBJECTS: &[&str] = &[
    "OBJECT_ATTRIBUTE",
    "OBJECT_COLLATION",
    "OBJECT_COLUMN",
    "OBJECT_DOMAIN",
    "OBJECT_DOMCONSTRAINT",
    "OBJECT_INDEX",
    "OBJECT_MATVIEW",
    "OBJECT_SCHEMA",
    "OBJECT_SEQUENCE",
    "OBJECT_STATISTIC_EXT",
    "OBJECT_TABCONSTRAINT",
    "OBJECT_TABLE",
    "OBJECT_TRIGGER",
    "OBJECT_TYPE",
    "OBJECT_VIEW",
];

/// Checks that a field, if present, has one of these values.
pub(super) fn value(fields: At<'_>, field: &str, listed: &[&str]) -> Result<(), Error> {
    match fields.get(field) {
        None => Ok(()),
        Some(at) if at.text().is_some_and(|text| listed.contains(&text)) => Ok(()),
        Some(at) => Err(failure::denied(format!(
            "{}: a component's statement may not say this",
            at.text().unwrap_or(field)
        ))),
    }
}

/// Checks that each option has one of these names.
fn one_of<'t>(
    options: impl Iterator<Item = At<'t>>,
    statement: &str,
    listed: &[&str],
) -> Result<(), Error> {
    for option in options {
        let name = option
            .node()
            .and_then(|(_, fields)| fields.field("defname"));
        if !name.is_some_and(|name| listed.contains(&name)) {
            return Err(failure::denied(format!(
                "{statement} ({}) is not for a component",
                name.unwrap_or("?")
            )));
        }
    }
    Ok(())
}

/// Checks that an operator is named without a schema or in `pg_catalog`.
fn operator(names: Option<At<'_>>) -> Result<(), Error> {
    let names = names.map(At::names).unwrap_or_default();
    match names.as_slice() {
        [] | [Some(_)] | [Some("pg_catalog"), Some(_)] => Ok(()),
        _ => Err(failure::denied(
            "an operator of a named schema: write the operator alone",
        )),
    }
}

fn type_name(names: Option<At<'_>>) -> Result<(), Error> {
    let names = names.map(At::names).unwrap_or_default();
    match names.as_slice() {
        [Some("pg_catalog"), Some(name)] | [Some(name)]
            if !matches!(*name, "regrole" | "aclitem")
                && (!catalog::is_reserved(name) || matches!(*name, "pg_lsn" | "pg_snapshot")) =>
        {
            Ok(())
        }
        [Some(schema), Some(name)]
            if !catalog::is_reserved(schema) && !catalog::is_reserved(name) =>
        {
            Ok(())
        }
        _ => Err(failure::denied(
            "a type that shows roles or rows of the catalogue, or a type of another database",
        )),
    }
}

/// Checks that no name below `at` belongs to PostgreSQL.
pub(super) fn not_reserved(at: Option<At<'_>>) -> Result<(), Error> {
    let reserved = at
        .into_iter()
        .flat_map(At::texts)
        .find(|name| catalog::is_reserved(name));
    match reserved {
        Some(name) => Err(failure::denied(format!(
            "{name} belongs to PostgreSQL, not to a component"
        ))),
        None => Ok(()),
    }
}
