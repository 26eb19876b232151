//! The log on standard error, and limits on lines whose text or number a guest or a client can
//! choose.
//!
//! A component that fails on purpose must not fill a disk. Each text is cut, and each kind of line
//! has a limit per second. Lines over the limit are counted, and the next line reports their
//! number.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, fmt as subscriber};

use super::writer::LogWriter;

/// What is logged on standard error, and how.
#[derive(Args, Clone, Copy, Debug)]
#[group(id = "log-options")]
pub struct Config {
    /// What to log on standard error: error, warn, info, statements, debug or trace.
    // `statements` is `info` and each statement with its duration; `debug` includes it.
    #[arg(long, env = "USHER_LOG", value_name = "LEVEL", default_value = "info")]
    pub log: Level,
    /// How to write log lines: text or json [default: text on a terminal, otherwise json].
    #[arg(
        long,
        env = "USHER_LOG_FORMAT",
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub log_format: Option<Format>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: Level::At(tracing::Level::INFO),
            log_format: None,
        }
    }
}

/// Which lines are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Those of this level and above.
    At(tracing::Level),
    /// Those of level INFO and above, and each statement.
    Statements,
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "statements" {
            return Ok(Self::Statements);
        }
        let names = "one of error, warn, info, statements, debug and trace is expected";
        text.parse().map(Self::At).map_err(|_| names.to_owned())
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: time, level, message, fields.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The target of the events that show statements.
pub(crate) const STATEMENTS: &str = "usher::statements";

/// The log of this process, once it has been started.
static LOG: OnceLock<Log> = OnceLock::new();

/// Where log lines go, and how they are written.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) format: Format,
    writer: Option<LogWriter>,
}

impl Log {
    /// The log of this process; none if an embedding program has a subscriber of its own.
    pub(super) fn started() -> Option<&'static Self> {
        LOG.get()
    }

    /// Adds a line, which ends with a newline. An urgent one is written at once.
    pub(super) fn push(&self, line: &[u8], is_urgent: bool) {
        match &self.writer {
            Some(writer) => writer.push(line, is_urgent),
            // There is no other place to report a failure to.
            None => drop(io::Write::write_all(&mut io::stderr(), line)),
        }
    }
}

/// Writes the lines of the subscriber, each of which it passes in one piece.
#[derive(Clone, Copy, Debug)]
struct Lines(&'static Log);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line, true);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for the last lines to be written when it is dropped.
#[derive(Debug)]
#[must_use = "lines are written by another thread, and the last ones when this is dropped"]
pub struct LogGuard(());

impl Drop for LogGuard {
    fn drop(&mut self) {
        if let Some(writer) = Log::started().and_then(|log| log.writer.as_ref()) {
            writer.flush();
        }
    }
}

/// Sends log lines to standard error, without colours. The last lines are written when the result
/// is dropped.
///
/// Only the first call of a process has an effect.
pub fn log_to_stderr(config: &Config) -> LogGuard {
    let format = config.log_format.unwrap_or_else(|| {
        if io::stderr().is_terminal() {
            Format::Text
        } else {
            Format::Json
        }
    });
    let log = LOG.get_or_init(|| {
        // Without a thread lines are written where they are logged.
        let writer = LogWriter::start(io::stderr(), move |count| dropped(format, count)).ok();
        Log { format, writer }
    });
    let lines = Targets::new();
    let lines = match config.log {
        Level::At(level) => lines.with_default(level),
        Level::Statements => lines
            .with_default(tracing::Level::INFO)
            .with_target(STATEMENTS, tracing::Level::DEBUG),
    };
    let layer = subscriber::layer()
        .with_writer(move || Lines(log))
        .with_ansi(false)
        .with_target(false);
    let layer = match log.format {
        Format::Text => layer.boxed(),
        Format::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(lines));
    // An error means that the embedding program has a subscriber already.
    tracing::subscriber::set_global_default(subscriber).ok();
    LogGuard(())
}

/// The time of a line that does not come from the subscriber, as the subscriber writes it.
pub(super) fn timestamp() -> impl fmt::Display {
    humantime::format_rfc3339_micros(SystemTime::now())
}

/// The line that says how many lines were dropped.
fn dropped(format: Format, count: u64) -> String {
    let (time, why) = (
        timestamp(),
        "log lines were dropped, because standard error takes them too slowly",
    );
    match format {
        Format::Text => format!("{time}  WARN {count} {why}\n"),
        Format::Json => format!(
            r#"{{"timestamp":"{time}","level":"WARN","message":"{count} {why}"}}{}"#,
            '\n'
        ),
    }
}

/// The longest text of a guest or of the database in one line, in bytes.
pub(crate) const LONGEST: usize = 1 << 10;

/// The usual limit for one kind of line, in lines per second.
pub(crate) const LINES: u32 = 10;

/// Limits the lines of one kind per second, on all cores together.
#[derive(Debug)]
pub(crate) struct LineLimit {
    lines: u32,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Option<Instant>,
    written: u32,
    left_out: u64,
}

/// The right to write one line. It is displayed as nothing, or as the number of lines left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    left_out: u64,
}

