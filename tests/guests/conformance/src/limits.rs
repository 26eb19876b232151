//! The host's limits. The host under test allows results of 1 MiB and 1 KiB, statements of 64 KiB,
//! 100 parameters and 4 transactions.

use crate::tools::*;
use crate::{Case, ensure};

pub const CASES: &[Case] = &[
    (
        "result_over_the_limit_is_too_large",
        result_over_the_limit_is_too_large,
    ),
    (
        "value_over_the_limit_is_too_large",
        value_over_the_limit_is_too_large,
    ),
    (
        "statement_over_the_limit_is_invalid",
        statement_over_the_limit_is_invalid,
    ),
    (
        "parameters_over_the_limit_are_invalid",
        parameters_over_the_limit_are_invalid,
    ),
    (
        "transactions_over_the_limit_are_denied",
        transactions_over_the_limit_are_denied,
    ),
];

const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \
    100000) SELECT i FROM n";

fn result_over_the_limit_is_too_large() -> Result<(), String> {
    for _ in 0..3 {
        match query(NUMBERS, &[]) {
            Err(Error::TooLarge(limit)) => {
                ensure!(
                    limit == (1 << 20) + 1024,
                    "the limit is reported as {limit}"
                )
            }
            other => {
                return Err(format!(
                    "too-large was expected, not {:?}",
                    other.map(|rows| rows.rows.len())
                ));
            }
        }
        let after = one("SELECT 1 + 1", &[])?;
        ensure!(same(&after, &integer(2)), "{after:?}");
    }
    Ok(())
}

fn value_over_the_limit_is_too_large() -> Result<(), String> {
    run("CREATE TABLE big (body text)", &[])?;
    let part = text(&"x".repeat(900 << 10));
    run("INSERT INTO big VALUES ($1)", &[part])?;
    let found = rows("SELECT body FROM big", &[])?;
    ensure!(found.len() == 1, "one value within the limit");
    fails(
        query("SELECT body || body FROM big", &[]),
        "too-large",
        "twice as much",
    )?;
    run("DELETE FROM big", &[]).map(drop)
}

fn statement_over_the_limit_is_invalid() -> Result<(), String> {
    let long = format!("SELECT 1 /* {} */", " ".repeat(64 << 10));
    fails(query(&long, &[]), "invalid", "64 KiB of comment")
}

fn parameters_over_the_limit_are_invalid() -> Result<(), String> {
    let list = |count: usize| {
        (1..=count)
            .map(|number| format!("${number}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    run("CREATE TABLE ids (id bigint)", &[])?;
    let values = |count| vec![integer(1); count];
    let found = rows(
        &format!("SELECT id FROM ids WHERE id IN ({})", list(100)),
        &values(100),
    )?;
    ensure!(found.is_empty(), "{found:?}");
    fails(
        query(
            &format!("SELECT id FROM ids WHERE id IN ({})", list(101)),
            &values(101),
        ),
        "invalid",
        "101 parameters",
    )
}

fn transactions_over_the_limit_are_denied() -> Result<(), String> {
    let begin = || Transaction::begin(Isolation::ReadCommitted, true);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(begin().map_err(|error| format!("{error:?}"))?);
    }
    fails(begin().map(|_| ()), "denied", "a fifth transaction")?;
    held.pop();
    begin()
        .map(drop)
        .map_err(|error| format!("after one was dropped: {error:?}"))
}
