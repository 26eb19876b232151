//! The parameters of TLS.

use std::path::{Path, PathBuf};

use super::parameters::{Parameters, one_of};
use super::types::{Roots, Tls, TlsMode, Versions};
use crate::database::error::UrlError;

/// Removes and converts them.
pub(super) fn tls(parameters: &mut Parameters, home: Option<&Path>) -> Result<Tls, UrlError> {
    let mode = parameters.take("sslmode");
    let root = parameters.take("sslrootcert");
    let is_system = root.as_deref() == Some("system");
    let default = if is_system {
        TlsMode::VerifyFull
    } else {
        TlsMode::Prefer
    };
    let mode = one_of(
        "sslmode",
        mode.as_deref(),
        default,
        &[
            ("disable", TlsMode::Disable),
            ("allow", TlsMode::Allow),
            ("prefer", TlsMode::Prefer),
            ("require", TlsMode::Require),
            ("verify-ca", TlsMode::VerifyCa),
            ("verify-full", TlsMode::VerifyFull),
        ],
    )?;
    if is_system && mode != TlsMode::VerifyFull {
        return Err(UrlError::new(
            "sslrootcert=system goes with sslmode=verify-full alone: anyone may have a \
            certificate of a public authority",
        ));
    }
    let in_home = |name: &str| {
        let file = home?.join(".postgresql").join(name);
        file.is_file().then_some(file)
    };
    let roots = match root {
        Some(_) if is_system => Roots::System,
        Some(file) => Roots::File(PathBuf::from(file)),
        None if mode < TlsMode::Require => Roots::Unchecked,
        None => match (in_home("root.crt"), mode) {
            (Some(file), _) => Roots::File(file),
            (None, TlsMode::VerifyCa) => {
                return Err(UrlError::new(
                    "sslmode=verify-ca needs sslrootcert, a file with the certificates to trust",
                ));
            }
            (None, TlsMode::VerifyFull) => Roots::Public,
            (None, _) => Roots::Unchecked,
        },
    };
    let certificate = parameters
        .take("sslcert")
        .map(PathBuf::from)
        .or_else(|| in_home("postgresql.crt"));
    let key = parameters
        .take("sslkey")
        .map(PathBuf::from)
        .or_else(|| in_home("postgresql.key"));
    let certificate_mode = parameters.take("sslcertmode");
    let client = match (certificate_mode.as_deref(), certificate, key) {
        (Some("disable"), ..) => None,
        (Some("require"), None, _) => {
            return Err(UrlError::new("sslcertmode=require needs sslcert"));
        }
        (None | Some("allow" | "require"), Some(certificate), Some(key)) => {
            Some((certificate, key))
        }
        (None | Some("allow" | "require"), Some(_), None) => {
            return Err(UrlError::new(
                "sslcert needs sslkey, the file with the certificate's key",
            ));
        }
        (None | Some("allow"), None, _) => None,
        (Some(_), ..) => {
            return Err(UrlError::new(
                "sslcertmode is one of disable, allow, require",
            ));
        }
    };
    let direct = parameters.take("sslnegotiation");
    let direct = one_of(
        "sslnegotiation",
        direct.as_deref(),
        false,
        &[("postgres", false), ("direct", true)],
    )?;
    if direct && mode < TlsMode::Require {
        return Err(UrlError::new(
            "sslnegotiation=direct goes with sslmode=require, verify-ca or verify-full",
        ));
    }
    let sni = parameters.take("sslsni");
    let sni = one_of("sslsni", sni.as_deref(), true, &[("0", false), ("1", true)])?;
    Ok(Tls {
        mode,
        roots,
        client,
        direct,
        sni,
        versions: versions(parameters)?,
    })
}

fn versions(parameters: &mut Parameters) -> Result<Versions, UrlError> {
    let known = [
        ("TLSv1", 10),
        ("TLSv1.0", 10),
        ("TLSv1.1", 11),
        ("TLSv1.2", 12),
        ("TLSv1.3", 13),
    ];
    let mut version = |name: &'static str, default| {
        let value = parameters.take(name);
        one_of(name, value.as_deref(), default, &known)
    };
    let least = version("ssl_min_protocol_version", 12)?;
    let most = version("ssl_max_protocol_version", 13)?;
    match (least, most) {
        (..=12, 13) => Ok(Versions::Both),
        (13, 13) => Ok(Versions::Only13),
        (..=12, 12) => Ok(Versions::Only12),
        _ => Err(UrlError::new(
            "ssl_min_protocol_version and ssl_max_protocol_version leave nothing: TLSv1.2 and \
            TLSv1.3 are spoken",
        )),
    }
}
