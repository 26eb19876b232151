//! Connection URIs (PostgreSQL, 34.1.1.2). A URI that is ambiguous because a password is not
//! percent-encoded is an error.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::parameters::{ENCODE, Form, Parameters};
use crate::database::error::UrlError;

/// Parses the text after `postgres://`.
///
/// For libpq the password ends at the first `@` before the first `/`. If a password contained one
/// of these characters, its end would be displayed as a host or a database. So only one `@` is
/// allowed, after a user and a password without such characters.
pub(super) fn parse(rest: &str) -> Result<Parameters, UrlError> {
    if rest.contains(char::is_whitespace) {
        return Err(UrlError::new(format!(
            "a PostgreSQL URL holds no space: {ENCODE}; a list of name=value pairs is written \
            without postgres://"
        )));
    }
    let mut parameters = Parameters::default();
    let rest = match rest.split_once('@') {
        None => rest,
        Some((user, rest)) => {
            if user.contains(['/', '?', '#']) || rest.contains('@') {
                return Err(UrlError::new(format!(
                    "the PostgreSQL URL is ambiguous: an @ stands once, after the user name and \
                    the password, which hold no /, ? \
                     or #: {ENCODE}"
                )));
            }
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            if !user.is_empty() {
                parameters.set("user", decode(user)?);
            }
            if !password.is_empty() {
                parameters.set("password", decode(password)?);
            }
            rest
        }
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    authority(hosts, &mut parameters)?;
    if !database.is_empty() {
        parameters.set("dbname", decode(database)?);
    }
    for (index, pair) in query.split('&').enumerate() {
        if pair.is_empty() {
            continue;
        }
        let position = index + 1;
        let Some((name, value)) = pair.split_once('=') else {
            return Err(UrlError::new(format!(
                "the PostgreSQL URL's parameter {position} has no value: parameters are written \
                name=value; where a password \
                 stands there, {ENCODE}"
            )));
        };
        parameters.add(&decode(name)?, decode(value)?, position, Form::Url)?;
    }
    Ok(parameters)
}

/// Parses hosts with their ports, separated by commas. An IPv6 address is in brackets.
fn authority(text: &str, parameters: &mut Parameters) -> Result<(), UrlError> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for entry in text.split(',') {
        let (host, port) = match entry.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest
                    .split_once(']')
                    .ok_or_else(|| UrlError::new("an IPv6 address in the URL ends with ]"))?;
                let port = match port {
                    "" => "",
                    port => port.strip_prefix(':').ok_or_else(|| {
                        UrlError::new("after an IPv6 address in the URL comes : and a port")
                    })?,
                };
                (address, port)
            }
            None => entry.split_once(':').unwrap_or((entry, "")),
        };
        hosts.push(decode(host)?);
        ports.push(decode(port)?);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        parameters.set("host", hosts.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        parameters.set("port", ports.join(","));
    }
    Ok(())
}

/// Decodes percent-encoding, which has to be valid.
pub(crate) fn decode(text: &str) -> Result<String, UrlError> {
    let is_escape = |after: &str| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(UrlError::new(format!(
            "a % in the URL is followed by two hex digits: {ENCODE}"
        )));
    }
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| UrlError::new("what is percent-encoded in the URL is not UTF-8"))?;
    if text.contains('\0') {
        return Err(UrlError::new(
            "the URL holds a %00, which no database can take",
        ));
    }
    Ok(text.into_owned())
}

/// Percent-encodes a part of a URL.
pub(super) fn encode(text: &str) -> String {
    /// The characters that mean nothing in any part of a URL, and those of an address.
    const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b':')
        .remove(b'[')
        .remove(b']');
    utf8_percent_encode(text, SPECIAL).to_string()
}
