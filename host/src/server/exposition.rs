//! The page `/metrics`: the counters of the cores, of the database's pools, and of the process.

use std::fmt::Write as _;

use crate::database::metrics::{OUTCOMES, TRANSACTION_OUTCOMES, Totals};
use crate::telemetry::counters::{Counts, status_label};
use crate::telemetry::histogram::{BOUNDS, Durations};
use crate::telemetry::process::Process;

/// The counters of all cores, in the Prometheus text format, version 0.0.4.
pub(crate) fn exposition(
    counts: &Counts,
    database: &Totals,
    held: usize,
    refused_connections: u64,
    process: &Process,
) -> String {
    let mut page = Page(String::new());
    requests(&mut page, counts);
    statements(&mut page, database);
    connections(&mut page, database);
    page.value(
        GAUGE,
        "usher_host_memory_bytes",
        "Bytes that the host holds for requests, by units of 64 KiB of each.",
        held as u64,
    );
    page.value(
        COUNTER,
        "usher_connections_refused_total",
        "Connections that were closed at once because their client had too many.",
        refused_connections,
    );
    operating_system(&mut page, process);
    page.metric(
        GAUGE,
        "usher_build_info",
        "The version of the program.",
        [(
            format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")),
            "1".to_owned(),
        )],
    );
    page.0
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// A page in the text format. No label value in it needs escaping.
struct Page(String);

impl Page {
    fn head(&mut self, kind: &str, name: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A metric with these labels and values.
    fn metric(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, String)>,
    ) {
        self.head(kind, name, help);
        for (labels, value) in values {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    /// A metric without labels.
    fn value(&mut self, kind: &str, name: &str, help: &str, value: u64) {
        self.metric(kind, name, help, [(String::new(), value.to_string())]);
    }

    /// A metric with one label.
    fn by_label(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) {
        let labelled =
            |(value, count): (&str, u64)| (format!("{{{label}=\"{value}\"}}"), count.to_string());
        self.metric(kind, name, help, values.into_iter().map(labelled));
    }

    /// Histograms in seconds, each with its labels, such as `method="GET"`.
    fn histograms<'d>(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (String, &'d Durations)>,
    ) {
        self.head("histogram", name, help);
        for (labels, durations) in all {
            let (separator, braces) = if labels.is_empty() {
                ("", String::new())
            } else {
                (",", format!("{{{labels}}}"))
            };
            let mut below = 0;
            for (index, count) in durations.buckets.iter().enumerate() {
                below += count;
                let bound = BOUNDS
                    .get(index)
                    .map_or("+Inf".to_owned(), |bound| seconds(*bound));
                let _ = writeln!(
                    self.0,
                    "{name}_bucket{{{labels}{separator}le=\"{bound}\"}} {below}"
                );
            }
            let sum = seconds(durations.micros);
            let _ = writeln!(
                self.0,
                "{name}_sum{braces} {sum}\n{name}_count{braces} {below}"
            );
        }
    }
}

fn requests(page: &mut Page, counts: &Counts) {
    let by_status = counts.requests.iter().flat_map(|requests| {
        let statuses = requests.statuses.iter().enumerate();
        let counted = statuses.filter(|(_, count)| **count > 0);
        counted.map(|(label, count)| {
            let (method, route, status) = (requests.method, &requests.route, status_label(label));
            let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}");
            (labels, count.to_string())
        })
    });
    page.metric(
        COUNTER,
        "usher_requests_total",
        "Requests that are over, by method, route and status; 499 if the client left before its \
         response began.",
        by_status,
    );
    page.histograms(
        "usher_request_duration_seconds",
        "From the arrival of a request's head to the end of its response, by method and route.",
        counts.requests.iter().map(|requests| {
            let (method, route) = (requests.method, &requests.route);
            let labels = format!("method=\"{method}\",route=\"{route}\"");
            (labels, &requests.durations)
        }),
    );
    page.value(
        GAUGE,
        "usher_requests_in_flight",
        "Requests that hold a permit: the component works on them.",
        counts.in_flight,
    );
    page.value(
        GAUGE,
        "usher_requests_waiting",
        "Requests that wait for a permit.",
        counts.waiting,
    );
    page.by_label(
        COUNTER,
        "usher_responses_total",
        "Responses by class of status.",
        "class",
        ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .into_iter()
            .zip(counts.responses),
    );
    page.by_label(
        COUNTER,
        "usher_failed_calls_total",
        "Calls of the component that gave no answer, by reason.",
        "reason",
        [
            ("trap", counts.traps),
            ("deadline", counts.deadlines),
            ("busy", counts.busy),
        ],
    );
    page.value(
        COUNTER,
        "usher_instances_total",
        "Instances of the component that were made.",
        counts.instances,
    );
    page.value(
        COUNTER,
        "usher_connections_total",
        "Client connections that were accepted.",
        counts.connections,
    );
    page.value(
        GAUGE,
        "usher_connections_open",
        "Client connections that are open.",
        counts.open_connections,
    );
    page.value(
        COUNTER,
        "usher_tls_handshakes_failed_total",
        "TLS handshakes that failed or took too long.",
        counts.failed_handshakes,
    );
}

