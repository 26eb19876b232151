//! Parsers, ranges and defaults of settings.
//!
//! Each module declares its settings as [`clap::Args`], with name, environment variable, unit,
//! range, default and help. The command line, its configuration file and `docs/options.md` are made
//! from these declarations.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, Args, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest duration of any setting: one that is added to the clock never overflows.
pub(crate) const YEAR: Duration = Duration::from_hours(8766);

/// The shortest duration of a setting for which zero has no meaning.
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const TIB: u64 = 1 << 40;

/// A value that is not in its setting's range, or no value of its kind at all.
#[derive(Clone, Debug)]
pub(crate) struct NotInRange {
    kind: &'static str,
    range: String,
    examples: &'static str,
}

impl NotInRange {
    /// The range, such as `1ms to 1year`.
    pub(crate) fn range(&self) -> &str {
        &self.range
    }
}

impl fmt::Display for NotInRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            range,
            examples,
        } = self;
        write!(f, "it must be {kind} from {range}{examples}")
    }
}

impl std::error::Error for NotInRange {}

/// A parser of sizes in bytes within a range, as `65536`, `64KiB` or `1MiB`.
pub(crate) fn size<T: TryFrom<u64>>(
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<T, NotInRange> + Clone {
    move |text| {
        let size = text.trim().parse::<bytesize::ByteSize>().ok();
        let size = size.map(|size| size.as_u64());
        let size = size.filter(|size| (least..=most).contains(size));
        size.and_then(|size| size.try_into().ok())
            .ok_or_else(|| NotInRange {
                kind: "a size",
                range: format!("{} to {}", show_size(least), show_size(most)),
                examples: ", such as 65536, 64KiB or 1MiB",
            })
    }
}

/// A size in the largest unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    let unit = units
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// A parser of durations within a range, as `500ms`, `30s` or `2m`.
pub(crate) fn duration(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<Duration, NotInRange> + Clone {
    move |text| {
        let duration = humantime::parse_duration(text.trim()).ok();
        let duration = duration.filter(|duration| (least..=most).contains(duration));
        duration.ok_or_else(|| NotInRange {
            kind: "a duration",
            range: format!(
                "{} to {}",
                humantime::format_duration(least),
                humantime::format_duration(most)
            ),
            examples: ", such as 500ms, 30s or 2m",
        })
    }
}

/// A parser of whole numbers within a range.
pub(crate) fn number<T: FromStr>(
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<T, NotInRange> + Clone {
    move |text| {
        let number = text.trim().parse::<u64>().ok();
        let number = number.filter(|number| (least..=most).contains(number));
        // The types without zero have no conversion from other integers.
        number
            .and_then(|number| number.to_string().parse().ok())
            .ok_or_else(|| NotInRange {
                kind: "a number",
                range: format!("{least} to {most}"),
                examples: "",
            })
    }
}

/// The range of a setting, if it has one. It is read from the error of the setting's own parser, so
/// that it is written once.
pub(crate) fn range(arg: &Arg) -> Option<String> {
    let long = arg.get_long()?;
    if !arg.get_action().takes_values() {
        return None;
    }
    let command = Command::new("usher").arg(arg.clone().env(None::<&str>));
    let error = command
        .try_get_matches_from(["usher", &format!("--{long}=no value")])
        .err()?;
    let source = std::error::Error::source(&error)?;
    Some(source.downcast_ref::<NotInRange>()?.range().to_owned())
}

/// A fault in a file: its line, from 1, and what is wrong, which quotes nothing of the file.
pub(crate) type Fault = (usize, String);

/// Parses TOML.
pub(crate) fn toml(text: &str) -> Result<Spanned<DeTable<'_>>, Fault> {
    DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        // The parser's message names what it expects and quotes nothing of the file.
        (line(text, at), error.message().to_owned())
    })
}

/// The line, from 1, of a place in a text.
pub(crate) fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// A value of TOML as it would be written on the command line.
///
/// # Errors
/// What it is in place of a text, a decimal number, `true` or `false`.
pub(crate) fn scalar(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        other => Err(other.type_str()),
    }
}

/// The defaults of settings, for programs that embed Usher.
///
/// # Panics
/// If a setting has no valid default; a test reads them all.
pub(crate) fn defaults<A: Args>() -> A {
    let command = A::augment_args(Command::new("usher")).mut_args(|arg| arg.env(None::<&str>));
    let matches = command.try_get_matches_from(["usher"]);
    let read = matches.and_then(|matches| A::from_arg_matches(&matches));
    read.expect("each setting has a default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_outside_its_range_is_refused_with_the_range() {
        let parse = size::<usize>(64 * KIB, 4 * GIB);
        assert_eq!(parse("64KiB").ok(), Some(65_536));
        for text in [
            "65535",
            "0",
            "-1",
            "5GiB",
            "99999999999TiB",
            "much",
            "",
            "18446744073709551616",
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains("from 64KiB to 4GiB"), "{text}: {error}");
        }
    }

    #[test]
    fn duration_outside_its_range_is_refused_with_the_range() {
        let parse = duration(MILLISECOND, YEAR);
        assert_eq!(parse("1year").ok(), Some(YEAR));
        for text in ["0", "0s", "999us", "2years", "30", "99999999999999999999s"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains("from 1ms to 1year"), "{text}: {error}");
        }
    }

    #[test]
    fn number_outside_its_range_is_refused_with_the_range() {
        let parse = number::<u32>(1, 512);
        assert_eq!(parse("512").ok(), Some(512));
        for text in ["0", "513", "-1", "1.5", "99999999999999999999"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains("from 1 to 512"), "{text}: {error}");
        }
    }
}
