//! The tables, in Markdown with columns aligned, so that they read well both as printed and in a
//! note.

use super::contestant::Contestant;
use super::growth::{Axis, Point};
use super::measure::{Round, Series};
use super::scenario::Scenario;
use super::start::Starts;
use super::steps::Samples;

const HEAD: [&str; 17] = [
    "scenario",
    "server",
    "requests/s",
    "±",
    "CPU µs",
    "±",
    "of it system",
    "sleeps",
    "PostgreSQL µs",
    "p50 ms",
    "p99 ms",
    "MiB idle",
    "loaded",
    "rate ÷ idiomatic (best)",
    "CPU ÷ idiomatic (best)",
    "PostgreSQL ÷ idiomatic (best)",
    "p99 ÷ idiomatic (best)",
];

/// The one table of all scenarios. Each figure is the median of the rounds, each ratio that of the
/// ratios within a round, ± half the distance between the least and the most. Sleeps are those of
/// the server for each request.
pub fn table(results: &[(Scenario, Vec<Series>)]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
    for (scenario, all) in results {
        let rounds = |contestant: &Contestant| {
            all.iter()
                .find(|series| series.contestant == *contestant)
                .map(|series| &series.rounds[..])
        };
        let natives = [rounds(&Contestant::Idiomatic), rounds(&Contestant::Best)];
        for series in all {
            let figure = |get: fn(&Round) -> f64| Figure::new(series.rounds.iter().map(get));
            let ratio = |get: fn(&Round) -> Option<f64>| {
                let [idiomatic, best] = natives.map(|native| {
                    let pairs = series.rounds.iter().zip(native.unwrap_or_default());
                    Figure::new(pairs.filter_map(|(own, other)| Some(get(own)? / get(other)?)))
                });
                format!("{} ({})", show(idiomatic.median, 2), show(best.median, 2))
            };
            let rate = figure(|round| round.rate);
            let cpu = figure(|round| round.cpu);
            let postgres = Figure::new(series.rounds.iter().filter_map(|round| round.postgres));
            let loaded = series
                .rounds
                .iter()
                .map(|round| round.resident)
                .max()
                .unwrap_or_default();
            lines.push(vec![
                scenario.title().to_owned(),
                series.contestant.name().to_owned(),
                show(rate.median, 0),
                rate.spread(),
                show(cpu.median, 1),
                cpu.spread(),
                show(figure(|round| round.system).median, 1),
                show(figure(|round| round.sleeps).median, 2),
                show(postgres.median, 1),
                show(figure(|round| round.p50).median, 2),
                show(figure(|round| round.p99).median, 2),
                mebibytes(series.idle),
                mebibytes(loaded),
                ratio(|round| Some(round.rate)),
                ratio(|round| Some(round.cpu)),
                ratio(|round| round.postgres),
                ratio(|round| Some(round.p99)),
            ]);
        }
    }
    markdown(&lines, 2)
}

