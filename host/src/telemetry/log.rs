//! Log lines whose text or number a guest or a client can choose: each is cut, and each kind has so many a second.
//!
//! A component that fails on purpose must not fill a disk. What is left out is counted, and the next line says how many.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// The longest text of a guest's or of the database's in one line, in bytes.
pub(crate) const LONGEST: usize = 1 << 10;

/// Lines of one kind in a second, unless said otherwise.
pub(crate) const LINES: u32 = 10;

/// Limits the lines of one kind to so many a second, all cores together.
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

/// The right to write one line. Its text is empty, or says how many were left out before it.
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

    /// A line, or none where this second has had its share.
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

/// A text on one line, without control characters, and cut at [`LONGEST`]. No more of it is formatted than is kept.
pub(crate) fn excerpt(text: impl fmt::Display) -> String {
    let mut cut = Cut(String::new());
    // The only error is that the text was cut, which it says by itself.
    let _ = write!(cut, "{text}");
    cut.0
}

/// As [`excerpt`], of what a program would write.
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
    fn line_limit_beyond_its_lines_counts_those_left_out() {
        let limit = LineLimit::new(2);
        let now = Instant::now();
        assert_eq!(limit.line_at(now), Some(Line { left_out: 0 }));
        assert_eq!(limit.line_at(now), Some(Line { left_out: 0 }));
        assert_eq!(limit.line_at(now), None);
        assert_eq!(limit.line_at(now + Duration::from_millis(999)), None);
        let next = limit.line_at(now + Duration::from_secs(1));
        let next = next.expect("a second later there are lines again");
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
    fn excerpt_of_a_long_text_is_cut_at_a_character() {
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
