//! The settings of access control.

use std::path::PathBuf;

use clap::Args;
use http::{HeaderValue, Uri};

use super::jwt;

/// The settings of access control.
#[derive(Args, Clone, Debug)]
#[group(id = "access-options")]
pub struct Config {
    /// The file of tokens, one of which each request needs; `usher token new` adds one. It is read
    /// again after SIGHUP and when it changes.
    #[arg(long, env = "USHER_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// JSON Web Tokens.
    #[command(flatten)]
    pub jwt: jwt::Config,
    /// Tell the component who sends a request, by its token: in the header fields usher-subject,
    /// usher-issuer and usher-scopes.
    #[arg(long, env = "USHER_PASS_SUBJECT")]
    pub pass_subject: bool,
    /// A site whose pages may send requests, as its scheme and host; may be given more than once,
    /// or separated by commas.
    #[arg(
        long = "cors-origin",
        env = "USHER_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = origin
    )]
    pub cors_origins: Vec<HeaderValue>,
}

impl Config {
    /// Checks that the settings do not contradict each other.
    ///
    /// # Errors
    /// One line that names them.
    pub fn check(&self) -> Result<(), String> {
        let has_jwt = self.jwt.is_on()?;
        if self.pass_subject && self.tokens.is_none() && !has_jwt {
            return Err("--pass-subject needs --tokens or --jwt-keys, which say who it is".into());
        }
        Ok(())
    }
}

/// An origin as browsers write it: scheme, host, and a port if it is not the scheme's own.
fn origin(text: &str) -> Result<HeaderValue, &'static str> {
    let text = text.trim();
    let uri = text.parse::<Uri>().ok();
    let is_origin = uri.is_some_and(|uri| {
        let (scheme, authority) = (uri.scheme_str(), uri.authority());
        scheme
            .zip(authority)
            .is_some_and(|(scheme, authority)| format!("{scheme}://{authority}") == text)
    });
    let origin = HeaderValue::from_str(text).ok().filter(|_| is_origin);
    origin.ok_or("it must be a scheme and a host, such as https://app.example.org, without a path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_has_a_scheme_and_a_host_and_nothing_else() {
        for text in [
            "https://app.example.org",
            "http://localhost:3000",
            "http://[::1]:1",
        ] {
            assert!(origin(text).is_ok(), "{text}");
        }
        for text in [
            "*",
            "null",
            "app.example.org",
            "https://a.example/",
            "https://",
            "",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
