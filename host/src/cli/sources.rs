//! The values of settings outside the command line: the environment before the configuration file.
//!
//! They become the defaults of clap's arguments, so that the same parsers read them, an option
//! replaces them, and an empty variable can count as unset.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::file;
use super::origin::Origin;

/// The variables of the environment.
pub(super) type Environment = [(OsString, OsString)];

/// The values of settings outside the command line, by the settings' ids.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<String, (Vec<OsString>, Origin)>);

/// A variable's value, unless it is empty.
pub(super) fn variable<'a>(environment: &'a Environment, arg: &Arg) -> Option<&'a OsString> {
    let name = arg.get_env()?;
    let mut found = environment.iter().filter(|(known, _)| known == name);
    let (_, value) = found.next()?;
    Some(value).filter(|value| !value.is_empty())
}

/// Whether an argument is a setting: it has a variable.
pub(super) fn is_setting(arg: &Arg) -> bool {
    arg.get_env().is_some()
}

impl Sources {
    /// Reads the values of the settings that `command` declares.
    pub(super) fn read(
        command: &Command,
        environment: &Environment,
        config_file: Option<&Path>,
    ) -> Result<Self, String> {
        let settings = || command.get_arguments().filter(|arg| is_setting(arg));
        // A file that names another one would be a chain of them.
        let keys: Vec<&str> = settings()
            .filter(|arg| arg.get_id() != "config-file")
            .filter_map(Arg::get_long)
            .collect();
        let mut entries = match config_file {
            Some(path) => file::read(path, &keys)?,
            None => BTreeMap::new(),
        };
        let mut sources = BTreeMap::new();
        for arg in settings() {
            let name = arg.get_env().unwrap_or_default().to_string_lossy();
            let entry = entries.remove(arg.get_long().unwrap_or_default());
            let given = match (variable(environment, arg), entry, config_file) {
                (Some(value), ..) => (vec![value.clone()], Origin::Environment(name.into_owned())),
                (None, Some((values, line)), Some(path)) => {
                    if values.len() != 1 && !is_list(arg) {
                        let name = arg.get_long().unwrap_or_default();
                        let path = path.display();
                        return Err(format!("{path}:{line}: {name} takes one value, not a list"));
                    }
                    (values, Origin::File(path.to_owned(), line))
                }
                _ => continue,
            };
            sources.insert(arg.get_id().to_string(), given);
        }
        Ok(Self(sources))
    }

    /// The command with these values as defaults.
    pub(super) fn apply(&self, command: Command) -> Command {
        command.mut_args(|arg| match self.0.get(arg.get_id().as_str()) {
            Some((values, _)) => arg.default_values(values.clone()),
            None => arg,
        })
    }

    /// Where the value of a setting comes from.
    pub(super) fn origin(&self, id: &str, matches: &ArgMatches) -> Origin {
        match (matches.value_source(id), self.0.get(id)) {
            (Some(ValueSource::CommandLine), _) => Origin::Option,
            (_, Some((_, origin))) => origin.clone(),
            (_, None) => Origin::Default,
        }
    }

    /// An error about one of these values, which clap takes for an option's, with its origin.
    pub(super) fn explain(&self, mut error: clap::Error, command: &Command) -> clap::Error {
        let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
            return error;
        };
        // The option with what it takes, as in `--max-body <SIZE>`.
        let long = shown.trim_start_matches('-').split([' ', '[', '=']).next();
        let arg = command.get_arguments().find(|arg| arg.get_long() == long);
        let given = arg.and_then(|arg| Some((arg, self.0.get(arg.get_id().as_str())?)));
        let name = match given {
            Some((_, (_, Origin::Environment(name)))) => name.clone(),
            Some((arg, (_, Origin::File(path, line)))) => {
                let name = arg.get_long().unwrap_or_default();
                format!("{name} in {}:{line}", path.display())
            }
            _ => return error,
        };
        error.insert(ContextKind::InvalidArg, ContextValue::String(name));
        error
    }
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// The command as it is parsed with: the environment is not clap's to read, and a flag may have a
/// value, so that `--no-migrate=false` overrules the environment.
pub(super) fn without_environment(command: Command) -> Command {
    let plain = |arg: Arg| {
        let is_flag = is_setting(&arg) && matches!(arg.get_action(), ArgAction::SetTrue);
        let arg = arg.env(None::<&str>);
        if is_flag {
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value("false")
                .value_parser(flag)
        } else {
            arg
        }
    };
    command
        .mut_args(plain)
        .mut_subcommands(|subcommand| subcommand.mut_args(plain))
}

/// A flag's value.
fn flag(text: &str) -> Result<bool, &'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("it must be 1 or 0, true or false, yes or no, on or off"),
    }
}
