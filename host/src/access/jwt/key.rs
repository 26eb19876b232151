//! Keys (JSON Web Key, RFC 7517), and the algorithms that each is for (RFC 7518, RFC 8037).
//!
//! A key's type and curve decide which algorithms there are for it, and its `alg` leaves one of
//! them. None of them is symmetric, so a public key is never the secret of a token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::object::{not_null, object};

/// The longest set of keys, in bytes.
pub(super) const MAX_SET: usize = 256 << 10;

/// The most keys of a set, which are all tried for a token that names none.
const MAX_KEYS: usize = 32;

/// The fewest bits of an RSA key (RFC 7518, 3.3), and the most that are accepted.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            // RFC 9864 has the second name.
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// What verifies signatures.
#[derive(Clone, PartialEq, Eq)]
enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key of the issuer.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    public: Public,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.id)
    }
}

/// The keys of the issuer (RFC 7517, 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeySet(Vec<Key>);

/// What of a set is read.
#[derive(Deserialize)]
struct Set<'s> {
    #[serde(borrow)]
    keys: Vec<&'s RawValue>,
}

/// What of a key is read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default, deserialize_with = "not_null")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    alg: Option<String>,
    #[serde(default, rename = "use", deserialize_with = "not_null")]
    purpose: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// Of a private key.
    d: Option<IgnoredAny>,
}

impl KeySet {
    /// Reads a set. Keys that verify no signature of a known algorithm are left out.
    ///
    /// # Errors
    /// What is wrong, if it is no set or none of its keys can be used. It quotes nothing.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let set: Set<'_> = object(json)
            .ok_or_else(|| "it is not a JSON object with a list `keys` (RFC 7517)".to_owned())?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("it has more than {MAX_KEYS} keys"));
        }
        let (mut keys, mut unusable) = (Vec::new(), Vec::new());
        for (key, number) in set.keys.iter().zip(1..) {
            match Key::parse(key.get()) {
                Ok(key) => keys.push(key),
                Err(reason) => unusable.push(format!("key {number} {reason}")),
            }
        }
        if keys.is_empty() {
            unusable.insert(0, "it has no key that verifies signatures".to_owned());
            return Err(unusable.join("; "));
        }
        for reason in unusable {
            tracing::debug!("--jwt-keys: {reason}, and is left out");
        }
        Ok(Self(keys))
    }

    /// How many keys there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether any of the keys may have made a token, by the key and the algorithm that it names.
    pub(super) fn find(&self, id: Option<&str>, algorithm: &str) -> Found<'_> {
        let Some(algorithm) = Algorithm::parse(algorithm) else {
            return Found::OtherAlgorithm;
        };
        let mut named = self
            .0
            .iter()
            .filter(|key| id.is_none() || key.id.as_deref() == id);
        if named.clone().any(|key| key.is_for(algorithm)) {
            Found::Keys(Candidates {
                keys: &self.0,
                id: id.map(str::to_owned),
                algorithm,
            })
        } else if named.next().is_some() {
            Found::OtherAlgorithm
        } else {
            Found::None
        }
    }
}

/// The keys that may have made a token.
pub(super) enum Found<'k> {
    Keys(Candidates<'k>),
    /// None is for the algorithm.
    OtherAlgorithm,
    /// None has the name.
    None,
}

/// At least one key.
pub(super) struct Candidates<'k> {
    keys: &'k [Key],
    id: Option<String>,
    algorithm: Algorithm,
}

impl Candidates<'_> {
    /// Whether one of them made the signature.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.keys.iter().any(|key| {
            (self.id.is_none() || key.id == self.id)
                && key.is_for(self.algorithm)
                && key.verify(self.algorithm, message, signature)
        })
    }
}

