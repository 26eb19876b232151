//! Walks a statement's tree: checks each node, and determines the statement's effect.
//!
//! Every node is visited wherever it is. The walk checks what depends on the caller and on the rest
//! of the statement: functions, relations, and whether the catalogue is only read.

use super::catalog::{self, Function, Relation};
use super::nodes::{Position, field_not_listed, nodes, not_listed, position_of, structure};
use super::tree::{At, Tree};
use super::{grammar, rules, trigger};
use crate::database::config::Allowed;
use crate::database::failure;
use crate::database::statement::{Caller, Effect};
use crate::database::types::Error;

/// Checks the statement of a tree.
pub(super) fn check(tree: &Tree, caller: Caller, allowed: &Allowed) -> Result<Effect, Error> {
    let statements = tree.root().get("stmts");
    let mut statements = statements.into_iter().flat_map(At::children);
    let (Some(statement), None) = (statements.next(), statements.next()) else {
        return Err(failure::invalid(
            "more than one statement, or none: send them one by one, \
             in a transaction where they belong together",
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

#[expect(
    clippy::struct_excessive_bools,
    reason = "independent findings about one statement"
)]
struct Walk<'a> {
    caller: Caller,
    allowed: &'a Allowed,
    /// The statement contains `INSERT`, `UPDATE`, `DELETE` or `MERGE`, or locks rows.
    writes: bool,
    /// It calls a function that may write.
    may_write: bool,
    locks: bool,
    reads_catalogue: bool,
    /// It defines a view or a trigger, which other statements use later.
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

    /// Visits a node and all nodes below it.
    fn all(&mut self, kind: &str, fields: At<'_>) -> Result<(), Error> {
        let known = nodes();
        let mut pending = vec![(kind, fields, Position::Elsewhere)];
        while let Some((kind, fields, position)) = pending.pop() {
            let Some(allowed) = known.get(kind) else {
                return Err(not_listed(kind));
            };
            rules::check(kind, fields)?;
            self.node(kind, fields, position)?;
            // A constant contains no nodes, and `node` has checked a function.
            if matches!(kind, "A_Const" | "CreateFunctionStmt") {
                continue;
            }
            for field in fields.children() {
                let key = field.key().unwrap_or_default();
                if !allowed.contains(key) {
                    return Err(field_not_listed(kind, key));
                }
                let position = position_of(kind, key);
                if field.is_list() {
                    for element in field.children() {
                        match element.node() {
                            Some((node, fields)) => pending.push((node, fields, position)),
                            // An empty element.
                            None if element.is_empty() => {}
                            None => return Err(field_not_listed(kind, key)),
                        }
                    }
                } else if let Some((node, fields)) = field.node() {
                    pending.push((node, fields, position));
                } else if field.is_object() {
                    let node = structure(kind, key).ok_or_else(|| field_not_listed(kind, key))?;
                    pending.push((node, field, Position::Elsewhere));
                }
            }
        }
        Ok(())
    }

    /// Checks what depends on the caller, and notes what a node does.
    fn node(&mut self, kind: &str, fields: At<'_>, position: Position) -> Result<(), Error> {
        match kind {
            "SelectStmt" if has_elements(fields, "lockingClause") => {
                self.writes = true;
                self.locks = true;
            }
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.writes = true,
            "RangeVar" => self.relation(fields, position)?,
            "FuncCall" => self.function(fields)?,
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
            "CreateTableAsStmt" => {
                self.defines_view |= fields.field("objtype") == Some("OBJECT_MATVIEW");
            }
            "ViewStmt" => self.defines_view = true,
            "CreateFunctionStmt" => {
                for expression in trigger::expressions(trigger::body(fields)?)? {
                    self.expression(expression)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn relation(&mut self, fields: At<'_>, position: Position) -> Result<(), Error> {
        if fields.field("relpersistence") == Some("t") {
            return Err(failure::denied(
                "temporary tables outlive the request in its session",
            ));
        }
        rules::value(fields, "relpersistence", &["p"])?;
        if position == Position::Alias {
            return Ok(());
        }
        let name = fields.field("relname").unwrap_or_default();
        let schema = fields.field("schemaname");
        match (catalog::relation(schema, name), position) {
            (Relation::Ordinary, _) => Ok(()),
            (Relation::ReadableForMigrations, Position::Source)
                if self.caller == Caller::Request =>
            {
                Err(not_of_the_schema(schema, name))
            }
            (Relation::Readable | Relation::ReadableForMigrations, Position::Source) => {
                self.reads_catalogue = true;
                Ok(())
            }
            _ => Err(not_of_the_schema(schema, name)),
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
                // `ANALYZE` runs the query. `(ANALYZE false)` counts as `ANALYZE`.
                let options = fields.get("options").into_iter().flat_map(At::children);
                let mut options = options.filter_map(|option| option.node()?.1.field("defname"));
                match fields.get("query").and_then(At::node) {
                    Some((kind, inner)) if options.any(|name| name == "analyze") => {
                        match self.effect(kind, inner) {
                            // EXPLAIN returns a plan, so it is not run in a group commit.
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

fn has_elements(fields: At<'_>, list: &str) -> bool {
    let mut elements = fields.get(list).into_iter().flat_map(At::children);
    elements.next().is_some()
}

fn not_of_the_schema(schema: Option<&str>, name: &str) -> Error {
    failure::denied(format!(
        "{}{name}: a component reads what describes its schema, and nothing else of the catalogue",
        schema
            .map(|schema| format!("{schema}."))
            .unwrap_or_default()
    ))
}
