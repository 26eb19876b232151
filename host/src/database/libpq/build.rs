//! Builds the target from the parameters of a URL, completed from the environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;

use super::parameters::{Parameters, number, one_of, printable};
use super::types::{Host, Keepalive, Postgres, Secret, ServerKind};
use super::{hosts, pairs, passfile, tls, uri};
use crate::database::error::UrlError;

/// Reads what follows `postgres:`, with the defaults of this process's environment.
pub(crate) fn from_uri(rest: &str) -> Result<Postgres, UrlError> {
    let rest = rest.strip_prefix("//").ok_or_else(|| {
        UrlError::new("a PostgreSQL URL is written postgres://USER:PASSWORD@HOST:PORT/DATABASE")
    })?;
    build(uri::parse(rest)?, &|name| std::env::var(name).ok())
}

/// Reads `name=value` pairs, with the same defaults.
pub(crate) fn from_pairs(text: &str) -> Result<Postgres, UrlError> {
    build(pairs::parse(text)?, &|name| std::env::var(name).ok())
}

pub(super) fn build(
    mut parameters: Parameters,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Postgres, UrlError> {
    parameters.complete(variable)?;
    let home = variable("HOME").map(PathBuf::from);
    let tls = tls::tls(&mut parameters, home.as_deref())?;
    let user = match parameters.take("user") {
        Some(user) => user,
        None => operating_system_user(variable),
    };
    let database = parameters.take("dbname").unwrap_or_else(|| user.clone());
    // Both are displayed, on one line.
    for (what, text) in [("user name", &user), ("database name", &database)] {
        printable(what, text)?;
    }
    let mut config = tokio_postgres::Config::new();
    config.user(&user).dbname(&database);
    if let Some(options) = parameters.take("options") {
        config.options(options);
    }
    let fallback = parameters.take("fallback_application_name");
    if let Some(name) = parameters.take("application_name").or(fallback) {
        config.application_name(name);
    }
    let binding = parameters.take("channel_binding");
    config.channel_binding(one_of(
        "channel_binding",
        binding.as_deref(),
        ChannelBinding::Prefer,
        &[
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ],
    )?);
    if let Some(encoding) = parameters.take("client_encoding")
        && !["utf8", "utf-8", "unicode", "auto"].contains(&encoding.to_lowercase().as_str())
    {
        return Err(UrlError::new("client_encoding is UTF8: leave it out"));
    }
    if parameters
        .take("gssencmode")
        .is_some_and(|mode| mode == "require")
    {
        return Err(UrlError::new(
            "gssencmode=require cannot be had: use sslmode=require",
        ));
    }
    if parameters
        .take("min_protocol_version")
        .is_some_and(|version| version != "3.0")
    {
        return Err(UrlError::new(
            "min_protocol_version is 3.0, the one that is spoken: leave it out",
        ));
    }
    let required = parameters.take("target_session_attrs");
    let required = one_of(
        "target_session_attrs",
        required.as_deref(),
        ServerKind::Any,
        &[
            ("any", ServerKind::Any),
            ("read-write", ServerKind::ReadWrite),
            ("read-only", ServerKind::ReadOnly),
            ("primary", ServerKind::Primary),
            ("standby", ServerKind::Standby),
            ("prefer-standby", ServerKind::PreferStandby),
        ],
    )?;
    let shuffle = parameters.take("load_balance_hosts");
    let shuffle = one_of(
        "load_balance_hosts",
        shuffle.as_deref(),
        false,
        &[("disable", false), ("random", true)],
    )?;
    let seconds = |number: Option<i32>| {
        number
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    };
    let connect_timeout = seconds(number(&mut parameters, "connect_timeout")?);
    let keepalive = Keepalive {
        is_on: number(&mut parameters, "keepalives")? != Some(0),
        idle: seconds(number(&mut parameters, "keepalives_idle")?),
        interval: seconds(number(&mut parameters, "keepalives_interval")?),
        count: number(&mut parameters, "keepalives_count")?
            .and_then(|count| u32::try_from(count).ok())
            .filter(|count| *count > 0),
    };
    let tcp_user_timeout = number(&mut parameters, "tcp_user_timeout")?
        .and_then(|milliseconds| u64::try_from(milliseconds).ok())
        .filter(|milliseconds| *milliseconds > 0)
        .map(Duration::from_millis);
    let mut hosts = hosts::hosts(&mut parameters)?;
    passwords(
        &mut parameters,
        home.as_deref(),
        &mut hosts,
        &database,
        &user,
    );
    Ok(Postgres {
        config,
        hosts,
        shuffle,
        required,
        tls,
        connect_timeout,
        keepalive,
        tcp_user_timeout,
    })
}

/// Sets each host's password: the parameter, or the one in the password file.
fn passwords(
    parameters: &mut Parameters,
    home: Option<&Path>,
    hosts: &mut [Host],
    database: &str,
    user: &str,
) {
    let file = parameters.take("passfile").map(PathBuf::from);
    if let Some(password) = parameters.take("password") {
        let password = Secret::new(password);
        for host in hosts {
            host.password = Some(password.clone());
        }
        return;
    }
    let Some(file) = file.or_else(|| home.map(|home| home.join(".pgpass"))) else {
        return;
    };
    let Some(text) = passfile::read(&file) else {
        return;
    };
    for host in hosts {
        host.password = passfile::find(&text, &host.name, host.port, database, user);
    }
}

/// The name of the user that runs this program.
fn operating_system_user(variable: &dyn Fn(&str) -> Option<String>) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let id = rustix::process::geteuid().as_raw().to_string();
    users
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == id).then(|| name.to_owned())
        })
        .or_else(|| variable("USER"))
        .unwrap_or_else(|| "postgres".to_owned())
}
