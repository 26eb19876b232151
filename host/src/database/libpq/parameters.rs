//! The names of connection parameters and the sources of their values.
//!
//! A value is in the URL or else in the environment variable that libpq reads. No error repeats a
//! value or a name that is not in these tables, because it may be part of a password.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::error::UrlError;

/// The parameters that have an effect (PostgreSQL, 34.1.2), with their environment variables
/// (34.15).
const KNOWN: &[(&str, &str)] = &[
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("client_encoding", "PGCLIENTENCODING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("fallback_application_name", ""),
    ("gssencmode", "PGGSSENCMODE"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("keepalives", ""),
    ("keepalives_count", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("min_protocol_version", "PGMINPROTOCOLVERSION"),
    ("options", "PGOPTIONS"),
    ("passfile", "PGPASSFILE"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcert", "PGSSLCERT"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("tcp_user_timeout", ""),
    ("user", "PGUSER"),
];

/// The parameters that are ignored. Ignoring them makes nothing less secure.
const WITHOUT_EFFECT: &[&str] = &[
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "sslcompression",
];

/// The parameters of libpq or asyncpg that Usher does not support, with the variable and the
/// alternative.
const REFUSED: &[(&str, &str, &str)] = &[
    ("command_timeout", "", "use --statement-timeout"),
    ("direct_tls", "", "use sslnegotiation=direct"),
    ("oauth_client_id", "", "OAuth is not supported"),
    ("oauth_client_secret", "", "OAuth is not supported"),
    ("oauth_issuer", "", "OAuth is not supported"),
    ("oauth_scope", "", "OAuth is not supported"),
    ("prepared_statement_cache_size", "", "leave it out"),
    ("prepared_statement_name_func", "", "leave it out"),
    ("replication", "", "leave it out"),
    (
        "require_auth",
        "PGREQUIREAUTH",
        "use channel_binding=require or sslmode=verify-full",
    ),
    (
        "requirepeer",
        "PGREQUIREPEER",
        "leave it out, and protect the socket's directory",
    ),
    ("requiressl", "PGREQUIRESSL", "use sslmode=require"),
    ("scram_client_key", "", "use password"),
    ("scram_server_key", "", "use password"),
    ("server_settings", "", "use options"),
    (
        "service",
        "PGSERVICE",
        "service files are not read: write host, port, dbname and user into the URL",
    ),
    ("servicefile", "", "service files are not read"),
    (
        "sslcrl",
        "PGSSLCRL",
        "revocation lists are not supported: leave it out",
    ),
    (
        "sslcrldir",
        "PGSSLCRLDIR",
        "revocation lists are not supported: leave it out",
    ),
    ("sslkeylogfile", "", "leave it out"),
    (
        "sslpassword",
        "",
        "encrypted keys are not supported: name a key without a password in sslkey",
    ),
    ("statement_cache_size", "", "leave it out"),
    ("timeout", "", "use connect_timeout"),
];

/// The remedy for a URL that an unencoded password seems to have broken.
pub(super) const ENCODE: &str = "percent-encode the user name and the password: @ is %40, : is \
%3A, / is %2F, ? is %3F, \
     # is %23, & is %26, = is %3D, % is %25, a space is %20";

/// How parameters are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Url,
    Pairs,
}

/// The given parameters by name.
#[derive(Default)]
pub(super) struct Parameters {
    values: BTreeMap<&'static str, String>,
    /// The lists that were given as parameters, so that a repeated one is appended.
    lists: BTreeSet<&'static str>,
}

impl Parameters {
    /// Sets a part of the URL itself: user, password, hosts, ports, database.
    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.values.insert(name, value);
    }

    /// Adds the `position`th parameter. The last of equal names counts; but in a URL hosts,
    /// addresses and ports are appended, as SQLAlchemy writes them.
    pub(super) fn add(
        &mut self,
        name: &str,
        value: String,
        position: usize,
        form: Form,
    ) -> Result<(), UrlError> {
        let (name, value) = translate(name, value);
        if let Some(&(name, _, remedy)) = REFUSED.iter().find(|(known, ..)| *known == name) {
            return Err(UrlError::new(format!(
                "the PostgreSQL URL's parameter {name} cannot be used: {remedy}"
            )));
        }
        if WITHOUT_EFFECT.contains(&name) {
            return Ok(());
        }
        let Some(&(name, _)) = KNOWN.iter().find(|(known, _)| *known == name) else {
            return Err(UrlError::new(format!(
                "the PostgreSQL URL's parameter {position} is none that is known ({}); where a \
                password stands there, {ENCODE}",
                KNOWN
                    .iter()
                    .map(|(name, _)| *name)
                    .collect::<Vec<_>>()
                    .join(", "),
            )));
        };
        if form == Form::Url
            && matches!(name, "host" | "hostaddr" | "port")
            && !self.lists.insert(name)
            && let Some(list) = self.values.get_mut(name)
        {
            list.push(',');
            list.push_str(&value);
        } else {
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// Adds missing parameters from the environment.
    pub(super) fn complete(
        &mut self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), UrlError> {
        let read = |name: &str| {
            (!name.is_empty())
                .then(|| variable(name))
                .flatten()
                .filter(|value| !value.is_empty())
        };
        for (_, name, remedy) in REFUSED {
            if read(name).is_some() {
                return Err(UrlError::new(format!(
                    "the environment variable {name} cannot be used: {remedy}"
                )));
            }
        }
        for (name, variable) in KNOWN {
            if !self.values.contains_key(name)
                && let Some(value) = read(variable)
            {
                self.values.insert(name, value);
            }
        }
        Ok(())
    }

    /// Removes and returns a value. An empty value counts as missing.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name).filter(|value| !value.is_empty())
    }
}

/// libpq's names and values for those of other clients.
fn translate(name: &str, value: String) -> (&str, String) {
    match name {
        // asyncpg accepts its modes here, users of SQLAlchemy write booleans.
        "ssl" => {
            let mode = match value.as_str() {
                "true" | "True" | "1" | "on" | "yes" => "require",
                "false" | "False" | "0" | "off" | "no" => "disable",
                _ => return ("sslmode", value),
            };
            ("sslmode", mode.to_owned())
        }
        "database" => ("dbname", value),
        "keepalives_retries" => ("keepalives_count", value),
        _ => (name, value),
    }
}

/// Rejects control characters in a text that is displayed on one line.
pub(super) fn printable(what: &str, text: &str) -> Result<(), UrlError> {
    if text.contains(char::is_control) {
        return Err(UrlError::new(format!(
            "the {what} of the PostgreSQL URL holds a line break or another control character"
        )));
    }
    Ok(())
}

/// Removes and parses a whole number.
pub(super) fn number(
    parameters: &mut Parameters,
    name: &'static str,
) -> Result<Option<i32>, UrlError> {
    parameters
        .take(name)
        .map(|text| {
            text.trim()
                .parse()
                .map_err(|_| UrlError::new(format!("{name} is a whole number")))
        })
        .transpose()
}

/// The value with this name, among `known`.
pub(super) fn one_of<T: Copy>(
    name: &str,
    value: Option<&str>,
    default: T,
    known: &[(&str, T)],
) -> Result<T, UrlError> {
    let Some(value) = value else {
        return Ok(default);
    };
    known
        .iter()
        .find(|(known, _)| *known == value)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            UrlError::new(format!("{name} is one of {}", names.join(", ")))
        })
}
