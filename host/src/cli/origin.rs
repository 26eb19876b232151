//! A setting's value, and where it comes from.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line.
    Option,
    /// A variable of the environment, by name.
    Environment(String),
    /// A line of the configuration file.
    File(PathBuf, usize),
    /// The setting's declaration.
    Default,
}

impl Origin {
    /// The same number for origins of the same strength.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Option => 0,
            Self::Environment(_) => 1,
            Self::File(..) => 2,
            Self::Default => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => f.write_str("option"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path, line) => write!(f, "file {}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting, as it was given.
#[derive(Debug)]
pub(super) struct Setting {
    /// clap's id.
    pub(super) id: String,
    /// The long name of its option.
    pub(super) name: String,
    pub(super) values: Vec<String>,
    /// Whether it has a value, also by default.
    pub(super) is_given: bool,
    pub(super) is_list: bool,
    pub(super) origin: Origin,
}

/// The origins of the database's URL and of the file that holds it, if they are given.
pub(super) fn database_origins(settings: &[Setting]) -> (Option<&Origin>, Option<&Origin>) {
    let origin = |id: &str| {
        let setting = settings.iter().find(|setting| setting.id == id)?;
        setting.is_given.then_some(&setting.origin)
    };
    (origin("url"), origin("url-file"))
}
