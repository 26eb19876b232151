//! The values that an operator sets for a component, which may be secrets: nothing here shows one,
//! and no error quotes one.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::options::{self, Fault, line, scalar};

/// The longest file of values, in bytes.
const LONGEST: u64 = 1 << 20;

/// What stands for a value.
const MASK: &str = "***";

/// `NAME=VALUE`, as an option has it. It is checked where it is used, because an error of clap's
/// quotes what it is about.
#[derive(Clone)]
pub struct NamedValue(String);

impl NamedValue {
    /// The value of this name, which has no `=` in it.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Self {
        Self(format!("{name}={value}"))
    }

    /// Its name, if it is `NAME=VALUE`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.parts().map(|(name, _)| name)
    }

    fn parts(&self) -> Option<(&str, &str)> {
        let (name, value) = self.0.split_once('=')?;
        Some((name.trim(), value)).filter(|(name, _)| !name.is_empty())
    }
}

impl From<String> for NamedValue {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for NamedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.0))
    }
}

/// `NAME=VALUE` with its value masked.
pub(crate) fn masked(text: &str) -> String {
    match text.split_once('=') {
        Some((name, _)) => format!("{name}={MASK}"),
        None => MASK.to_owned(),
    }
}

/// Values by their names, for a component that imports `wasi:config`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<String, String>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Values {
    /// Reads values of options and of a file. An option goes before the file.
    ///
    /// # Errors
    /// See [`ValuesError`].
    pub(crate) fn read(options: &[NamedValue], file: Option<&Path>) -> Result<Self, ValuesError> {
        let mut values = Self::of_options(options)?;
        if let Some(file) = file {
            for (name, value) in read(file)? {
                values.0.entry(name).or_insert(value);
            }
        }
        Ok(values)
    }

    /// Reads values of options alone.
    ///
    /// # Errors
    /// [`ValuesError::NotNamed`] and [`ValuesError::Twice`].
    pub(crate) fn of_options(options: &[NamedValue]) -> Result<Self, ValuesError> {
        let mut values = BTreeMap::new();
        let options = options.iter().enumerate();
        // A variable may end with an end of line.
        for (index, option) in options.filter(|(_, option)| !option.0.trim().is_empty()) {
            let (name, value) = option.parts().ok_or(ValuesError::NotNamed(index + 1))?;
            if values.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(ValuesError::Twice(name.to_owned()));
            }
        }
        Ok(Self(values))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of their names.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Why the values for a component cannot be read. The operator has to change them.
#[derive(Debug)]
pub enum ValuesError {
    /// An option, counted from 1, is not `NAME=VALUE`.
    NotNamed(usize),
    /// Two options have this name.
    Twice(String),
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is longer than 1 MiB.
    TooLong(PathBuf),
    /// A line of the file, counted from 1, is not as it has to be. The text says how.
    Invalid(PathBuf, usize, String),
}

impl fmt::Display for ValuesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNamed(number) => {
                write!(
                    f,
                    "--component-config takes NAME=VALUE, and number {number} of them is not"
                )
            }
            Self::Twice(name) => write!(f, "--component-config has {name:?} twice"),
            Self::Unreadable(file, error) => write!(
                f,
                "cannot read the file of --component-config-file, {}: {error}",
                file.display()
            ),
            Self::TooLong(file) => write!(
                f,
                "the file of --component-config-file, {}, is longer than {LONGEST} bytes",
                file.display()
            ),
            Self::Invalid(file, line, why) => write!(f, "{}:{line}: {why}", file.display()),
        }
    }
}

impl std::error::Error for ValuesError {}

fn read(file: &Path) -> Result<BTreeMap<String, String>, ValuesError> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    read.map_err(|error| ValuesError::Unreadable(file.to_owned(), error))?;
    if text.len() as u64 > LONGEST {
        return Err(ValuesError::TooLong(file.to_owned()));
    }
    parse(&text).map_err(|(line, why)| ValuesError::Invalid(file.to_owned(), line, why))
}

/// Reads TOML, whose keys are names.
fn parse(text: &str) -> Result<BTreeMap<String, String>, Fault> {
    let mut values = BTreeMap::new();
    for (name, value) in options::toml(text)?.get_ref() {
        let fault = |why: String| (line(text, name.span().start), why);
        let value = scalar(value.get_ref()).map_err(|kind| {
            fault(format!(
                "a value must be a text, a decimal number, true or false, not {kind}"
            ))
        })?;
        let name = name.get_ref();
        if name.trim().is_empty() {
            return Err(fault("a value needs a name".to_owned()));
        }
        values.insert(name.to_string(), value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(texts: &[&str]) -> Vec<NamedValue> {
        let texts = texts.iter().copied();
        texts.map(|text| NamedValue(text.to_owned())).collect()
    }

    #[test]
    fn option_that_is_not_named_or_named_twice_is_an_error_without_its_value() {
        for (texts, expected) in [
            (&["a=1", "secret"][..], "number 2"),
            (&["=secret"], "number 1"),
            (&[" =secret"], "number 1"),
            (&["a=secret", "a=secret"], "\"a\" twice"),
        ] {
            let error = Values::of_options(&options(texts)).expect_err(expected);
            let shown = error.to_string();
            assert!(shown.contains(expected), "{shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn value_of_an_option_is_all_behind_the_first_equals_sign() {
        let values = Values::of_options(&options(&["a=b=c ", "empty=", "", "ä ö=x"]));
        let values = values.expect("valid options");
        let all: Vec<_> = values.all().collect();
        assert_eq!(all, [("a", "b=c "), ("empty", ""), ("ä ö", "x")]);
    }

    #[test]
    fn file_has_scalars_by_their_names() {
        let text = "text = \"a\\nb\"\nflag = true\nnumber = -4\n\"a.b\" = ''\n";
        let values = parse(text).expect("a valid file");
        for (name, value) in [
            ("text", "a\nb"),
            ("flag", "true"),
            ("number", "-4"),
            ("a.b", ""),
        ] {
            assert_eq!(values[name], value);
        }
        assert_eq!(values.len(), 4);
    }

    #[test]
    fn fault_of_a_file_is_an_error_with_its_line_that_quotes_nothing() {
        for (text, line) in [
            ("a = 1\nb = secret", 2),
            ("a = \"secret", 1),
            ("a = 1\n\na = \"secret\"", 3),
            ("[secret]\na = 1", 1),
            ("a = [\"secret\"]", 1),
            ("a.secret = 1", 1),
            ("a = 1\n\" \" = \"secret\"", 2),
            ("a = 0x5ec2e7", 1),
            ("a = 1.5", 1),
        ] {
            let (at, why) = parse(text).expect_err(text);
            assert_eq!(at, line, "{text}: {why}");
            assert!(!why.contains("secret") && !why.contains("5ec2e7"), "{why}");
        }
    }

    #[test]
    fn no_value_is_shown_in_debugging_output() {
        let options = options(&["name=secret", "secret"]);
        let values = Values::of_options(&options[..1]).expect("a valid option");
        let shown = format!("{options:?} {values:?}");
        assert!(shown.contains("name"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
