//! The component: what it declares and exports. The typed calls are compiled for WebAssembly only.

use crate::api::ndjson::NdjsonList;
use crate::api::routes::{Operation, ROUTES};
use crate::api::{self, Answer, RequestHeader};
use crate::users::adoption::{self, Adoption};
use crate::users::{sql, steps};
use usher_sdk::database::{Database, Dialect};
use usher_sdk::declared::Declared;
use usher_sdk::http::Request;
use usher_sdk::migrations::Migrations;
use usher_sdk::routing::Route;
use usher_sdk::service::Service;

#[cfg(target_arch = "wasm32")]
mod typed;

/// The user service.
#[derive(Debug)]
pub struct Users;

impl Service for Users {
    type Header = RequestHeader;
    type Operation = Operation;
    type Streamed = NdjsonList;
    type Adoption = Adoption;

    const ROUTES: &'static [Route<Operation>] = ROUTES;
    const STATEMENTS: &'static [Declared] = &[
        Declared::service(sql::STATEMENTS),
        Declared::service(sql::postgres::STATEMENTS).on(Dialect::Postgres),
        Declared::service(sql::sqlite::STATEMENTS).on(Dialect::Sqlite),
        Declared::migrations(adoption::postgres::sql::STATEMENTS).on(Dialect::Postgres),
        Declared::migrations(adoption::sqlite::sql::STATEMENTS).on(Dialect::Sqlite),
    ];
    const MIGRATIONS: Migrations = steps::MIGRATIONS;

    #[inline]
    fn handle(request: &impl Request<RequestHeader>, database: &impl Database) -> Answer {
        api::handle(request, database)
    }
}

usher_sdk::export!(Users);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Users;
    use usher_sdk::declared;
    use usher_sdk::service::Service as _;

    #[test]
    fn each_statement_is_listed_once_for_its_purpose_and_dialect() {
        let mut seen = BTreeSet::new();
        for statement in declared::all(Users::STATEMENTS, Users::MIGRATIONS) {
            let key = format!(
                "{:?} {:?} {}",
                statement.purpose, statement.dialect, statement.text
            );
            assert!(seen.insert(key), "{} is listed twice", statement.name);
            assert!(
                !statement.text.trim().is_empty() && !statement.text.trim_end().ends_with(';'),
                "{} is no single statement",
                statement.name
            );
        }
    }
}