impl LineLimit {
    pub(crate) const fn new(lines: u32) -> Self {
        Self {
            lines,
            window: Mutex::new(Window {
                began: None,
                written: 0,
                left_out: 0,
            }),
        }
    }

    /// A line, or `None` if this second's limit is reached, or where nothing is logged: the
    /// recorder runs a request a second time in silence, which uses nothing of the limit.
    pub(crate) fn line(&self) -> Option<Line> {
        if !tracing::enabled!(tracing::Level::ERROR) {
            return None;
        }
        self.line_at(Instant::now())
    }

    fn line_at(&self, now: Instant) -> Option<Line> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over =
            |began: Instant| now.saturating_duration_since(began) >= Duration::from_secs(1);
        if window.began.is_none_or(is_over) {
            window.began = Some(now);
            window.written = 0;
        }
        if window.written >= self.lines {
            window.left_out += 1;
            return None;
        }
        window.written += 1;
        Some(Line {
            left_out: std::mem::take(&mut window.left_out),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.left_out {
            0 => Ok(()),
            1 => f.write_str(" (1 line like this was left out before it)"),
            many => write!(f, " ({many} lines like this were left out before it)"),
        }
    }
}

/// Formats a text on one line, without control characters, cut at [`LONGEST`]. Formatting stops
/// there, so a long text costs no more.
pub(crate) fn excerpt(text: impl fmt::Display) -> String {
    let mut cut = Cut(String::new());
    // The only error is that the text was cut, which the ellipsis shows.
    let _ = write!(cut, "{text}");
    cut.0
}

/// As [`excerpt`], with `Debug`.
pub(crate) fn excerpt_debug(value: &impl fmt::Debug) -> String {
    excerpt(format_args!("{value:?}"))
}

struct Cut(String);

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for found in text.chars() {
            let shown = if found.is_whitespace() { ' ' } else { found };
            let shown = if shown.is_control() {
                '\u{fffd}'
            } else {
                shown
            };
            if shown == ' ' && self.0.ends_with(' ') {
                continue;
            }
            if self.0.len() + shown.len_utf8() > LONGEST {
                self.0.push('…');
                return Err(fmt::Error);
            }
            self.0.push(shown);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_over_the_limit_is_counted_in_the_next_line() {
        let limit = LineLimit::new(2);
        let now = Instant::now();
        assert_eq!(limit.line_at(now), Some(Line { left_out: 0 }));
        assert_eq!(limit.line_at(now), Some(Line { left_out: 0 }));
        assert_eq!(limit.line_at(now), None);
        assert_eq!(limit.line_at(now + Duration::from_millis(999)), None);
        let next = limit.line_at(now + Duration::from_secs(1));
        let next = next.expect("the next second has its own limit");
        assert_eq!(
            next.to_string(),
            " (2 lines like this were left out before it)"
        );
        assert_eq!(
            limit.line_at(now + Duration::from_secs(1)),
            Some(Line { left_out: 0 })
        );
    }

    #[test]
    fn line_where_nothing_is_logged_uses_nothing_of_the_limit() {
        let limit = LineLimit::new(1);
        let silence = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::new());
        assert_eq!(limit.line(), None);
        drop(silence);
        let logging = tracing_subscriber::fmt()
            .with_writer(std::io::sink)
            .finish();
        let line = tracing::subscriber::with_default(logging, || limit.line());
        assert_eq!(line, Some(Line { left_out: 0 }));
    }

    #[test]
    fn excerpt_of_a_long_text_is_cut_at_a_character_boundary() {
        let text = excerpt("é".repeat(1 << 20));
        assert_eq!(text.len(), LONGEST + "…".len());
        assert!(text.ends_with("é…"), "{text}");
        assert_eq!(excerpt("a\n\tb\u{1b}[31m"), "a b\u{fffd}[31m");
        assert_eq!(excerpt_debug(&"a\nb"), r#""a\nb""#);
    }

    #[test]
    fn excerpt_formats_no_more_than_it_keeps() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("text ")?;
                }
            }
        }
        assert!(excerpt(Endless).len() <= LONGEST + "…".len());
    }
}
