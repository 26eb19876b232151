//! What a component may say to PostgreSQL, decided by the statement's tree.
//!
//! | module | what lives there |
//! |---|---|
//! | `dialect` | its lexical structure |
//! | `engine` | the settings of its parser's engine |
//! | `grammar` | PostgreSQL's own parser, in a sandbox |
//! | `tree` | its result, walked without recursion |
//! | `catalog` | functions and relations of `pg_catalog` that may be used |
//! | `rules` | nodes and fields that a statement may have, and what their values may be |
//! | `trigger` | the one kind of function that may be created |
//! | `check` | the way of one statement |
//!
//! Everything is an allow-list: a node, field, function, catalogue relation or option that nobody has listed is refused.

mod catalog;
mod check;
mod dialect;
mod engine;
mod grammar;
mod rules;
#[cfg(test)]
mod tests;
mod tree;
mod trigger;

pub(super) use check::check;
