//! From arguments, environment and file to settings.
//!
//! The arguments are parsed twice. The first time finds errors of the command line itself, and the
//! configuration file's name. The second time has the values of environment and file as defaults.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use super::command::{self, Cli, Options};
use super::help;
use super::mistyped;
use super::origin::{Setting, database_origins};
use super::secret;
use super::sources::{Environment, Sources, is_setting, variable, without_environment};
use crate::database::Url;
use crate::server::Config;

/// What to run.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) cli: Cli,
    /// The settings in the order of their declarations; none for a command without settings.
    pub(super) settings: Vec<Setting>,
    /// Lines to log at start.
    pub(super) warnings: Vec<String>,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(super) enum Stop {
    /// Help or a version was asked for, or the arguments are wrong.
    Clap(Box<clap::Error>),
    /// The environment or the file is wrong.
    Settings(String),
}

/// Parses the arguments, of which the first is the program's name.
pub(super) fn parse(arguments: &[OsString], environment: &Environment) -> Result<Parsed, Stop> {
    let plain = without_environment(Cli::command());
    let first = plain.clone().try_get_matches_from(arguments);
    let first = first.map_err(|error| Stop::Clap(Box::new(shown(error, arguments))))?;
    // The declarations, which name the variables.
    let declared = Cli::command();
    let (name, target, given) = match first.subcommand() {
        None => (None, Some(&declared), &first),
        Some((name, given)) => (Some(name), declared.find_subcommand(name), given),
    };
    let Some(target) = target.filter(|target| config_file(target).is_some()) else {
        return finish(&first, Vec::new(), Vec::new());
    };
    let named = given.get_one::<PathBuf>("config-file").cloned();
    let named = named.or_else(|| Some(variable(environment, config_file(target)?)?.into()));
    let sources = Sources::read(target, environment, named.as_deref()).map_err(Stop::Settings)?;
    let second = match name {
        None => sources.apply(plain),
        Some(name) => plain.mut_subcommand(name, |target| sources.apply(target)),
    };
    let matches = second
        .clone()
        .try_get_matches_from(arguments)
        .map_err(|error| {
            let target = match name {
                None => Some(&second),
                Some(name) => second.find_subcommand(name),
            };
            Stop::Clap(Box::new(match target {
                Some(target) => sources.explain(error, target),
                None => error,
            }))
        })?;
    let read = matches.subcommand().map_or(&matches, |(_, read)| read);
    let settings = target.get_arguments().filter(|arg| is_setting(arg));
    let settings = settings.map(|arg| setting(arg, read, &sources)).collect();
    finish(
        &matches,
        settings,
        mistyped::warnings(environment, &variables(target)),
    )
}

fn finish(
    matches: &ArgMatches,
    settings: Vec<Setting>,
    warnings: Vec<String>,
) -> Result<Parsed, Stop> {
    let cli = Cli::from_arg_matches(matches).map_err(|error| Stop::Clap(Box::new(error)))?;
    Ok(Parsed {
        cli,
        settings,
        warnings,
    })
}

fn config_file(command: &Command) -> Option<&Arg> {
    let mut arguments = command.get_arguments();
    arguments.find(|arg| arg.get_id() == "config-file")
}

fn variables(command: &Command) -> Vec<String> {
    let names = command.get_arguments().filter_map(Arg::get_env);
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

fn setting(arg: &Arg, matches: &ArgMatches, sources: &Sources) -> Setting {
    let id = arg.get_id().as_str();
    let is_flag = matches!(arg.get_action(), clap::ArgAction::SetTrue);
    let values = if is_flag {
        let is_on = matches.get_one::<bool>(id).is_some_and(|is_on| *is_on);
        vec![is_on.to_string()]
    } else {
        let raw = matches.get_raw(id).unwrap_or_default();
        raw.map(|value| value.to_string_lossy().into_owned())
            .collect()
    };
    Setting {
        id: id.to_owned(),
        name: arg.get_long().unwrap_or_default().to_owned(),
        values,
        is_given: matches.contains_id(id),
        is_list: matches!(arg.get_action(), clap::ArgAction::Append),
        origin: sources.origin(id, matches),
    }
}

/// The help with ranges and variables, or an error without what may be a password.
fn shown(error: clap::Error, arguments: &[OsString]) -> clap::Error {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let with_ranges = help::displayed().try_get_matches_from(arguments);
            with_ranges.err().unwrap_or(error)
        }
        _ => without_arguments(error),
    }
}

/// Removes arguments from an error, because a URL without its option, or split by a shell, would be
/// repeated with its password. The names of options remain.
fn without_arguments(mut error: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        let Some(ContextValue::String(argument)) = error.get(kind) else {
            continue;
        };
        let name = argument.strip_prefix("--").unwrap_or_default();
        let is_option = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let is_known = argument.starts_with("--") && argument.contains(['<', '[']);
        if !is_option && !is_known {
            error.insert(kind, ContextValue::String("…".to_owned()));
            error.remove(ContextKind::SuggestedSubcommand);
            error.remove(ContextKind::Suggested);
            error.remove(ContextKind::SuggestedArg);
        }
    }
    error
}

impl command::Options {
    /// The database that the settings name.
    pub(super) fn url(&self, settings: &[Setting]) -> Result<Url, String> {
        let (text, file) = database_origins(settings);
        secret::url(
            self.url.as_deref().zip(text),
            self.url_file.as_deref().zip(file),
        )
    }

    /// The configuration of a server.
    pub(super) fn config(self, settings: &[Setting]) -> Result<Config, String> {
        let url = self.url(settings)?;
        let Options { mut config, .. } = self;
        config.database.url = url;
        config.check()?;
        Ok(config)
    }
}
