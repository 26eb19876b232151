//! Connection parameters in each form, compared with libpq, SQLAlchemy and asyncpg.

use std::time::Duration;

use super::build::build;
use super::types::*;
use super::{pairs, uri};
use crate::database::error::UrlError;

/// Reads either form with these variables in the environment.
fn read(text: &str, variables: &[(&str, &str)]) -> Result<Postgres, UrlError> {
    let parameters = match text.split_once("://") {
        Some((_, rest)) => uri::parse(rest)?,
        None => pairs::parse(text)?,
    };
    build(parameters, &|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn shown(text: &str, variables: &[(&str, &str)]) -> String {
    match read(text, variables) {
        Ok(read) => read.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn hosts_in_every_form_parse_as_in_libpq_and_sqlalchemy() {
    for (text, expected) in [
        ("postgres://me@db/x", "me@db/x"),
        ("postgresql://me@db:5433/x", "me@db:5433/x"),
        ("postgres://me@a:1,b:2/x", "me@a:1,b:2/x"),
        ("postgres://me@a,b:2/x", "me@a,b:2/x"),
        (
            "postgres://me@[::1]:5433,[fe80::2]/x",
            "me@[::1]:5433,[fe80::2]/x",
        ),
        ("postgres://me@%2Frun%2Fpg:5433/x", "me@%2Frun%2Fpg:5433/x"),
        ("postgres://me@/x?host=a", "me@a/x"),
        ("postgres://me@/x?host=a,b&port=1,2", "me@a:1,b:2/x"),
        ("postgres://me@/x?host=a,b&port=1", "me@a:1,b:1/x"),
        // A parameter takes precedence over the authority.
        ("postgres://me@a/x?port=1", "me@a:1/x"),
        ("postgres://me@a:2/x?port=1", "me@a:1/x"),
        ("postgres://me@a:2/x?host=b", "me@b:2/x"),
        ("postgres://me@a/x?user=you&dbname=y", "you@a/y"),
        // SQLAlchemy: a port after the host, and a parameter for each host.
        ("postgres://me@/x?host=127.0.0.1:1", "me@127.0.0.1:1/x"),
        ("postgres://me@/x?host=a:1&host=b:2", "me@a:1,b:2/x"),
        (
            "postgres://me@/x?host=a&host=b&port=1&port=2",
            "me@a:1,b:2/x",
        ),
        ("postgres://me@/x?host=a:1,b:2", "me@a:1,b:2/x"),
        ("postgres://me@/x?host=a:1,b&port=3", "me@a:1,b:3/x"),
        ("postgres://me@/x?host=[::1]:1", "me@[::1]:1/x"),
        ("postgres://me@/x?host=::1", "me@[::1]/x"),
        // asyncpg: the path of the socket.
        (
            "postgres://me@/x?host=/run/pg/.s.PGSQL.7",
            "me@%2Frun%2Fpg:7/x",
        ),
        ("postgres://me@/x?host=/run/pg&port=7", "me@%2Frun%2Fpg:7/x"),
        ("postgres://me@/x?hostaddr=10.0.0.1", "me@10.0.0.1/x"),
        ("postgres://me@a,b/x?hostaddr=10.0.0.1,::1", "me@a,b/x"),
        ("host=a user=me dbname=x", "me@a/x"),
        ("host = a  user='me'\tdbname=x\nport=7", "me@a:7/x"),
        (r"host=a user='m\'e' dbname=b\\c", "m%27e@a/b%5Cc"),
        ("host=/run/pg user=me dbname=x", "me@%2Frun%2Fpg/x"),
        ("postgres://me@a", "me@a/me"),
    ] {
        assert_eq!(shown(text, &[]), format!("postgres://{expected}"), "{text}");
    }
}

#[test]
fn hostaddr_is_the_address_and_host_the_name() {
    let read = read("postgres://me@a,b/x?hostaddr=10.0.0.1,::1", &[]).expect("a URL");
    let locations: Vec<_> = read
        .hosts
        .iter()
        .map(|host| format!("{} {:?}", host.name, host.location))
        .collect();
    assert_eq!(locations, ["a Address(10.0.0.1)", "b Address(::1)"]);
}

#[test]
fn environment_supplies_missing_parameters() {
    let all = [
        ("PGHOST", "env"),
        ("PGPORT", "7"),
        ("PGUSER", "someone"),
        ("PGDATABASE", "there"),
        ("PGPASSWORD", "secret"),
        ("PGSSLMODE", "require"),
    ];
    for (text, expected) in [
        ("postgres://", "someone:***@env:7/there?sslmode=require"),
        ("postgres://me@/x", "me:***@env:7/x?sslmode=require"),
        ("postgres://a:1", "someone:***@a:1/there?sslmode=require"),
        (
            "postgres:///x?sslmode=disable",
            "someone:***@env:7/x?sslmode=disable",
        ),
        ("user=me", "me:***@env:7/there?sslmode=require"),
    ] {
        assert_eq!(
            shown(text, &all),
            format!("postgres://{expected}"),
            "{text}"
        );
    }
    let timeout = |text: &str| {
        read(
            text,
            &[
                ("PGCONNECT_TIMEOUT", "7"),
                ("PGTARGETSESSIONATTRS", "primary"),
            ],
        )
        .map(|read| (read.connect_timeout, read.required))
        .expect(text)
    };
    assert_eq!(
        timeout("postgres://a"),
        (Some(Duration::from_secs(7)), ServerKind::Primary)
    );
    // No timeout, as in libpq; the host's own limit remains.
    assert_eq!(
        timeout("postgres://a?connect_timeout=0&target_session_attrs=any"),
        (None, ServerKind::Any)
    );
    assert!(read("postgres://a", &[("PGSERVICE", "x")]).is_err());
    assert!(read("postgres://a", &[("PGSSLMODE", "nonsense")]).is_err());
}

#[test]
fn sslmode_and_ssl_select_mode_and_roots() {
    let read = |query: &str| {
        read(&format!("postgres://me@a/x?{query}"), &[])
            .map(|read| (read.tls.mode, read.tls.roots))
            .map_err(|error| error.to_string())
    };
    let file = || Roots::File("ca.crt".into());
    for (query, mode, roots) in [
        ("", TlsMode::Prefer, Roots::Unchecked),
        ("sslmode=disable", TlsMode::Disable, Roots::Unchecked),
        ("sslmode=allow", TlsMode::Allow, Roots::Unchecked),
        ("ssl=allow", TlsMode::Allow, Roots::Unchecked),
        ("ssl=prefer", TlsMode::Prefer, Roots::Unchecked),
        ("ssl=true", TlsMode::Require, Roots::Unchecked),
        ("ssl=False", TlsMode::Disable, Roots::Unchecked),
        ("ssl=verify-full", TlsMode::VerifyFull, Roots::Public),
        (
            "sslmode=verify-ca&sslrootcert=ca.crt",
            TlsMode::VerifyCa,
            file(),
        ),
        (
            "sslmode=require&sslrootcert=ca.crt",
            TlsMode::Require,
            file(),
        ),
        ("sslrootcert=system", TlsMode::VerifyFull, Roots::System),
    ] {
        assert_eq!(read(query), Ok((mode, roots)), "{query}");
    }
    for query in [
        "sslmode=verify-ca",
        "sslmode=none",
        "sslmode=require&sslrootcert=system",
        "sslnegotiation=direct",
        "sslcert=a.crt",
        "sslcrl=a.crl",
        "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
    ] {
        assert!(read(query).is_err(), "{query}");
    }
}

#[test]
fn unusable_parameter_is_refused() {
    for text in [
        "postgres://me@a,b/x?port=1,2,3",
        "postgres://me@a,b,c/x?hostaddr=::1,::1",
        "postgres://me@a:0/x",
        "postgres://me@a:65536/x",
        "postgres://me@[::1/x",
        "postgres://me@a/x?hostaddr=a",
        "postgres://me@a/x?connect_timeout=2s",
        "postgres://me@a/x?target_session_attrs=master",
        "postgres://me@a/x?nonsense=1",
        "postgres://me@a/x?service=y",
        "postgres://me@a/x?sslmode",
        "postgres://me@a/x%0Ay",
        "postgres://me@a/%zz",
        "postgres://me@a/%ff",
        "postgres://me@a/%00",
        "postgres://me@a b/x",
        "postgres://me@a!/x",
        "host=a user",
        "host=a user='me",
        "host=a nonsense=1",
    ] {
        assert!(read(text, &[]).is_err(), "{text}");
    }
}

/// Passwords with every special character of URLs and connection strings, in every form of both.
/// Whether the text parses or not, no part of the password is shown.
#[test]
fn password_in_any_url_is_not_shown() {
    let special = [
        "?",
        "#",
        "@",
        "/",
        ":",
        "%",
        "&",
        "=",
        " ",
        "'",
        "\"",
        "\\",
        "\n",
        "\t",
        "\r",
        ";",
        ",",
        "[",
        "]",
        "+",
        "%40",
        "%zz",
        "?host=",
        "&password=",
        "@db/",
        "://",
        "/x?user=",
        ":5432/",
        " host=",
    ];
    let forms = [
        "postgres://me:{}@db.example.com:5433/users",
        "postgres://me:{}@db.example.com/users?sslmode=require",
        "postgresql+asyncpg://me:{}@a:1,b:2/users",
        "postgres://:{}@/users?host=db",
        "postgres://me@db/users?password={}",
        "postgres://me@db/users?password={}&sslmode=require",
        "postgres://me@db/users?sslmode={}",
        "postgres:me:{}@db/users",
        "postgres:/me:{}@db/users",
        "postgres://user=me password={} host=x",
        "user=me password={} host=x",
        "user=me password='{}' host=x",
        "password={}",
        "me:{}@db/users",
        "jdbc:postgresql://db/users?user=me&password={}",
        "mysql://me:{}@db/users",
        "sqlite://me:{}@db/users",
        "memory:{}",
        "{}",
    ];
    let pieces = ["Zaq", "Wsx", "Cde", "Vfr"];
    for form in forms {
        // Between spaces it is a second pair.
        let is_unquoted = form.contains("password={}") && !form.contains("://");
        for first in special {
            for second in special {
                if is_unquoted && [first, second].contains(&" host=") {
                    continue;
                }
                let secret = format!("Zaq{first}Wsx{second}Cde{first}{second}Vfr");
                let text = form.replace("{}", &secret);
                let output = match text.parse::<crate::database::url::Url>() {
                    Ok(url) => format!("{url} {url:?}"),
                    Err(error) => format!("{error} {error:?}"),
                };
                for piece in pieces {
                    assert!(!output.contains(piece), "{text}: {output}");
                }
                assert!(!output.contains(['\n', '\r']), "{text}: {output}");
            }
        }
    }
}
