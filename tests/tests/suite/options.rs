//! Limits on the command line, observed by the component in the program as users start it, and
//! metrics.

use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::Usher;

use crate::conformance::SUITE;
use crate::databases::{ALL, Kind};
use crate::startup::{send_request, usher};

/// The program with the conformance suite as its component.
pub(crate) fn suite(scratch: &Scratch, url: &str) -> Usher {
    std::fs::write(scratch.path().join("suite.wasm"), SUITE).expect("a file");
    usher(scratch)
        .args(["--component", "suite.wasm", "--workers", "1"])
        .args(["--database", url])
}

/// Runs a case; returns its error, if any.
async fn case(address: &str, name: &str) -> Option<String> {
    let answer = send_request(address, Request::new("POST", &format!("/{name}"))).await;
    assert!(
        matches!(answer.status, 200 | 500),
        "{name}: {} {}",
        answer.status,
        answer.text()
    );
    (answer.status == 500).then(|| answer.text())
}

pub(crate) async fn holds(kind: Kind, address: &str, name: &str) {
    if let Some(why) = case(address, name).await {
        panic!("{name} fails on {kind:?}: {why}");
    }
}

/// Expects these cases to hold with these options, each on a database and in a program of its own.
async fn hold(options: &'static [&str], cases: &[&'static str]) {
    let mut running = JoinSet::new();
    for kind in ALL {
        for &name in cases {
            running.spawn(async move {
                let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
                let mut program = suite(&scratch, &fresh.url)
                    .args(options.iter().copied())
                    .spawn();
                let address = program.address();
                holds(kind, &address, name).await;
            });
        }
    }
    while let Some(done) = running.join_next().await {
        if let Err(failed) = done {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
}

/// An option, a value for it, and the cases that hold only with this value.
const LIMITS: [(&str, &str, &[&str]); 4] = [
    (
        "--max-rows-bytes",
        "1025KiB",
        &[
            "result_over_the_limit_is_too_large",
            "value_over_the_limit_is_too_large",
        ],
    ),
    (
        "--max-statement-bytes",
        "64KiB",
        &["statement_over_the_limit_is_invalid"],
    ),
    (
        "--max-parameters",
        "100",
        &["parameters_over_the_limit_are_invalid"],
    ),
    (
        "--max-transactions",
        "4",
        &["transactions_over_the_limit_are_denied"],
    ),
];

#[tokio::test]
async fn command_line_limits_are_enforced() {
    for kind in ALL {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let options = LIMITS
            .iter()
            .flat_map(|(option, value, _)| [*option, *value]);
        let mut running = suite(&scratch, &fresh.url).args(options).spawn();
        let address = running.address();
        for name in LIMITS.iter().flat_map(|(.., names)| *names) {
            holds(kind, &address, name).await;
        }
    }
}

#[tokio::test]
async fn environment_limits_are_enforced() {
    let scratch = Scratch::new();
    let mut program = suite(&scratch, "memory:");
    for (option, value, _) in LIMITS {
        let variable = option
            .trim_start_matches('-')
            .replace('-', "_")
            .to_uppercase();
        program = program.env(&format!("USHER_{variable}"), value);
    }
    let mut running = program.spawn();
    let address = running.address();
    for name in LIMITS.iter().flat_map(|(.., names)| *names) {
        holds(Kind::Memory, &address, name).await;
    }
}

#[tokio::test]
async fn default_limits_are_wider() {
    let scratch = Scratch::new();
    let mut running = suite(&scratch, "memory:").spawn();
    let address = running.address();
    for (option, _, names) in LIMITS {
        for name in names {
            let why = case(&address, name).await;
            assert!(
                why.is_some(),
                "{name} holds without {option}, and so shows nothing of it"
            );
        }
    }
}

#[tokio::test]
async fn statement_timeout_limits_each_statement() {
    hold(
        &["--statement-timeout", "2s"],
        &[
            "slow_statement_times_out",
            "slow_write_that_times_out_has_no_effect",
            "timeout_aborts_its_transaction",
        ],
    )
    .await;
}

#[tokio::test]
async fn pool_wait_limits_the_wait_for_a_connection() {
    hold(
        &[
            "--pool-size",
            "2",
            "--pool-wait",
            "2s",
            "--max-transactions",
            "4",
        ],
        &[
            "transaction_without_free_connection_is_overloaded",
            "read_committed_sees_later_commits_or_one_snapshot",
        ],
    )
    .await;
}

#[tokio::test]
async fn idle_transaction_timeout_limits_idle_transactions() {
    hold(
        &[
            "--idle-transaction-timeout",
            "500ms",
            "--pool-wait",
            "1m",
            "--statement-timeout",
            "1m",
            "--request-timeout",
            "1m",
        ],
        &["idle_transaction_is_ended"],
    )
    .await;
}

#[tokio::test]
async fn read_only_database_is_not_written_to() {
    for kind in [Kind::File, Kind::Postgres] {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let mut writing = suite(&scratch, &fresh.url).spawn();
        let address = writing.address();
        holds(kind, &address, "create_table").await;
        drop(writing);
        let mut reading = suite(&scratch, &fresh.url)
            .args(["--database-read-only"])
            .spawn();
        let address = reading.address();
        holds(kind, &address, "read_only_database_refuses_to_write").await;
    }
}

#[tokio::test]
async fn read_only_database_serves_reads() {
    for kind in [Kind::File, Kind::Postgres] {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let ann = serde_json::json!({"name": "Ann", "email": "ann@example.org"});
        let bob = serde_json::json!({"name": "Bob", "email": "bob@example.org"});
        let mut writing = usher(&scratch).args(["--database", &fresh.url]).spawn();
        let address = writing.address();
        assert_eq!(
            send_request(&address, Request::post("/users/", &ann))
                .await
                .status,
            200
        );
        writing.terminate();
        assert_eq!(writing.wait().code(), Some(0));
        // The schema is current, so there is nothing to migrate.
        let mut reading = usher(&scratch)
            .args(["--database", &fresh.url, "--database-read-only"])
            .spawn();
        let address = reading.address();
        assert_eq!(
            send_request(&address, Request::get("/users/1"))
                .await
                .status,
            200
        );
        assert_eq!(
            send_request(&address, Request::post("/users/", &bob))
                .await
                .status,
            503
        );
        assert_eq!(
            send_request(&address, Request::new("DELETE", "/users/1"))
                .await
                .status,
            503
        );
        let listed = send_request(&address, Request::get("/users/")).await;
        assert_eq!(
            listed.text(),
            r#"[{"id":1,"name":"Ann","email":"ann@example.org"}]"#
        );
    }
}

#[tokio::test]
async fn result_limit_over_a_quarter_of_instance_memory_is_lowered_and_logged() {
    let (scratch, fresh) = (Scratch::new(), Kind::Memory.fresh().await);
    let mut running = suite(&scratch, &fresh.url)
        .args(["--instance-memory", "16MiB", "--max-rows-bytes", "8MiB"])
        .spawn();
    let line = running.line("results are limited to 4194304 bytes");
    assert!(line.contains("a quarter of --instance-memory"), "{line}");
}

/// A result is stopped at its limit while it is read, so the host never holds much of half a
/// gigabyte.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn result_uses_bounded_memory_while_it_is_read() {
    const GROWTH: u64 = 160 << 20;
    for kind in ALL {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let mut running = suite(&scratch, &fresh.url)
            .args([
                "--max-rows-bytes",
                "1MiB",
                "--statement-timeout",
                "10m",
                "--request-timeout",
                "10m",
            ])
            .spawn();
        let address = running.address();
        holds(kind, &address, "columns_are_named_in_order").await;
        let before = running.resident_bytes();
        holds(kind, &address, "huge_results_are_too_large").await;
        let growth = running.most_resident_bytes().saturating_sub(before);
        figures::print(
            &format!("results without end on {kind:?}"),
            &format!("{} KiB more memory at most", growth >> 10),
        );
        assert!(
            growth < GROWTH,
            "it grew by {} MiB on {kind:?}",
            growth >> 20
        );
    }
}

/// The value of one line of `/metrics`.
#[track_caller]
fn metric(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("{name} is not in\n{text}"));
    value.parse().expect("a number")
}

