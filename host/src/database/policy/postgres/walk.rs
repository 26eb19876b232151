//! What a statement's tree may consist of, and what its effect is.
//!
//! Every node is visited, whatever it stands in. `nodes.txt` lists the nodes and their fields; here is what depends on a value:
//! which function, which relation and whether it is read or changed, which kind of object.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::catalog::{self, Function, Relation};
use super::tree::{At, Tree};
use super::{grammar, trigger};
use crate::database::config::Allowed;
use crate::database::failure;
use crate::database::statement::{Caller, Effect};
use crate::database::types::Error;

/// The nodes that a statement may have, with their fields.
fn nodes() -> &'static HashMap<&'static str, HashSet<&'static str>> {
    static NODES: OnceLock<HashMap<&'static str, HashSet<&'static str>>> = OnceLock::new();
    NODES.get_or_init(|| {
        let lines = include_str!("nodes.txt").lines();
        let node = |line: &'static str| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.chain(["location"]).collect()))
        };
        lines
            .filter(|line| !line.starts_with('#'))
            .filter_map(node)
            .collect()
    })
}

/// Decides about the one statement of a tree.
pub(super) fn check(tree: &Tree, caller: Caller, allowed: &Allowed) -> Result<Effect, Error> {
    let statements = tree.root().get("stmts");
    let mut statements = statements.into_iter().flat_map(At::children);
    let (Some(statement), None) = (statements.next(), statements.next()) else {
        return Err(failure::invalid(
            "more than one statement, or none: send them one by one, in a transaction where they belong together",
        ));
    };
    let (kind, fields) = statement
        .get("stmt")
        .and_then(At::node)
        .ok_or_else(|| failure::invalid("the statement is empty"))?;
    let mut walk = Walk::new(caller, allowed);
    walk.all(kind, fields)?;
    walk.catalogue_is_only_read()?;
    Ok(walk.effect(kind, fields))
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A relation here is read.
    Source,
    /// A name here is one that the statement has given to a source itself.
    Alias,
    /// A relation here is changed, locked or defined.
    Elsewhere,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what was found on the way, each by itself"
)]
struct Walk<'a> {
    caller: Caller,
    allowed: &'a Allowed,
    /// It has an `INSERT`, `UPDATE`, `DELETE` or `MERGE` somewhere, or locks rows.
    writes: bool,
    /// It calls a function that may write.
    may_write: bool,
    locks: bool,
    reads_catalogue: bool,
    /// What it reads is read again later, by whoever reads a view.
    defines_view: bool,
}

impl<'a> Walk<'a> {
    fn new(caller: Caller, allowed: &'a Allowed) -> Self {
        Self {
            caller,
            allowed,
            writes: false,
            may_write: false,
            locks: false,
            reads_catalogue: false,
            defines_view: false,
        }
    }

    /// Visits a node and everything in it.
    fn all(&mut self, kind: &str, fields: At<'_>) -> Result<(), Error> {
        let known = nodes();
        let mut left = vec![(kind, fields, Place::Elsewhere)];
        while let Some((kind, fields, place)) = left.pop() {
            let Some(allowed) = known.get(kind) else {
                return Err(not_listed(kind));
            };
            self.node(kind, fields, place)?;
            // A constant has nothing in it, and a function's fields have been looked at.
            if matches!(kind, "A_Const" | "CreateFunctionStmt") {
                continue;
            }
            for field in fields.children() {
                let key = field.key().unwrap_or_default();
                if !allowed.contains(key) {
                    return Err(field_not_listed(kind, key));
                }
                let place = place_of(kind, key);
                if field.is_list() {
                    for element in field.children() {
                        match element.node() {
                            Some((node, fields)) => left.push((node, fields, place)),
                            // An empty place in a list.
                            None if element.is_empty() => {}
                            None => return Err(field_not_listed(kind, key)),
                        }
                    }
                } else if let Some((node, fields)) = field.node() {
                    left.push((node, fields, place));
                } else if field.is_object() {
                    let node = structure(kind, key).ok_or_else(|| field_not_listed(kind, key))?;
                    left.push((node, field, Place::Elsewhere));
                }
            }
        }
        Ok(())
    }

