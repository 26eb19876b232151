//! The settings of JSON Web Tokens.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::claims::is_scope;
use super::source::Location;
use crate::options::{YEAR, duration};

/// The settings of JSON Web Tokens.
#[derive(Args, Clone, Debug)]
#[group(id = "jwt-options")]
pub struct Config {
    /// The issuer's public keys (JWKS), as a file or a URL: requests may carry its JSON Web Tokens,
    /// too. A file is read again after SIGHUP and when it changes.
    #[arg(
        long,
        env = "USHER_JWT_KEYS",
        value_name = "LOCATION",
        hide_env_values = true
    )]
    pub jwt_keys: Option<Location>,
    /// The issuer of the tokens, exactly as their `iss` says.
    #[arg(long, env = "USHER_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// Whom the tokens have to be for: one of these has to be in their `aud`. May be given more
    /// than once, or separated by commas.
    #[arg(
        long = "jwt-audience",
        env = "USHER_JWT_AUDIENCE",
        value_name = "AUDIENCE",
        value_delimiter = ','
    )]
    pub jwt_audiences: Vec<String>,
    /// The scope that permits GET, HEAD and OPTIONS, in the tokens' `scope` or `scp`.
    #[arg(
        long,
        env = "USHER_JWT_READ_SCOPE",
        value_name = "SCOPE",
        default_value = "read",
        value_parser = scope
    )]
    pub jwt_read_scope: String,
    /// The scope that permits all other methods.
    #[arg(
        long,
        env = "USHER_JWT_WRITE_SCOPE",
        value_name = "SCOPE",
        default_value = "write",
        value_parser = scope
    )]
    pub jwt_write_scope: String,
    /// How far the clocks of the issuer and this machine may differ.
    #[arg(
        long,
        env = "USHER_JWT_LEEWAY",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(Duration::ZERO, MAX_LEEWAY)
    )]
    pub jwt_leeway: Duration,
    /// How often the keys of a URL are fetched.
    #[arg(
        long,
        env = "USHER_JWT_REFRESH",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = duration(MIN_REFRESH, MAX_REFRESH)
    )]
    pub jwt_refresh: Duration,
    /// How long to wait at start for a server of the keys that does not answer.
    #[arg(
        long,
        env = "USHER_JWT_WAIT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(Duration::ZERO, YEAR)
    )]
    pub jwt_wait: Duration,
    /// Certificates of authorities, as PEM, that the server of the keys may have one of, in
    /// addition to the public ones.
    #[arg(long, env = "USHER_JWT_KEYS_CA", value_name = "FILE")]
    pub jwt_keys_ca: Option<PathBuf>,
}

/// The longest leeway. A longer one would be a part of the tokens' life.
const MAX_LEEWAY: Duration = Duration::from_mins(10);

const MIN_REFRESH: Duration = Duration::from_secs(1);
const MAX_REFRESH: Duration = Duration::from_hours(24);

/// A scope.
fn scope(text: &str) -> Result<String, &'static str> {
    let scope = Some(text.to_owned()).filter(|text| is_scope(text));
    scope.ok_or("it must be one scope: ASCII without spaces, quotation marks and backslashes")
}

/// Whose tokens are accepted.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) keys: Location,
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
}

impl Config {
    /// Whether JSON Web Tokens are accepted.
    ///
    /// # Errors
    /// If the settings are incomplete.
    pub(crate) fn is_on(&self) -> Result<bool, String> {
        self.accepted().map(|accepted| accepted.is_some())
    }

    /// Whose tokens are accepted, if any are.
    ///
    /// # Errors
    /// If the settings are incomplete. An audience is needed: otherwise tokens for every other
    /// service of the issuer would be let in here (RFC 8725, 3.9).
    pub(super) fn accepted(&self) -> Result<Option<Accepted>, String> {
        let has_audience = self
            .jwt_audiences
            .iter()
            .any(|audience| !audience.is_empty());
        match (&self.jwt_keys, &self.jwt_issuer) {
            (Some(keys), Some(issuer)) if has_audience && !issuer.is_empty() => {
                Ok(Some(Accepted {
                    keys: keys.clone(),
                    issuer: issuer.clone(),
                    audiences: self.jwt_audiences.clone(),
                }))
            }
            (None, None) if !has_audience && self.jwt_keys_ca.is_none() => Ok(None),
            (None, _) => Err(
                "--jwt-issuer, --jwt-audience and --jwt-keys-ca need --jwt-keys, the issuer's keys"
                    .to_owned(),
            ),
            (Some(_), _) => Err(
                "--jwt-keys needs --jwt-issuer and --jwt-audience: whose tokens count, and whom \
                 they have to be for"
                    .to_owned(),
            ),
        }
    }
}