fn statements(page: &mut Page, database: &Totals) {
    page.by_label(
        COUNTER,
        "usher_database_statements_total",
        "Statements by outcome; those denied and most invalid ones never reached the database.",
        "outcome",
        OUTCOMES.into_iter().zip(database.statements),
    );
    page.by_label(
        COUNTER,
        "usher_database_transactions_total",
        "Transactions that are over, by how they ended.",
        "end",
        TRANSACTION_OUTCOMES
            .into_iter()
            .zip(database.transactions_ended),
    );
    page.value(
        GAUGE,
        "usher_database_transactions_open",
        "Transactions that are open.",
        database.open_transactions,
    );
    page.histograms(
        "usher_database_statement_seconds",
        "How long statements took that reached the database.",
        [(String::new(), &database.durations)],
    );
}

fn connections(page: &mut Page, database: &Totals) {
    let connections = &database.connections;
    page.histograms(
        "usher_database_pool_wait_seconds",
        "How long statements and transactions waited for a connection, opening it included.",
        [(String::new(), &database.waits)],
    );
    page.by_label(
        GAUGE,
        "usher_database_connections",
        "Open connections to the database by use.",
        "state",
        [("in_use", connections.in_use), ("idle", connections.idle)],
    );
    page.value(
        GAUGE,
        "usher_database_connections_max",
        "How many connections to the database there may be.",
        connections.max,
    );
    page.value(
        GAUGE,
        "usher_database_connections_shared",
        "Open connections that are shared by statements of several requests.",
        connections.shared,
    );
    page.value(
        GAUGE,
        "usher_database_connections_waiting",
        "Calls that wait for a connection to the database.",
        connections.waiting,
    );
}

/// The metrics that every client library of Prometheus has. Those that the system does not tell are
/// left out.
fn operating_system(page: &mut Page, process: &Process) {
    let centiseconds = |value: u64| seconds(value.saturating_mul(10_000));
    for (kind, name, help, value) in [
        (
            COUNTER,
            "process_cpu_seconds_total",
            "User and system processor time of the process.",
            process.cpu_centiseconds.map(centiseconds),
        ),
        (
            GAUGE,
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            process.started_centiseconds.map(centiseconds),
        ),
        (
            GAUGE,
            "process_resident_memory_bytes",
            "Resident memory of the process.",
            process.resident_bytes.map(|bytes| bytes.to_string()),
        ),
        (
            GAUGE,
            "process_virtual_memory_bytes",
            "Address space of the process; the memory of instances is reserved in it.",
            process.virtual_bytes.map(|bytes| bytes.to_string()),
        ),
        (
            GAUGE,
            "process_open_fds",
            "Open files and sockets of the process.",
            process.open_files.map(|files| files.to_string()),
        ),
        (
            GAUGE,
            "process_max_fds",
            "The limit on open files and sockets of the process.",
            process.max_files.map(|files| files.to_string()),
        ),
        (
            GAUGE,
            "process_threads",
            "Threads of the process.",
            process.threads.map(|threads| threads.to_string()),
        ),
    ] {
        if let Some(value) = value {
            page.metric(kind, name, help, [(String::new(), value)]);
        }
    }
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
        let mut durations = Durations::default();
        durations.buckets[0] = 3;
        durations.buckets[6] = 2;
        durations.buckets[15] = 1;
        durations.micros = 12_000_300;
        let mut page = Page(String::new());
        page.histograms(
            "a_seconds",
            "Help.",
            [
                (String::new(), &durations),
                ("b=\"c\"".to_owned(), &durations),
            ],
        );
        for line in [
            "a_seconds_bucket{le=\"0.0001\"} 3",
            "a_seconds_bucket{le=\"0.005\"} 3",
            "a_seconds_bucket{le=\"0.01\"} 5",
            "a_seconds_bucket{le=\"10\"} 5",
            "a_seconds_bucket{le=\"+Inf\"} 6",
            "a_seconds_sum 12.0003",
            "a_seconds_count 6",
            "a_seconds_bucket{b=\"c\",le=\"10\"} 5",
            "a_seconds_sum{b=\"c\"} 12.0003",
            "a_seconds_count{b=\"c\"} 6",
        ] {
            assert!(
                page.0.lines().any(|found| found == line),
                "{line} is not in\n{}",
                page.0
            );
        }
    }
}
