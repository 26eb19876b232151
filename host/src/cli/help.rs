//! What the help, the manual page and the completions add to the declarations: ranges, which
//! options `-h` shows, and the exit codes.

use clap::{Arg, Command, CommandFactory as _};

use super::command::Cli;
use crate::options::range;

/// The options that `-h` shows; `--help` shows them all.
const COMMON: [&str; 9] = [
    "url",
    "url-file",
    "config-file",
    "log",
    "listen",
    "admin_listen",
    "no_migrate",
    "component",
    "pool_size",
];

const AFTER_HELP: &str = "\
Exit codes:
  0  a clean end
  1  a failure at run time: the database, a migration, the operating system; for migrate --plan
     also an obstacle, and for replay a difference
  2  a wrong option, variable, configuration file, component or address

An option goes before its variable, the variable before the configuration file. A variable that is
empty counts as unset. Options without a value are on with 1, true, yes or on in the environment,
and off with 0, false, no or off.";

/// The command as help shows it. It is not parsed with, because clap would read the environment.
pub(super) fn displayed() -> Command {
    Cli::command()
        .mut_args(show)
        .mut_subcommands(|subcommand| {
            let concerns: fn(&Arg) -> bool = match subcommand.get_name() {
                "backup" | "restore" => of_database,
                "replay" => of_component,
                _ => |_| true,
            };
            // They take a server's configuration, and most of it does not concern them.
            subcommand.mut_args(show).mut_args(|arg| {
                let is_other = arg.get_env().is_some() && !concerns(&arg);
                let is_hidden = is_other || arg.is_hide_set();
                arg.hide(is_hidden)
            })
        })
        .after_long_help(AFTER_HELP)
        .after_help("-h shows the most common options, --help all of them.")
}

/// Whether a setting says which database there is, or how a command runs.
fn of_database(arg: &Arg) -> bool {
    matches!(
        arg.get_id().as_str(),
        "url" | "url-file" | "config-file" | "log"
    )
}

/// Whether a setting says which component there is, or how a command runs.
fn of_component(arg: &Arg) -> bool {
    matches!(
        arg.get_id().as_str(),
        "component"
            | "compiler-program"
            | "component_config"
            | "component_config_file"
            | "instance_memory"
            | "cpu_time"
            | "request_timeout"
            | "config-file"
            | "log"
    )
}

fn show(arg: Arg) -> Arg {
    if arg.get_env().is_none() {
        return arg;
    }
    let is_common = COMMON.iter().any(|common| arg.get_id() == *common);
    let long_help = match (arg.get_long_help().or(arg.get_help()), range(&arg)) {
        (Some(help), Some(range)) => Some(format!("{help}\n[range: {range}]")),
        _ => None,
    };
    let arg = arg.hide_env_values(true).hide_short_help(!is_common);
    match long_help {
        Some(help) => arg.long_help(help),
        None => arg,
    }
}
