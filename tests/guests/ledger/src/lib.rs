//! Another service than that of users: accounts, and transfers between them in a transaction. The
//! test kit is tested with it, which must find what is wrong with two of its routes.
//!
//! | request | response |
//! |---|---|
//! | `GET /accounts/NAME` | 200 and the balance, or 404 |
//! | `POST /transfer/FROM/TO/CENTS` | 204, 404 without such accounts, 409 if there is too little |
//! | `POST /careless-transfer/…` | the same without a transaction, which may do half of it |
//! | `POST /optimistic-transfer/…` | the same, but 204 too when the COMMIT is in doubt |
//!
//! If the database fails, it is 503, 504 after a timeout, or 500 for what an operator must mend.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:ledger;
            world ledger {
                import usher:database/database@0.2.0;
                export wasi:http/incoming-handler@0.2.12;
                export usher:service/migrations@0.2.0;
            }
        ",
        world: "usher:ledger/ledger",
        generate_all,
    });
    use super::Ledger;
    export!(Ledger);
}

#[path = "../../respond.rs"]
mod respond;

use bindings::exports::usher::service::migrations;
use bindings::exports::wasi::http::incoming_handler;
use bindings::usher::database::database::{Isolation, Transaction, execute, query};
use bindings::usher::database::types::{Error, RefusalKind, Value};
use bindings::wasi::http::types::{IncomingRequest, ResponseOutparam};
use respond::respond;

struct Ledger;

const ACCOUNTS: &str = "CREATE TABLE accounts (name text PRIMARY KEY, \
    cents bigint NOT NULL CONSTRAINT accounts_cents_check CHECK (cents >= 0))";
const TAKE: &str = "UPDATE accounts SET cents = cents - $2 WHERE name = $1";
const GIVE: &str = "UPDATE accounts SET cents = cents + $2 WHERE name = $1";
const BALANCE: &str = "SELECT cents FROM accounts WHERE name = $1";

impl migrations::Guest for Ledger {
    fn apply() -> Result<Vec<migrations::Migration>, migrations::Error> {
        let failed = |error: Error| migrations::Error::Unavailable(format!("{error:?}"));
        let transaction = Transaction::begin(Isolation::Serializable, false).map_err(failed)?;
        transaction.execute(ACCOUNTS, &[]).map_err(failed)?;
        Transaction::commit(transaction).map_err(failed)?;
        Ok(vec![migrations::Migration {
            version: 1,
            name: "0001_accounts".into(),
        }])
    }
}

impl incoming_handler::Guest for Ledger {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (status, text) = match parts[..] {
            ["accounts", name] => balance(name),
            ["transfer", from, to, cents] => (transfer(from, to, cents, false), String::new()),
            ["optimistic-transfer", from, to, cents] => {
                (transfer(from, to, cents, true), String::new())
            }
            ["careless-transfer", from, to, cents] => (careless(from, to, cents), String::new()),
            _ => (404, String::new()),
        };
        respond(out, status, &text);
    }
}

fn balance(name: &str) -> (u16, String) {
    match query(BALANCE, &[Value::Text(name.into())]) {
        Ok(found) => match found.rows.first().map(Vec::as_slice) {
            Some([Value::Integer(cents)]) => (200, cents.to_string()),
            _ => (404, String::new()),
        },
        Err(error) => (status(&error), String::new()),
    }
}

fn params(name: &str, cents: &str) -> [Value; 2] {
    let cents = cents.parse().unwrap_or(0);
    [Value::Text(name.into()), Value::Integer(cents)]
}

fn transfer(from: &str, to: &str, cents: &str, is_optimistic: bool) -> u16 {
    let run = || {
        let transaction = Transaction::begin(Isolation::ReadCommitted, false)?;
        let taken = transaction.execute(TAKE, &params(from, cents))?;
        let given = transaction.execute(GIVE, &params(to, cents))?;
        if taken + given < 2 {
            Transaction::rollback(transaction)?;
            return Ok(404);
        }
        match Transaction::commit(transaction) {
            Err(Error::InDoubt) if is_optimistic => Ok(204),
            ended => ended.map(|()| 204),
        }
    };
    run().unwrap_or_else(|error| status(&error))
}

fn careless(from: &str, to: &str, cents: &str) -> u16 {
    let run = || {
        execute(TAKE, &params(from, cents))?;
        execute(GIVE, &params(to, cents))
    };
    run().map_or_else(|error| status(&error), |_| 204)
}

fn status(error: &Error) -> u16 {
    match error {
        Error::Unavailable(_) | Error::Overloaded | Error::InDoubt | Error::Denied(_) => 503,
        Error::Timeout => 504,
        Error::Refused(refusal) => match refusal.kind {
            RefusalKind::SerializationFailure => 503,
            RefusalKind::CheckViolation => 409,
            _ => 500,
        },
        Error::Invalid(_) | Error::TooLarge(_) => 500,
    }
}