#[tokio::test]
async fn metrics_count_statements_and_transactions() {
    let (scratch, fresh) = (Scratch::new(), Kind::File.fresh().await);
    let mut running = suite(&scratch, &fresh.url)
        .args(["--admin-listen", "127.0.0.1:0", "--max-transactions", "4"])
        .spawn();
    let operators = running.operators();
    let address = running.address();
    for name in [
        "rolled_back_transaction_leaves_nothing",
        "statement_after_a_refusal_runs",
        "two_statements_in_one_text_are_invalid",
        "transactions_over_the_limit_are_denied",
    ] {
        // Other tests show these cases; the tables of the first affect none of them.
        holds(Kind::File, &address, name).await;
    }
    let text = send_request(&operators, Request::get("/metrics"))
        .await
        .text();
    let statements = |outcome: &str| {
        metric(
            &text,
            &format!("usher_database_statements_total{{outcome=\"{outcome}\"}}"),
        )
    };
    assert!(statements("ok") >= 5.0, "{text}");
    assert!((statements("refused") - 100.0).abs() < 0.5, "{text}");
    assert!(statements("invalid") >= 7.0, "{text}");
    assert!(
        statements("timeout") < 0.5 && statements("unavailable") < 0.5,
        "{text}"
    );
    let ran = metric(&text, "usher_database_statement_seconds_count");
    assert!(
        (ran - statements("ok") - statements("refused")).abs() < 0.5,
        "{text}"
    );
    assert!(
        (metric(
            &text,
            "usher_database_statement_seconds_bucket{le=\"+Inf\"}"
        ) - ran)
            .abs()
            < 0.5,
        "{text}"
    );
    assert!(
        metric(&text, "usher_database_statement_seconds_sum") > 0.0,
        "{text}"
    );
    let ended = |end: &str| {
        metric(
            &text,
            &format!("usher_database_transactions_total{{end=\"{end}\"}}"),
        )
    };
    assert!((ended("rolled-back") - 1.0).abs() < 0.5, "{text}");
    assert!((ended("abandoned") - 5.0).abs() < 0.5, "{text}");
    assert!(
        metric(&text, "usher_database_transactions_open") < 0.5,
        "{text}"
    );
}
