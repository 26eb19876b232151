//! The table of options, and the settings as a whole.

use std::fmt::Write as _;

use clap::{Args as _, FromArgMatches as _};

use super::command::Options;
use crate::database::Url;
use crate::options::range;
use crate::server::Config;

/// All options of the server as a table, in the order in which they are declared.
fn table() -> String {
    let mut command = Options::augment_args(clap::Command::new("usher"));
    command.build();
    let mut text = "# Options\n\n\
                    Made from the declarations by \
                    `USHER_WRITE_OPTIONS=1 cargo test -p usher options`.\n\n\
                    | option | environment | default | range | |\n|---|---|---|---|---|\n"
        .to_owned();
    for arg in command.get_arguments() {
        let Some(long) = arg.get_long().filter(|long| *long != "help") else {
            continue;
        };
        let value = match (arg.get_action().takes_values(), arg.get_value_names()) {
            (true, Some([name, ..])) => format!(" {name}"),
            _ => String::new(),
        };
        let variable = arg.get_env().map(|name| name.to_string_lossy());
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .filter(|_| arg.get_action().takes_values())
            .map(|value| format!("`{}`", value.to_string_lossy()))
            .collect();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        writeln!(
            text,
            "| `--{long}{value}` | `{}` | {} | {} | {} |",
            variable.unwrap_or_default(),
            defaults.join(", "),
            range(arg).unwrap_or_default(),
            help.replace('\n', " ").replace('|', "\\|")
        )
        .expect("writing to a string cannot fail");
    }
    text
}

#[test]
fn options_table_in_docs_equals_the_declarations() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
    if std::env::var_os("USHER_WRITE_OPTIONS").is_some() {
        std::fs::write(file, table()).expect("docs/options.md can be written");
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        written == table(),
        "docs/options.md is not up to date: USHER_WRITE_OPTIONS=1 cargo test -p usher options"
    );
}

#[test]
fn config_of_an_embedding_program_equals_the_command_line_defaults() {
    let embedded = Config::new(crate::database::Config::new(Url::memory()));
    let command = Options::augment_args(clap::Command::new("usher"));
    let command = command.mut_args(|arg| arg.env(None::<&str>));
    let matches = command.get_matches_from(["usher"]);
    let options = Options::from_arg_matches(&matches).expect("no option is required");
    assert_eq!(format!("{embedded:?}"), format!("{:?}", options.config));
}
