//! The policy of PostgreSQL, which checks a statement's tree.
//!
//! | module | contents |
//! |---|---|
//! | `dialect` | its lexical structure |
//! | `engine` | the settings of its parser's engine |
//! | `grammar` | PostgreSQL's own parser, in a sandbox |
//! | `tree` | the parsed statement, walked without recursion |
//! | `catalog` | functions and relations of `pg_catalog` that may be used |
//! | `nodes` | nodes and fields that a statement may have |
//! | `rules` | the values that these fields may have |
//! | `trigger` | the only function that may be created |
//! | `walk` | the check of all nodes, and the statement's effect |
//! | `check` | the check of one statement |
//! Everything is an allow-list: a node, field, function, catalogue relation or option that is not
//! listed is denied.

mod catalog;
mod check;
mod dialect;
mod engine;
mod grammar;
mod nodes;
mod rules;
#[cfg(test)]
mod tests;
mod tree;
mod trigger;
mod walk;

pub(super) use check::check;
