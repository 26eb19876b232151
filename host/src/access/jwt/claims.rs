//! What a token says (RFC 7519, 4.1; RFC 9068, 2.2), and whether it counts here and now.

use std::time::Duration;

use serde::Deserialize;

use super::object::{not_null, object};
use super::rejection::Rejection;

/// The claims of a token that are read. One that is there twice is an error.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    #[serde(default, deserialize_with = "not_null")]
    sub: Option<String>,
    aud: OneOrMore,
    exp: f64,
    #[serde(default, deserialize_with = "not_null")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "not_null")]
    iat: Option<f64>,
    #[serde(default, deserialize_with = "not_null")]
    scope: Option<OneOrMore>,
    #[serde(default, deserialize_with = "not_null")]
    scp: Option<OneOrMore>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(all) => all,
        }
    }
}

impl Claims {
    /// Reads the payload of a token whose signature has been verified.
    ///
    /// # Errors
    /// If a claim that is needed is missing, or one has the wrong type.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Rejection> {
        object(payload).ok_or(Rejection::Malformed)
    }

    /// Whether the token is of this issuer, for one of these audiences, and valid at this time. The
    /// clocks of issuer and host may differ by `leeway`.
    ///
    /// # Errors
    /// The first reason against it.
    pub(super) fn check(
        &self,
        issuer: &str,
        audiences: &[String],
        now: Duration,
        leeway: Duration,
    ) -> Result<(), Rejection> {
        if self.iss != issuer {
            return Err(Rejection::Issuer);
        }
        if !self
            .aud
            .all()
            .iter()
            .any(|audience| audiences.contains(audience))
        {
            return Err(Rejection::Audience);
        }
        let (now, leeway) = (now.as_secs_f64(), leeway.as_secs_f64());
        if now >= self.exp + leeway {
            return Err(Rejection::Expired);
        }
        let is_future = |time: Option<f64>| time.is_some_and(|time| time > now + leeway);
        if is_future(self.nbf) || is_future(self.iat) {
            return Err(Rejection::NotYetValid);
        }
        Ok(())
    }

    /// When it expires, in seconds since 1970.
    pub(super) fn expiry(&self) -> f64 {
        self.exp
    }

    /// Who the token is about: unique with its issuer.
    pub(super) fn into_subject(self) -> Option<String> {
        self.sub
    }

    /// What it permits: `scope` (RFC 8693, 4.2), and `scp` of issuers that call it so, each as text
    /// or as a list. What is no scope (RFC 6749, 3.3) is left out.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &str> {
        let claims = [&self.scope, &self.scp].into_iter().flatten();
        let words = claims.flat_map(|claim| -> Box<dyn Iterator<Item = &str>> {
            match claim {
                OneOrMore::One(text) => Box::new(text.split(' ')),
                OneOrMore::More(all) => Box::new(all.iter().map(String::as_str)),
            }
        });
        words.filter(|word| is_scope(word))
    }
}

/// Whether a text is one scope (RFC 6749, 3.3).
pub(super) fn is_scope(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEEWAY: Duration = Duration::from_secs(30);

    fn check(claims: &str) -> Result<(), Rejection> {
        let audiences = ["a".to_owned(), "b".to_owned()];
        Claims::parse(claims.as_bytes())?.check("i", &audiences, Duration::from_secs(1000), LEEWAY)
    }

    #[test]
    fn claims_count_for_their_issuer_audience_and_time() {
        let of = |rest: &str| check(&format!(r#"{{"iss":"i","aud":"a",{rest}}}"#));
        for (rest, expected) in [
            (r#""exp":1001"#, Ok(())),
            (r#""exp":971"#, Ok(())),
            (r#""exp":970.5"#, Ok(())),
            (r#""exp":970"#, Err(Rejection::Expired)),
            (r#""exp":-1"#, Err(Rejection::Expired)),
            (r#""exp":1e300"#, Ok(())),
            (r#""exp":1e999"#, Err(Rejection::Malformed)),
            (r#""exp":"1001""#, Err(Rejection::Malformed)),
            (r#""exp":null"#, Err(Rejection::Malformed)),
            (r#""exp":true"#, Err(Rejection::Malformed)),
            (r#""exp":1001,"exp":1002"#, Err(Rejection::Malformed)),
            (r#""sub":"s""#, Err(Rejection::Malformed)),
            (r#""exp":1001,"sub":7"#, Err(Rejection::Malformed)),
            (r#""exp":1001,"nbf":1030,"iat":1030"#, Ok(())),
            (r#""exp":2000,"nbf":1031"#, Err(Rejection::NotYetValid)),
            (r#""exp":2000,"iat":1031"#, Err(Rejection::NotYetValid)),
            (r#""exp":2000,"nbf":null"#, Err(Rejection::Malformed)),
            (r#""exp":2000,"nbf":"0""#, Err(Rejection::Malformed)),
        ] {
            assert_eq!(of(rest), expected, "{rest}");
        }
        for (claims, expected) in [
            (r#"{"iss":"i","aud":["x","b"],"exp":2000}"#, Ok(())),
            (
                r#"{"iss":"i","aud":["x"],"exp":2000}"#,
                Err(Rejection::Audience),
            ),
            (
                r#"{"iss":"i","aud":[],"exp":2000}"#,
                Err(Rejection::Audience),
            ),
            (
                r#"{"iss":"i","aud":"A","exp":2000}"#,
                Err(Rejection::Audience),
            ),
            (r#"{"iss":"i","exp":2000}"#, Err(Rejection::Malformed)),
            (
                r#"{"iss":"i","aud":"x","aud":"a","exp":2000}"#,
                Err(Rejection::Malformed),
            ),
            (
                r#"{"iss":"i","aud":{"a":1},"exp":2000}"#,
                Err(Rejection::Malformed),
            ),
            (
                r#"{"iss":"i","aud":["a",7],"exp":2000}"#,
                Err(Rejection::Malformed),
            ),
            (
                r#"{"iss":"j","aud":"a","exp":2000}"#,
                Err(Rejection::Issuer),
            ),
            (
                r#"{"iss":["i"],"aud":"a","exp":2000}"#,
                Err(Rejection::Malformed),
            ),
            (r#"{"aud":"a","exp":2000}"#, Err(Rejection::Malformed)),
            ("[]", Err(Rejection::Malformed)),
            (r#"["i","s","a",2000]"#, Err(Rejection::Malformed)),
        ] {
            assert_eq!(check(claims), expected, "{claims}");
        }
    }

    #[test]
    fn scopes_are_of_both_claims_as_text_or_list() {
        for (claims, expected) in [
            (r#""scope":"read  write""#, "read write"),
            (r#""scp":"read""#, "read"),
            (r#""scp":["read","write all","a\"b"],"scope":"x""#, "x read"),
            (r#""scope":["read","write"]"#, "read write"),
            (r#""scope":"""#, ""),
            (r#""scp":[]"#, ""),
        ] {
            let claims = format!(r#"{{"iss":"i","aud":"a","exp":1,{claims}}}"#);
            let claims = Claims::parse(claims.as_bytes()).expect("claims");
            assert_eq!(claims.scopes().collect::<Vec<_>>().join(" "), expected);
        }
        for claim in [r#""scope":7"#, r#""scp":null"#, r#""scp":[7]"#] {
            let claims = format!(r#"{{"iss":"i","aud":"a","exp":1,{claim}}}"#);
            assert!(Claims::parse(claims.as_bytes()).is_err(), "{claims}");
        }
    }
}