impl Key {
    fn parse(json: &str) -> Result<Self, &'static str> {
        let jwk: Jwk = object(json.as_bytes()).ok_or("is malformed")?;
        if jwk.d.is_some() {
            return Err("is a private key, which belongs to the issuer alone");
        }
        if jwk.purpose.is_some_and(|purpose| purpose != "sig") {
            return Err("is not for signatures");
        }
        let verifies = |operations: Vec<String>| operations.iter().any(|name| name == "verify");
        if !jwk.key_ops.is_none_or(verifies) {
            return Err("is not for verifying");
        }
        let number = |text: Option<String>| {
            let bytes = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
            bytes.ok_or("is malformed")
        };
        // A coordinate has the full length of its curve's (RFC 7518, 6.2.1.2).
        let coordinate = |text: Option<String>, length: usize| {
            number(text).and_then(|bytes| {
                if bytes.len() == length {
                    Ok(bytes)
                } else {
                    Err("is malformed")
                }
            })
        };
        let point = |x, y, length| {
            Ok::<_, &'static str>(
                [vec![4], coordinate(x, length)?, coordinate(y, length)?].concat(),
            )
        };
        let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let strip = |number: Vec<u8>| {
                    let zeros = number.iter().take_while(|byte| **byte == 0).count();
                    number.get(zeros..).unwrap_or_default().to_vec()
                };
                let (n, e) = (strip(number(jwk.n)?), strip(number(jwk.e)?));
                let unused = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
                if !RSA_BITS.contains(&(n.len() * 8).saturating_sub(unused)) {
                    return Err("has not 2048 to 8192 bits");
                }
                Public::Rsa { n, e }
            }
            ("EC", Some("P-256")) => Public::P256(point(jwk.x, jwk.y, 32)?),
            ("EC", Some("P-384")) => Public::P384(point(jwk.x, jwk.y, 48)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(coordinate(jwk.x, 32)?),
            ("oct", _) => return Err("is a secret, and not a public key"),
            _ => return Err("is of a type that is not supported"),
        };
        let unnamed = Self {
            id: jwk.kid,
            algorithm: None,
            public,
        };
        let Some(name) = jwk.alg else {
            return Ok(unnamed);
        };
        match Algorithm::parse(&name).filter(|algorithm| unnamed.is_for(*algorithm)) {
            None => Err("is for an algorithm that is not supported"),
            algorithm => Ok(Self {
                algorithm,
                ..unnamed
            }),
        }
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let fits = match self.public {
            Public::Rsa { .. } => {
                matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
            }
            Public::P256(_) => algorithm == Es256,
            Public::P384(_) => algorithm == Es384,
            Public::Ed25519(_) => algorithm == EdDsa,
        };
        fits && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.public {
            Public::Rsa { n, e } => {
                let parameters: &RsaParameters = match algorithm {
                    Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
                    Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            Public::P256(point) => ecdsa(&ECDSA_P256_SHA256_FIXED, point, message, signature),
            Public::P384(point) => ecdsa(&ECDSA_P384_SHA384_FIXED, point, message, signature),
            Public::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

fn ecdsa(
    algorithm: &'static EcdsaVerificationAlgorithm,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), ring::error::Unspecified> {
    UnparsedPublicKey::new(algorithm, point).verify(message, signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, A.2: RS256.
    const RSA: &str = concat!(
        r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W"#,
        r#"26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6"#,
        r#"b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WT"#,
        r#"BEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8N"#,
        r#"Aco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
    );
    const BY_RSA: &str = concat!(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9",
        "leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2Vt",
        "Qgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKB",
        "YNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN",
        "9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI",
        "8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    /// A.3: ES256.
    const EC: &str = concat!(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"#,
        r#""x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    );
    const BY_EC: &str = concat!(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9",
        "leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXF",
        "CgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    /// RFC 8037, A.4: EdDSA.
    const OKP: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const BY_OKP: &str = concat!(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1P",
        "POt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );

    fn set(keys: &[&str]) -> Result<KeySet, String> {
        KeySet::parse(format!("{{\"keys\":[{}]}}", keys.join(",")).as_bytes())
    }

    fn verify(set: &KeySet, token: &str) -> bool {
        let token = super::super::compact::Compact::parse(token.as_bytes()).expect("a token");
        match set.find(token.key_id.as_deref(), &token.algorithm) {
            Found::Keys(keys) => keys.verify(token.signed, &token.signature),
            Found::OtherAlgorithm | Found::None => false,
        }
    }

    #[test]
    fn signatures_of_the_rfcs_are_verified_by_their_keys_alone() {
        let all = set(&[RSA, EC, OKP]).expect("keys");
        let (two, none) = (set(&[RSA, OKP]).expect("keys"), set(&[OKP]).expect("keys"));
        for token in [BY_RSA, BY_EC, BY_OKP] {
            assert!(verify(&all, token), "{token}");
            let (rest, last) = token.split_at(token.len() - 3);
            let other = if last.starts_with('A') { 'B' } else { 'A' };
            let changed = format!("{rest}{other}{}", &last[1..]);
            assert!(!verify(&all, &changed), "{changed}");
        }
        assert!(!verify(&two, BY_EC) && !verify(&none, BY_RSA));
    }

    #[test]
    fn key_of_no_use_is_left_out_and_a_set_without_any_other_is_an_error() {
        let with = |key: &str, members: &str| format!("{},{members}}}", key.trim_end_matches('}'));
        for (key, reason) in [
            (with(EC, r#""use":"enc""#), "not for signatures"),
            (with(EC, r#""key_ops":["sign"]"#), "not for verifying"),
            (with(EC, r#""alg":"RS256""#), "not supported"),
            (with(EC, r#""alg":"HS256""#), "not supported"),
            (with(RSA, r#""alg":"ES256""#), "not supported"),
            (with(RSA, r#""alg":"RSA-OAEP""#), "not supported"),
            (with(OKP, r#""d":"AA""#), "private"),
            (with(OKP, r#""crv":"X25519""#), "malformed"),
            (with(OKP, r#""kid":7"#), "malformed"),
            (with(OKP, r#""kty":"OKP""#), "malformed"),
            (OKP.replace("11qY", ""), "malformed"),
            (EC.replace("P-256", "P-384"), "malformed"),
            (EC.replace("P-256", "secp256k1"), "not supported"),
            (RSA.replace("ofgWC", "AAAAA"), "2048 to 8192 bits"),
            (r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned(), "secret"),
            ("7".to_owned(), "malformed"),
        ] {
            let error = set(&[&key]).expect_err(&key);
            assert!(
                error.contains("key 1 ") && error.contains(reason),
                "{key}: {error}"
            );
            assert_eq!(set(&[&key, EC]).map(|set| set.count()), Ok(1), "{key}");
        }
        for json in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(KeySet::parse(json.as_bytes()).is_err(), "{json}");
        }
        assert!(set(&[OKP; MAX_KEYS]).is_ok() && set(&[OKP; MAX_KEYS + 1]).is_err());
    }
}