    /// What depends on a node's values.
    fn node(&mut self, kind: &str, fields: At<'_>, place: Place) -> Result<(), Error> {
        let list = |key| fields.get(key).into_iter().flat_map(At::children);
        match kind {
            "SelectStmt" if list("lockingClause").next().is_some() => {
                self.writes = true;
                self.locks = true;
            }
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.writes = true,
            "RangeVar" => self.relation(fields, place)?,
            "FuncCall" => self.function(fields)?,
            "A_Expr" => operator(fields.get("name"))?,
            "SubLink" => operator(fields.get("operName"))?,
            "SortBy" => operator(fields.get("useOp"))?,
            "TypeName" => type_name(fields.get("names"))?,
            "SQLValueFunction" => {
                let op = fields.field("op").unwrap_or_default();
                if matches!(
                    op,
                    "SVFOP_CURRENT_ROLE"
                        | "SVFOP_CURRENT_USER"
                        | "SVFOP_USER"
                        | "SVFOP_SESSION_USER"
                        | "SVFOP_CURRENT_CATALOG"
                ) && self.caller == Caller::Request
                {
                    return Err(failure::denied(
                        "the names of the role and of the database do not cross into a component",
                    ));
                }
            }
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
                self.defines_view |= fields.field("objtype") == Some("OBJECT_MATVIEW");
            }
            "ViewStmt" => self.defines_view = true,
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
            "CreateFunctionStmt" => self.trigger_function(fields)?,
            _ => {}
        }
        Ok(())
    }

    fn relation(&mut self, fields: At<'_>, place: Place) -> Result<(), Error> {
        if fields.field("relpersistence") == Some("t") {
            return Err(failure::denied(
                "temporary tables outlive the request in its session",
            ));
        }
        value(fields, "relpersistence", &["p"])?;
        if place == Place::Alias {
            return Ok(());
        }
        let name = fields.field("relname").unwrap_or_default();
        let schema = fields.field("schemaname");
        match (catalog::relation(schema, name), place) {
            (Relation::Ordinary, _) => Ok(()),
            (Relation::ReadableForMigrations, Place::Source) if self.caller == Caller::Request => {
                Err(not_of_the_schema(schema, name))
            }
            (Relation::Readable | Relation::ReadableForMigrations, Place::Source) => {
                self.reads_catalogue = true;
                Ok(())
            }
            _ => Err(failure::denied(format!(
                "{}{name}: a component reads what describes its schema, and nothing else of the catalogue",
                schema
                    .map(|schema| format!("{schema}."))
                    .unwrap_or_default()
            ))),
        }
    }

    fn function(&mut self, fields: At<'_>) -> Result<(), Error> {
        let names = fields.get("funcname").map(At::names).unwrap_or_default();
        let known = match names.as_slice() {
            [Some(name)] | [Some("pg_catalog"), Some(name)] => catalog::function(name),
            _ => None,
        };
        match known {
            Some(Function::Reads) => Ok(()),
            Some(Function::ReadsForMigrations) if self.caller == Caller::Migrations => Ok(()),
            Some(Function::Writes) => {
                self.may_write = true;
                Ok(())
            }
            Some(Function::ReadsForMigrations) | None => {
                let names: Vec<_> = names.into_iter().map(Option::unwrap_or_default).collect();
                let name = names.join(".");
                if !self.allowed.has(&name) {
                    return Err(failure::denied(format!(
                        "{name}() is not among the functions that a component may call; \
                         the operator can allow it with --database-allow-function {name}"
                    )));
                }
                self.may_write = true;
                Ok(())
            }
        }
    }

    fn trigger_function(&mut self, fields: At<'_>) -> Result<(), Error> {
        let shape = || {
            failure::denied(
                "CREATE FUNCTION: code inside the database is beyond the host's policy, but for a trigger in plpgsql \
                 without parameters or options that sets columns of NEW and returns it",
            )
        };
        let known = nodes();
        let allowed_fields = known.get("CreateFunctionStmt").ok_or_else(shape)?;
        let mut keys = fields.children().filter_map(At::key);
        if !keys.all(|key| allowed_fields.contains(key)) {
            return Err(shape());
        }
        let names = fields.get("funcname").map(At::names).unwrap_or_default();
        let returns = fields.get("returnType").and_then(|ty| ty.get("names"));
        let returns = returns.map(At::names).unwrap_or_default();
        if names.len() != 1 || !matches!(returns.last(), Some(Some("trigger"))) || returns.len() > 2
        {
            return Err(shape());
        }
        not_reserved(fields.get("funcname"))?;
        let (mut language, mut body) = (None, None);
        for option in fields.get("options").into_iter().flat_map(At::children) {
            let (_, option) = option.node().ok_or_else(shape)?;
            let argument = option.get("arg").and_then(At::node);
            match (option.field("defname"), argument) {
                (Some("language"), Some(("String", name))) => language = name.field("sval"),
                (Some("as"), Some(("List", list))) => {
                    let names = list.get("items").map(At::names).unwrap_or_default();
                    let [Some(only)] = names.as_slice() else {
                        return Err(shape());
                    };
                    body = Some(*only);
                }
                _ => return Err(shape()),
            }
        }
        let (Some("plpgsql"), Some(body)) = (language, body) else {
            return Err(shape());
        };
        for expression in trigger::expressions(body).ok_or_else(shape)? {
            self.expression(expression)?;
        }
        Ok(())
    }

    /// Checks an expression as PL/pgSQL will evaluate it.
    fn expression(&mut self, expression: &str) -> Result<(), Error> {
        let unusable = || {
            failure::denied(format!(
                "a trigger's expressions stand for themselves: `{expression}` does not"
            ))
        };
        let tree = grammar::parse(&format!("SELECT {expression}")).map_err(|_| unusable())?;
        let mut statements = tree
            .root()
            .get("stmts")
            .into_iter()
            .flat_map(At::children)
            .filter_map(|statement| statement.get("stmt")?.node());
        let (Some(("SelectStmt", fields)), None) = (statements.next(), statements.next()) else {
            return Err(unusable());
        };
        let mut keys = fields.children().filter_map(At::key);
        let targets = fields.get("targetList").into_iter().flat_map(At::children);
        if !keys.all(|key| matches!(key, "targetList" | "limitOption" | "op"))
            || targets.count() != 1
        {
            return Err(unusable());
        }
        self.defines_view = true;
        self.all("SelectStmt", fields)
    }

    fn catalogue_is_only_read(&self) -> Result<(), Error> {
        if self.reads_catalogue && (self.locks || self.defines_view) {
            return Err(failure::denied(
                "the catalogue is read by queries, and not by views, triggers, or with locks",
            ));
        }
        Ok(())
    }

    fn effect(&self, kind: &str, fields: At<'_>) -> Effect {
        match kind {
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" if fields.get("withClause").is_none() => {
                Effect::Changes
            }
            "SelectStmt" if self.writes => Effect::Writes,
            "SelectStmt" if self.may_write => Effect::MayWrite,
            "SelectStmt" => Effect::Reads,
            "ExplainStmt" => {
                // `ANALYZE` runs it. `(ANALYZE false)` is taken for the same.
                let options = fields.get("options").into_iter().flat_map(At::children);
                let mut options = options.filter_map(|option| option.node()?.1.field("defname"));
                match fields.get("query").and_then(At::node) {
                    Some((kind, inner)) if options.any(|name| name == "analyze") => {
                        match self.effect(kind, inner) {
                            // It gives a plan in place of what it changed, and is not for a group of changes.
                            Effect::Changes => Effect::Writes,
                            effect => effect,
                        }
                    }
                    _ => Effect::Reads,
                }
            }
            _ => Effect::Writes,
        }
    }
}

