//! The configuration file: TOML, whose keys are the long names of options.
//!
//! An error names the file and the line and never quotes the line, which may hold a password.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use toml::de::DeValue;

use super::mistyped::nearest;
use crate::options::{self, Fault, line, scalar};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The values of one key, and their line.
pub(super) type Entry = (Vec<OsString>, usize);

/// Reads a file. `known` are the keys that it may have.
pub(super) fn read(path: &Path, known: &[&str]) -> Result<BTreeMap<String, Entry>, String> {
    let shown = path.display();
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read the configuration file {shown}: {error}"))?;
    if text.len() as u64 > LARGEST {
        return Err(format!(
            "the configuration file {shown} is larger than {LARGEST} bytes"
        ));
    }
    parse(&text, known).map_err(|(line, error)| format!("{shown}:{line}: {error}"))
}

fn parse(text: &str, known: &[&str]) -> Result<BTreeMap<String, Entry>, Fault> {
    let line = |at: usize| line(text, at);
    let table = options::toml(text)?;
    let mut entries = BTreeMap::new();
    for (key, value) in table.get_ref() {
        let (name, at) = (key.get_ref().as_ref(), line(key.span().start));
        if !known.contains(&name) {
            let nearest = nearest(name, known.iter().copied())
                .map_or_else(String::new, |name| format!("; did you mean {name}?"));
            return Err((at, format!("no setting has the name {name}{nearest}")));
        }
        let values = match value.get_ref() {
            DeValue::Array(values) => values
                .iter()
                .map(|value| argument(name, value.get_ref(), line(value.span().start)))
                .collect::<Result<Vec<_>, _>>()?,
            value => vec![argument(name, value, at)?],
        };
        entries.insert(name.to_owned(), (values, at));
    }
    Ok(entries)
}

/// A value as it would be written on the command line.
fn argument(name: &str, value: &DeValue<'_>, at: usize) -> Result<OsString, Fault> {
    scalar(value).map(OsString::from).map_err(|kind| {
        let why = format!(
            "{name} must be a text, a decimal number, true or false, or a list of these, not {kind}"
        );
        (at, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["max-body", "pool-size", "trusted-proxy"];

    fn fault(text: &str) -> String {
        let (line, error) = parse(text, &KNOWN).expect_err(text);
        format!("{line}: {error}")
    }

    #[test]
    fn keys_have_their_values_and_lines() {
        let text = "# sizes\nmax-body = \"2MiB\"\npool-size = 4\n\ntrusted-proxy = [\"::1\"]\n";
        let entries = parse(text, &KNOWN).expect("a valid file");
        assert_eq!(entries["max-body"], (vec!["2MiB".into()], 2));
        assert_eq!(entries["pool-size"], (vec!["4".into()], 3));
        assert_eq!(entries["trusted-proxy"], (vec!["::1".into()], 5));
    }

    #[test]
    fn unknown_key_is_an_error_with_its_line_and_the_nearest_name() {
        let fault = fault("\nmax-bdy = 1");
        assert!(fault.starts_with("2: "), "{fault}");
        assert!(fault.contains("did you mean max-body?"), "{fault}");
    }

    #[test]
    fn invalid_toml_is_an_error_that_quotes_nothing() {
        for text in [
            "max-body = \"secret",
            "max-body = secret",
            "max-body = { secret = 1",
            "max-body = 1\nmax-body = \"secret\"",
            "max-body \"secret\"",
        ] {
            let fault = fault(text);
            assert!(!fault.contains("secret"), "{text}: {fault}");
        }
    }

    #[test]
    fn table_date_and_fraction_are_errors() {
        for text in [
            "pool-size = 1.5",
            "[pool-size]",
            "pool-size = 2026-01-01",
            "pool-size = 0x10",
            "pool-size = [[1]]",
        ] {
            assert!(fault(text).contains("pool-size must be"), "{text}");
        }
    }
}
