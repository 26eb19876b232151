//! Limits on log lines whose text or number a guest or a client can choose.
//!
//! A component that fails on purpose must not fill a disk. Each text is cut, and each kind of line
//! has a limit per second. Lines over the limit are counted, and the next line reports their
//! number.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Sends log lines at `level` and above to standard error, without colours.
///
/// Only the first call of a process has an effect.
pub fn log_to_stderr(level: tracing::Level) {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(level)
        .finish();
    // An error means that the embedding program has a subscriber already.
    tracing::subscriber::set_global_default(subscriber).ok();
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

    /// A line, or `None` if this second's limit is reached.
    pub(crate) fn line(&self) -> Option<Line> {
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
