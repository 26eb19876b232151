//! The password file (PostgreSQL, 34.16): lines `host:port:database:user:password`, of which the
//! first that matches counts.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::types::Secret;

/// The directories of libpq's default sockets. The file calls a server there `localhost`.
pub(super) const SOCKETS: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

/// Reads the file, if it exists. As in libpq, a file that others may read is ignored with a
/// warning.
pub(super) fn read(file: &Path) -> Option<String> {
    let ignored = |why: &str| {
        tracing::warn!("the password file {} is not used: {why}", file.display());
        None
    };
    let metadata = match std::fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return ignored(&error.to_string()),
    };
    if !metadata.is_file() {
        return ignored("it is no plain file");
    }
    if metadata.mode() & 0o077 != 0 {
        return ignored("others than its owner may access it: make its mode 0600");
    }
    match std::fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) => ignored(&error.to_string()),
    }
}

/// The password for a server, a database and a role.
pub(super) fn find(
    text: &str,
    host: &str,
    port: u16,
    database: &str,
    user: &str,
) -> Option<Secret> {
    let host = if SOCKETS.contains(&host) {
        "localhost"
    } else {
        host
    };
    let port = port.to_string();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = fields(line.trim_end_matches('\r'));
            for expected in [host, &port, database, user] {
                let field = fields.next()?;
                if !field.is_any && field.text != expected {
                    return None;
                }
            }
            fields
                .next()
                .map(|field| Secret::new(field.text))
                .filter(|password| !password.is_empty())
        })
}

struct Field {
    text: String,
    /// Whether it is `*`, which matches everything.
    is_any: bool,
}

/// The fields of a line. A backslash escapes the next character.
fn fields(line: &str) -> impl Iterator<Item = Field> {
    let mut characters = line.chars().peekable();
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let (mut text, mut escaped) = (String::new(), false);
        loop {
            match characters.next() {
                None => {
                    ended = true;
                    break;
                }
                Some(':') => break,
                Some('\\') if characters.peek().is_some() => {
                    escaped = true;
                    text.extend(characters.next());
                }
                Some(character) => text.push(character),
            }
        }
        let is_any = text == "*" && !escaped;
        Some(Field { text, is_any })
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn password_file_first_matching_line_has_the_password() {
        let text = "# a comment\n\
                    db:5433:users:me:first\n\
                    db:*:users:me:second\r\n\
                    *:*:*:you:with\\:colon\\\\and backslash\n\
                    localhost:*:*:*:of a socket\n\
                    ::1:5432:*:*:never\n\
                    \\:\\:1:5432:*:*:an address\n\
                    /run/pg:*:*:*:a directory\n";
        let found = |host, port, database, user| {
            find(text, host, port, database, user).map(|secret| secret.reveal().to_owned())
        };
        for (host, port, database, user, expected) in [
            ("db", 5433, "users", "me", Some("first")),
            ("db", 5432, "users", "me", Some("second")),
            ("db", 5432, "other", "me", None),
            (
                "elsewhere",
                1,
                "x",
                "you",
                Some("with:colon\\and backslash"),
            ),
            ("/var/run/postgresql", 5432, "x", "me", Some("of a socket")),
            ("localhost", 5432, "x", "me", Some("of a socket")),
            ("::1", 5432, "x", "me", Some("an address")),
            ("/run/pg", 5432, "x", "me", Some("a directory")),
        ] {
            let found = found(host, port, database, user);
            assert_eq!(found.as_deref(), expected, "{host}:{port}");
        }
    }
}
