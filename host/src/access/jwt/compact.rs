//! The compact form of a JWS (RFC 7515, 7.1): header, payload and signature in base64url, with dots
//! between them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::object::{not_null, object};
use super::rejection::Rejection;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 16 << 10;

/// The types of tokens that are accepted, in any case: access tokens (RFC 9068, 2.1), and tokens of
/// no particular kind (RFC 7519, 5.1).
const TYPES: [&str; 4] = ["at+jwt", "application/at+jwt", "jwt", "application/jwt"];

/// A token whose signature has not been verified.
#[derive(Debug)]
pub(super) struct Compact<'t> {
    /// The algorithm that it names.
    pub(super) algorithm: String,
    /// The key that it names.
    pub(super) key_id: Option<String>,
    /// What is signed: the header and the payload, as they were sent.
    pub(super) signed: &'t [u8],
    /// The claims as JSON.
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// The fields of a header that are read. One that is there twice is an error; so keys and addresses
/// of keys in a header (`jwk`, `jku`, `x5c`, `x5u`) have no effect.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "not_null")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    crit: Option<IgnoredAny>,
}

impl<'t> Compact<'t> {
    /// Reads a token.
    ///
    /// # Errors
    /// If it has not the form, or its header says that it is something else.
    pub(super) fn parse(token: &'t [u8]) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN {
            return Err(Rejection::Malformed);
        }
        let decode = |part| URL_SAFE_NO_PAD.decode(part).ok();
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Rejection::Malformed);
        };
        let signed = token.get(..header.len() + 1 + payload.len());
        let decoded = (signed, decode(header), decode(payload), decode(signature));
        let (Some(signed), Some(header), Some(payload), Some(signature)) = decoded else {
            return Err(Rejection::Malformed);
        };
        let header: Header = object(&header).ok_or(Rejection::Malformed)?;
        if header.crit.is_some() {
            return Err(Rejection::Critical);
        }
        let is_accepted = |typ: &str| TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ));
        if !header.typ.is_none_or(|typ| is_accepted(&typ)) {
            return Err(Rejection::Type);
        }
        Ok(Self {
            algorithm: header.alg,
            key_id: header.kid,
            signed,
            payload,
            signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Result<String, Rejection> {
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        Compact::parse(token.as_bytes()).map(|parsed| parsed.algorithm)
    }

    #[test]
    fn header_with_what_has_to_be_understood_or_is_ambiguous_is_refused() {
        let jwk = r#"{"alg":"ES256","jwk":{"kty":"EC"},"jku":"https://evil.example","typ":"JWT"}"#;
        assert_eq!(parse(jwk).as_deref(), Ok("ES256"));
        assert_eq!(
            parse(r#"{"alg":"ES256","typ":"At+jwt"}"#).as_deref(),
            Ok("ES256")
        );
        for (header, expected) in [
            (
                r#"{"alg":"ES256","crit":["b64"],"b64":false}"#,
                Rejection::Critical,
            ),
            (r#"{"alg":"ES256","crit":[]}"#, Rejection::Critical),
            (r#"{"alg":"ES256","crit":null}"#, Rejection::Critical),
            (r#"{"alg":"ES256","typ":"logout+jwt"}"#, Rejection::Type),
            (r#"{"alg":"ES256","alg":"RS256"}"#, Rejection::Malformed),
            (
                r#"{"alg":"ES256","kid":"a","kid":"b"}"#,
                Rejection::Malformed,
            ),
            (r#"{"alg":"ES256","kid":null}"#, Rejection::Malformed),
            (r#"{"alg":"ES256","kid":7}"#, Rejection::Malformed),
            (r#"{"alg":"ES256"} {}"#, Rejection::Malformed),
            (r#"{"alg":["ES256"]}"#, Rejection::Malformed),
            (r#"{"kid":"a"}"#, Rejection::Malformed),
            (r#"["ES256"]"#, Rejection::Malformed),
            ("", Rejection::Malformed),
        ] {
            assert_eq!(parse(header), Err(expected), "{header}");
        }
    }

    #[test]
    fn token_that_is_not_three_parts_of_base64url_is_malformed() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
        for rest in [
            "",
            ".",
            ".e30",
            ".e30.AAAA.",
            ".e30.AAAA.AAAA.AAAA",
            ".e30.AA==",
            ".e30.AB",
            ".e3 0.AA",
            ".e30.A+/A",
            ".e30.A",
        ] {
            let token = format!("{header}{rest}");
            let parsed = Compact::parse(token.as_bytes());
            assert_eq!(parsed.err(), Some(Rejection::Malformed), "{token}");
        }
        let long = format!("{header}.e30.{}", "A".repeat(MAX_TOKEN));
        assert_eq!(
            Compact::parse(long.as_bytes()).err(),
            Some(Rejection::Malformed)
        );
    }
}