/// The table of starts.
pub fn starts(all: &[Starts]) -> String {
    let head = ["server", "database", "start to first answer, ms", "±"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for starts in all {
        let time = Figure::new(starts.times.iter().copied());
        lines.push(vec![
            starts.contestant.name().to_owned(),
            starts.place.title().to_owned(),
            show(time.median, 1),
            time.spread(),
        ]);
    }
    markdown(&lines, 2)
}

/// The table of growth. Each point's ratios are to the first of its axis, round by round, and to
/// the native server at the same point.
pub fn growth(points: &[Point]) -> String {
    let head = [
        "along",
        "point",
        "requests/s",
        "CPU µs",
        "PostgreSQL µs",
        "CPU ÷ first",
        "PostgreSQL ÷ first",
        "native's CPU µs",
        "its ÷ first",
        "CPU ÷ native's",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for axis in Axis::ALL {
        let along = || points.iter().filter(|point| point.axis == axis);
        let first = along().next();
        for point in along() {
            let cost = point.cost();
            let ratio = first.map(|first| point.ratio(first));
            lines.push(vec![
                axis.name().to_owned(),
                point.value.to_string(),
                show(Some(cost.rate), 0),
                show(Some(cost.cpu), 1),
                show(Some(cost.postgres), 1),
                show(ratio.map(|ratio| ratio.cpu), 2),
                show(ratio.map(|ratio| ratio.postgres), 2),
                show(point.native().map(|native| native.cpu), 1),
                show(
                    first
                        .and_then(|first| point.native_ratio(first))
                        .map(|ratio| ratio.cpu),
                    2,
                ),
                show(point.to_native().map(|ratio| ratio.cpu), 2),
            ]);
        }
    }
    markdown(&lines, 1)
}

/// The table of steps: the median of each, and of what it takes more than the one before within a
/// round.
pub fn steps(all: &[Samples]) -> String {
    let head = ["step", "CPU µs", "±", "more than before", "of the whole"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    let whole = all
        .last()
        .map_or(f64::NAN, |(_, costs)| median(costs.clone()));
    let mut before: Option<&[f64]> = None;
    for (step, costs) in all {
        let cost = Figure::new(costs.iter().copied());
        let more = match before {
            None => costs.clone(),
            Some(before) => costs
                .iter()
                .zip(before)
                .map(|(now, was)| now - was)
                .collect(),
        };
        let more = median(more);
        lines.push(vec![
            step.title().to_owned(),
            show(cost.median, 1),
            cost.spread(),
            format!("{more:.1}"),
            format!("{:.0} %", more / whole * 100.0),
        ]);
        before = Some(costs);
    }
    markdown(&lines, 1)
}

/// The median, or not a number where there is nothing.
pub fn median(values: Vec<f64>) -> f64 {
    Figure::new(values.into_iter()).median.unwrap_or(f64::NAN)
}

/// The median of many rounds, and its spread.
struct Figure {
    median: Option<f64>,
    /// Half the distance between the least and the most, relative to the median.
    spread: Option<f64>,
}

impl Figure {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.get(middle.saturating_sub(1)..) {
            Some([below, above, ..]) if values.len().is_multiple_of(2) => {
                Some(f64::midpoint(*below, *above))
            }
            _ => values.get(middle).copied(),
        };
        let range = values
            .first()
            .zip(values.last())
            .map(|(least, most)| most - least);
        Self {
            median,
            spread: range
                .zip(median)
                .map(|(range, median)| range / 2.0 / median),
        }
    }

    fn spread(&self) -> String {
        self.spread.map_or_else(
            || "–".to_owned(),
            |spread| format!("{:.0} %", spread * 100.0),
        )
    }
}

fn show(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

#[expect(clippy::cast_precision_loss, reason = "no server has 2^52 bytes")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// A table whose first `texts` columns are aligned to the left and all others to the right.
fn markdown(lines: &[Vec<String>], texts: usize) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell: &String| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        out.push('|');
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let space = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, after) = if column < texts {
                ("", &*space)
            } else {
                (&*space, "")
            };
            out.extend([" ", before, cell, after, " |"]);
        }
        out.push('\n');
        if number == 0 {
            out.push('|');
            for (column, width) in widths.iter().enumerate() {
                out.extend(std::iter::repeat_n('-', width + 1));
                out.push_str(if column < texts { "-|" } else { ":|" });
            }
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Figure, markdown, steps, table};
    use crate::compare::contestant::Contestant;
    use crate::compare::measure::{Round, Series};
    use crate::compare::scenario::Scenario;
    use crate::compare::steps::Step;

    #[test]
    fn median_of_even_count_is_the_mean_of_the_middle_two() {
        for (values, median) in [
            (vec![3.0, 1.0, 2.0], 2.0),
            (vec![4.0, 1.0, 2.0, 3.0], 2.5),
            (vec![1.0], 1.0),
        ] {
            assert_eq!(Figure::new(values.into_iter()).median, Some(median));
        }
        assert_eq!(Figure::new(std::iter::empty()).median, None);
    }

    #[test]
    fn ratio_is_the_median_of_ratios_within_a_round() {
        let series = |contestant, rates: [f64; 3]| {
            let round = |rate| Round {
                rate,
                cpu: 10.0,
                system: 5.0,
                sleeps: 0.1,
                postgres: None,
                p50: 1.0,
                p99: 2.0,
                resident: 1 << 20,
            };
            Series {
                contestant,
                idle: 1 << 20,
                rounds: rates.map(round).to_vec(),
            }
        };
        // The machine was slower in the second and third round, and Usher always twice as fast as
        // the other.
        let results = [
            series(Contestant::Idiomatic, [100.0, 10.0, 20.0]),
            series(Contestant::Usher, [200.0, 20.0, 40.0]),
        ];
        let table = table(&[(Scenario::Get, results.to_vec())]);
        let line = table.lines().last().expect("a line");
        assert!(
            line.contains("| usher ") && line.contains(" 2.00 (–) |"),
            "{line}"
        );
    }

    #[test]
    fn step_cost_is_the_median_difference_within_a_round() {
        // The second round was slower for all.
        let table = steps(&[
            (Step::Http, vec![4.0, 8.0, 4.0]),
            (Step::Call, vec![6.0, 10.0, 6.0]),
        ]);
        let line = table.lines().last().expect("a line");
        assert!(
            line.contains(" 2.0 |") && line.contains(" 33 % |"),
            "{line}"
        );
    }

    #[test]
    fn table_columns_are_aligned() {
        let lines = [["a", "b"], ["µs", "10"]].map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(
            markdown(&lines, 1),
            "| a  |  b |\n|----|---:|\n| µs | 10 |\n"
        );
    }
}
