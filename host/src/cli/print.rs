//! What `usher config` prints: a configuration file with every setting and its origin.

use std::fmt::Write as _;

use super::origin::{Setting, database_origins};
use super::secret;
use crate::access::jwt::shown;
use crate::database::Url;
use crate::wasi::masked;

/// The settings as a configuration file, with passwords in URLs masked.
pub(super) fn describe(settings: &[Setting], url: &Url) -> String {
    let (text, file) = database_origins(settings);
    let from_file = secret::is_from_file(text, file);
    let mut lines = Vec::new();
    for setting in settings {
        let Setting { name, origin, .. } = setting;
        let line = match setting.id.as_str() {
            "url" if from_file => (
                format!("# {name} = {}", quoted(&url.to_string())),
                "read from database-file".to_owned(),
            ),
            "url" => (
                format!("{name} = {}", quoted(&url.to_string())),
                origin.to_string(),
            ),
            "jwt_keys" if setting.is_given => {
                let shown: Vec<_> = setting.values.iter().map(|value| shown(value)).collect();
                (
                    format!("{name} = {}", quoted(&shown.join(" "))),
                    origin.to_string(),
                )
            }
            "component_config" => {
                let shown = setting.values.iter().map(|value| quoted(&masked(value)));
                let shown: Vec<_> = shown.collect();
                (
                    format!("{name} = [{}]", shown.join(", ")),
                    origin.to_string(),
                )
            }
            // A file does not name another one.
            "config-file" if setting.is_given => {
                (format!("# {name} = {}", value(setting)), origin.to_string())
            }
            _ if setting.is_given || setting.is_list => {
                (format!("{name} = {}", value(setting)), origin.to_string())
            }
            _ => (format!("# {name}"), "not set".to_owned()),
        };
        lines.push(line);
    }
    let widths = lines.iter().map(|(line, _)| line.chars().count());
    let width = widths.filter(|width| *width <= 48).max().unwrap_or(0);
    let mut text = String::new();
    for (line, origin) in lines {
        let _infallible = writeln!(text, "{line:width$}  # {origin}");
    }
    text
}

fn value(setting: &Setting) -> String {
    let values: Vec<String> = setting.values.iter().map(|value| scalar(value)).collect();
    match (&values[..], setting.is_list) {
        ([value], false) => value.clone(),
        _ => format!("[{}]", values.join(", ")),
    }
}

/// A value in TOML: flags and numbers as they are, everything else in quotes.
fn scalar(value: &str) -> String {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_number && !value.is_empty() && (value == "0" || !value.starts_with('0'));
    if is_plain || matches!(value, "true" | "false") {
        value.to_owned()
    } else {
        quoted(value)
    }
}

/// A basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => {
                let _infallible = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_written_as_toml_reads_it() {
        for (value, written) in [
            ("16", "16"),
            ("0", "0"),
            ("007", "\"007\""),
            ("true", "true"),
            ("1MiB", "\"1MiB\""),
            ("a\"b\\c\n", "\"a\\\"b\\\\c\\u000A\""),
        ] {
            assert_eq!(scalar(value), written);
        }
    }
}
