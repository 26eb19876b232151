//! Lines of the log that a component writes, whichever interface they came by.
//!
//! A component decides how often it writes, and what. So all components together have a limit of
//! lines per second, and a component never waits for the log.

use tracing::Level;

use crate::telemetry::log::LineLimit;
use crate::telemetry::{LogNames, RequestInfo};

/// The lines that all components together may write in a second: enough for a few tracebacks of
/// Python, of some thirty lines each.
const LINES: u32 = 100;

/// A line of a component.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogLine<'a> {
    pub(super) level: Level,
    /// How it came, such as `printed`.
    pub(super) how: &'static str,
    /// What the component groups its lines by.
    pub(super) context: Option<&'a str>,
    /// One line, as [`excerpt`](crate::telemetry::log::excerpt) returns it.
    pub(super) text: &'a str,
}

impl LogLine<'_> {
    /// Writes the line to the log with the names of its request, unless the limit is reached. A
    /// line of a level that is not logged uses nothing of the limit.
    pub(super) fn write(self, request: Option<&RequestInfo>) {
        static WRITTEN: LineLimit = LineLimit::new(LINES);
        let Self {
            how, context, text, ..
        } = self;
        let LogNames {
            id,
            trace,
            method,
            route,
        } = RequestInfo::log_names(request);
        // The macros take a level as a constant.
        macro_rules! write_at {
            ($level:expr) => {
                if tracing::enabled!($level)
                    && let Some(line) = WRITTEN.line()
                {
                    tracing::event!(
                        $level,
                        id,
                        trace,
                        method,
                        route,
                        context,
                        "the component {how}: {text}{line}"
                    );
                }
            };
        }
        match self.level {
            Level::TRACE => write_at!(Level::TRACE),
            Level::DEBUG => write_at!(Level::DEBUG),
            Level::INFO => write_at!(Level::INFO),
            Level::WARN => write_at!(Level::WARN),
            Level::ERROR => write_at!(Level::ERROR),
        }
    }
}
