//! What the host says of itself: log lines on standard error, and counters for `/metrics`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::StatusCode;

use crate::database::metrics::{BOUNDS, ENDS, OUTCOMES, Totals};
use crate::instances::CallError;
use crate::log::{LINES, LineLimit};

/// Sends log lines at `level` and above to standard error, without colours, which never carry meaning here.
///
/// The first call of a process counts; later ones change nothing.
pub fn log_to_stderr(level: tracing::Level) {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(level)
        .finish();
    // An error means that the embedding program already logs somewhere; that is its choice to make.
    tracing::subscriber::set_global_default(subscriber).ok();
}

/// Says why a request got no answer of the component's, so many times a second.
pub(crate) fn log_failed(error: &CallError) {
    static BUSY: LineLimit = LineLimit::new(LINES);
    static FAILED: LineLimit = LineLimit::new(LINES);
    match error {
        CallError::Busy | CallError::Memory(_) | CallError::Evicted(_) => {
            if let Some(line) = BUSY.line() {
                tracing::warn!("{error}{line}");
            }
        }
        _ => {
            if let Some(line) = FAILED.line() {
                tracing::error!("{error}{line}");
            }
        }
    }
}

/// Counters of one core. They are written by that core alone, so counting contends with nothing.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answers by the first digit of their status, from 1 to 5.
    answers: [AtomicU64; 5],
    traps: AtomicU64,
    deadlines: AtomicU64,
    busy: AtomicU64,
    instances: AtomicU64,
    connections: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(counter) = self
            .answers
            .get(usize::from(status.as_u16() / 100).wrapping_sub(1))
        {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn failed(&self, error: &CallError) {
        let counter = match error {
            CallError::Busy | CallError::Memory(_) | CallError::Evicted(_) => &self.busy,
            CallError::Deadline | CallError::Processor(_) => &self.deadlines,
            CallError::Guest(_) | CallError::Host(_) => &self.traps,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn instantiated(&self) {
        self.instances.fetch_add(1, Relaxed);
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }
}

/// The counters of all cores in the Prometheus text format, version 0.0.4.
pub(crate) fn exposition<'a>(
    cores: &(impl Iterator<Item = &'a Counters> + Clone),
    database: &Totals,
    held: usize,
) -> String {
    let sum = |pick: fn(&Counters) -> &AtomicU64| -> u64 {
        cores.clone().map(|core| pick(core).load(Relaxed)).sum()
    };
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
            ("{class=\"1xx\"}", sum(|core| &core.answers[0])),
            ("{class=\"2xx\"}", sum(|core| &core.answers[1])),
            ("{class=\"3xx\"}", sum(|core| &core.answers[2])),
            ("{class=\"4xx\"}", sum(|core| &core.answers[3])),
            ("{class=\"5xx\"}", sum(|core| &core.answers[4])),
        ],
    );
    metric(
        "usher_failed_calls_total",
        "counter",
        "Calls of the component that gave no answer, by reason.",
        &[
            ("{reason=\"trap\"}", sum(|core| &core.traps)),
            ("{reason=\"deadline\"}", sum(|core| &core.deadlines)),
            ("{reason=\"busy\"}", sum(|core| &core.busy)),
        ],
    );
    metric(
        "usher_instances_total",
        "counter",
        "Instances of the component that were made.",
        &[("", sum(|core| &core.instances))],
    );
    metric(
        "usher_connections_total",
        "counter",
        "Client connections that were accepted.",
        &[("", sum(|core| &core.connections))],
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
    let ended = labelled("end", &ENDS, &database.ended);
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
        &[("", database.open)],
    );
    text.push_str(&durations(database));
    text
}

/// How long statements took, as a histogram in seconds.
fn durations(database: &Totals) -> String {
    const NAME: &str = "usher_database_statement_seconds";
    let mut text = format!(
        "# HELP {NAME} How long statements took that reached the database.\n# TYPE {NAME} histogram\n"
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
    fn durations_are_told_in_seconds_and_each_bucket_holds_those_below() {
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
