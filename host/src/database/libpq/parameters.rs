//! The names of connection parameters, and where each value comes from.
//!
//! A value is the one in the URL or, where the URL has none, that of the environment variable which
//! libpq reads for it. No error repeats a value, nor a name that is not in these tables: it may be
//! a piece of a password.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::error::UrlError;

/// The parameters that have an effect (PostgreSQL, 34.1.2), each with its environment variable
/// (34.15), if it has one.
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

/// The parameters that have none, whatever they say: nothing is less safe for that.
const WITHOUT_EFFECT: &[&str] = &[
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "sslcompression",
];

/// What libpq or asyncpg knows and Usher cannot do, with the variable that asks for it and what to
/// do instead.
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

/// What to do about a URL that a password seems to have broken.
pub(super) const ENCODE: &str = "percent-encode the user name and the password: @ is %40, : is \
%3A, / is %2F, ? is %3F, \
     # is %23, & is %26, = is %3D, % is %25, a space is %20";

/// How parameters are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Url,
    Pairs,
}

/// What was said, by name.
#[derive(Default)]
pub(super) struct Parameters {
    values: BTreeMap<&'static str, String>,
    /// The lists that were said as parameters, so that saying them again adds to them.
    lists: BTreeSet<&'static str>,
}

impl Parameters {
    /// Takes what the URL says in a place of its own: user, password, hosts, ports, database.
    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.values.insert(name, value);
    }

    /// Takes the `position`th parameter. Of one that is said twice the last counts; but of a URL
    /// hosts, addresses and ports add up, as SQLAlchemy writes them.
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

    /// Takes from the environment what was not said.
    pub(super) fn complete(
        &mut self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), UrlError> {
        let given = |name: &str| {
            (!name.is_empty())
                .then(|| variable(name))
                .flatten()
                .filter(|value| !value.is_empty())
        };
        for (_, name, remedy) in REFUSED {
            if given(name).is_some() {
                return Err(UrlError::new(format!(
                    "the environment variable {name} cannot be used: {remedy}"
                )));
            }
        }
        for (name, variable) in KNOWN {
            if !self.values.contains_key(name)
                && let Some(value) = given(variable)
            {
                self.values.insert(name, value);
            }
        }
        Ok(())
    }

    /// A value, unless it is empty, which is as good as none.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name).filter(|value| !value.is_empty())
    }
}

/// Other clients' names for libpq's parameters.
fn translate(name: &str, value: String) -> (&str, String) {
    match name {
        // asyncpg takes its modes here, SQLAlchemy's users write booleans.
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

/// Holds what is shown to one line.
pub(super) fn printable(what: &str, text: &str) -> Result<(), UrlError> {
    if text.contains(char::is_control) {
        return Err(UrlError::new(format!(
            "the {what} of the PostgreSQL URL holds a line break or another control character"
        )));
    }
    Ok(())
}

/// Takes a whole number.
pub(super) fn number(said: &mut Parameters, name: &'static str) -> Result<Option<i32>, UrlError> {
    said.take(name)
        .map(|text| {
            text.trim()
                .parse()
                .map_err(|_| UrlError::new(format!("{name} is a whole number")))
        })
        .transpose()
}

/// The value that goes by one of these names.
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