/// The subcommands of ALTER TABLE that concern the table alone, and neither its owner nor where it is stored.
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

/// What may be dropped, renamed, moved and commented on: what belongs to a schema and holds no code.
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

fn place_of(kind: &str, field: &str) -> Place {
    match (kind, field) {
        ("LockingClause", "lockedRels") => Place::Alias,
        (_, "fromClause" | "sourceRelation")
        | ("DeleteStmt", "usingClause")
        | ("JoinExpr", "larg" | "rarg")
        | ("RangeTableSample", "relation") => Place::Source,
        _ => Place::Elsewhere,
    }
}

/// The kind of a field that the parser writes without it, since it can be no other.
fn structure(kind: &str, field: &str) -> Option<&'static str> {
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

fn not_of_the_schema(schema: Option<&str>, name: &str) -> Error {
    failure::denied(format!(
        "{}{name}: a component reads what describes its schema, and nothing else of the catalogue",
        schema
            .map(|schema| format!("{schema}."))
            .unwrap_or_default()
    ))
}

fn not_listed(kind: &str) -> Error {
    failure::denied(format!(
        "{kind}: a component's statement may not have this in it"
    ))
}

fn field_not_listed(kind: &str, field: &str) -> Error {
    match (kind, field) {
        ("SelectStmt", "intoClause") => {
            failure::denied("SELECT INTO: make the table with CREATE TABLE")
        }
        _ => failure::denied(format!(
            "{kind} with {field}: a component's statement may not have this in it"
        )),
    }
}

/// That a field, where it is there, has one of these values.
fn value(fields: At<'_>, field: &str, listed: &[&str]) -> Result<(), Error> {
    match fields.get(field) {
        None => Ok(()),
        Some(at) if at.text().is_some_and(|text| listed.contains(&text)) => Ok(()),
        Some(at) => Err(failure::denied(format!(
            "{}: a component's statement may not say this",
            at.text().unwrap_or(field)
        ))),
    }
}

/// That options have these names.
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

/// That an operator is named as itself, or as one of `pg_catalog`.
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

/// That no name in it belongs to PostgreSQL.
fn not_reserved(at: Option<At<'_>>) -> Result<(), Error> {
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
