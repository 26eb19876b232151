//! The page `/metrics`: the counters of the cores and of the database's pools.

use std::fmt::Write as _;

use crate::database::metrics::{BOUNDS, OUTCOMES, TRANSACTION_OUTCOMES, Totals};
use crate::telemetry::counters::Counts;

/// The counters of all cores, in the Prometheus text format, version 0.0.4.
pub(crate) fn exposition(counts: &Counts, database: &Totals, held: usize) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    metric(
        "usher_responses_total",
        "counter",
        "Responses by class of status.",
        &[
            ("{class=\"1xx\"}", counts.responses[0]),
            ("{class=\"2xx\"}", counts.responses[1]),
            ("{class=\"3xx\"}", counts.responses[2]),
            ("{class=\"4xx\"}", counts.responses[3]),
            ("{class=\"5xx\"}", counts.responses[4]),
        ],
    );
    metric(
        "usher_failed_calls_total",
        "counter",
        "Calls of the component that gave no answer, by reason.",
        &[
            ("{reason=\"trap\"}", counts.traps),
            ("{reason=\"deadline\"}", counts.deadlines),
            ("{reason=\"busy\"}", counts.busy),
        ],
    );
    metric(
        "usher_instances_total",
        "counter",
        "Instances of the component that were made.",
        &[("", counts.instances)],
    );
    metric(
        "usher_connections_total",
        "counter",
        "Client connections that were accepted.",
        &[("", counts.connections)],
    );
    metric(
        "usher_host_memory_bytes",
        "gauge",
        "Bytes that the host holds for requests, by units of 64 KiB of each.",
        &[("", held as u64)],
    );
    let labelled = |label: &str, names: &[&str], counts: &[u64]| -> Vec<(String, u64)> {
        let labelled = |(name, count): (&&str, &u64)| (format!("{{{label}=\"{name}\"}}"), *count);
        names.iter().zip(counts).map(labelled).collect()
    };
    let statements = labelled("outcome", &OUTCOMES, &database.statements);
    let ended = labelled("end", &TRANSACTION_OUTCOMES, &database.transactions_ended);
    for (name, help, values) in [
        (
            "usher_database_statements_total",
            "Statements by outcome; those denied and most invalid ones never reached the database.",
            &statements,
        ),
        (
            "usher_database_transactions_total",
            "Transactions that are over, by how they ended.",
            &ended,
        ),
    ] {
        let values: Vec<_> = values
            .iter()
            .map(|(labels, count)| (labels.as_str(), *count))
            .collect();
        metric(name, "counter", help, &values);
    }
    metric(
        "usher_database_transactions_open",
        "gauge",
        "Transactions that are open.",
        &[("", database.open_transactions)],
    );
    text.push_str(&durations(database));
    text
}

/// How long statements took, as a histogram in seconds.
fn durations(database: &Totals) -> String {
    const NAME: &str = "usher_database_statement_seconds";
    let mut text = format!(
        "# HELP {NAME} How long statements took that reached the database.\n\
         # TYPE {NAME} histogram\n"
    );
    let mut below = 0;
    for (index, count) in database.durations.iter().enumerate() {
        below += count;
        let bound = BOUNDS
            .get(index)
            .map_or("+Inf".to_owned(), |bound| seconds(*bound));
        text.push_str(&format!("{NAME}_bucket{{le=\"{bound}\"}} {below}\n"));
    }
    let sum = seconds(database.micros);
    text.push_str(&format!("{NAME}_sum {sum}\n{NAME}_count {below}\n"));
    text
}

/// Microseconds as seconds, exactly.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exposed_in_seconds_by_cumulative_buckets() {
        let mut totals = Totals::default();
        totals.durations[0] = 3;
        totals.durations[6] = 2;
        totals.durations[15] = 1;
        totals.micros = 12_000_300;
        let text = durations(&totals);
        for line in [
            "usher_database_statement_seconds_bucket{le=\"0.0001\"} 3",
            "usher_database_statement_seconds_bucket{le=\"0.005\"} 3",
            "usher_database_statement_seconds_bucket{le=\"0.01\"} 5",
            "usher_database_statement_seconds_bucket{le=\"10\"} 5",
            "usher_database_statement_seconds_bucket{le=\"+Inf\"} 6",
            "usher_database_statement_seconds_sum 12.0003",
            "usher_database_statement_seconds_count 6",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
