//! Verifies a server's certificate by libpq's rules.
//!
//! webpki checks chains. It rejects what PostgreSQL's manual describes (18.9.5): self-signed
//! certificates, X.509 version 1, and names only in the subject. So two more certificates are
//! trusted:
//!
//! - a valid server certificate that is itself a trusted certificate;
//! - a certificate of version 1, which has no extensions that limit its use, if a trusted
//!   certificate has signed it directly.
//!
//! Names are compared as in libpq ([`matches_name`]). Every other certificate is rejected.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, RootCertStore, SignatureScheme,
};
use x509_cert::Version;
use x509_cert::certificate::{Certificate, TbsCertificate};
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::oid::db::rfc4519::CN;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, NameConstraints, SubjectAltName};

/// Which certificates a connection trusts.
pub(super) enum Trust {
    /// Every certificate: the connection is encrypted, but the server is unknown.
    Any,
    /// These certificates, and those that they have signed.
    Roots {
        roots: RootCertStore,
        certificates: Vec<CertificateDer<'static>>,
    },
}

impl Trust {
    /// The authorities that browsers trust.
    pub(super) fn public() -> Self {
        Self::Roots {
            roots: public_authorities(),
            certificates: Vec::new(),
        }
    }

    /// These certificates. `which` describes them in errors.
    pub(super) fn certificates(
        certificates: Vec<CertificateDer<'static>>,
        which: &str,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("a certificate {which} cannot be used: {error}"))?;
        }
        Ok(Self::Roots {
            roots,
            certificates,
        })
    }
}

/// Verifies certificates as `sslmode` and `sslrootcert` require.
#[derive(Debug)]
pub(super) struct Verifier {
    /// `None` if every certificate is trusted.
    chains: Option<Arc<WebPkiServerVerifier>>,
    trusted: Vec<CertificateDer<'static>>,
    verifies_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        trust: Trust,
        verifies_name: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let algorithms = provider.signature_verification_algorithms;
        let (chains, trusted) = match trust {
            Trust::Any => (None, Vec::new()),
            Trust::Roots {
                roots,
                certificates,
            } => {
                let chains = WebPkiServerVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(provider),
                )
                .build()
                .map_err(|error| format!("the root certificates cannot be used: {error}"))?;
                (Some(chains), certificates)
            }
        };
        Ok(Self {
            chains,
            trusted,
            verifies_name,
            algorithms,
        })
    }

    /// Whether a trusted certificate has signed this certificate of version 1.
    fn is_signed_by_trusted(
        &self,
        raw: &CertificateDer<'_>,
        certificate: &Certificate,
        now: UnixTime,
    ) -> bool {
        self.trusted.iter().any(|issuer| {
            let Ok(issuer) = Certificate::from_der(issuer) else {
                return false;
            };
            issuer.tbs_certificate.subject == certificate.tbs_certificate.issuer
                && is_authority(&issuer.tbs_certificate)
                && is_valid(&issuer.tbs_certificate, now).is_ok()
                && self.has_signed(&issuer, raw, certificate)
        })
    }

    fn has_signed(
        &self,
        issuer: &Certificate,
        raw: &CertificateDer<'_>,
        certificate: &Certificate,
    ) -> bool {
        let key = &issuer.tbs_certificate.subject_public_key_info;
        let (Some(content), Some(signature)) = (signed_part(raw), certificate.signature.as_bytes())
        else {
            return false;
        };
        let (Ok(key_algorithm), Ok(algorithm), Some(key)) = (
            algorithm_content(&key.algorithm),
            algorithm_content(&certificate.signature_algorithm),
            key.subject_public_key.as_bytes(),
        ) else {
            return false;
        };
        self.algorithms.all.iter().any(|known| {
            known.public_key_alg_id().as_ref() == key_algorithm
                && known.signature_alg_id().as_ref() == algorithm
                && known.verify_signature(key, content, signature).is_ok()
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        raw: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chains) = &self.chains else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = read(raw)?;
        let content = &certificate.tbs_certificate;
        if self.trusted.contains(raw) {
            is_valid(content, now)?;
        } else if content.version == Version::V1 {
            is_valid(content, now)?;
            if !self.is_signed_by_trusted(raw, &certificate, now) {
                return Err(CertificateError::UnknownIssuer.into());
            }
        } else {
            match chains.verify_server_cert(raw, intermediates, name, ocsp, now) {
                // webpki checks the name last, so everything else is valid.
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        if self.verifies_name && !matches_name(content, name) {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = read(certificate)?;
        let key = &certificate.tbs_certificate.subject_public_key_info;
        let (Ok(key_algorithm), Some(key)) = (
            algorithm_content(&key.algorithm),
            key.subject_public_key.as_bytes(),
        ) else {
            return Err(CertificateError::BadEncoding.into());
        };
        let (_, algorithms) = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signature.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let is_verified = algorithms.iter().any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == key_algorithm
                && algorithm
                    .verify_signature(key, message, signature.signature())
                    .is_ok()
        });
        if is_verified {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = read(certificate)?;
        let key = certificate
            .tbs_certificate
            .subject_public_key_info
            .to_der()
            .map_err(|_| CertificateError::BadEncoding)?;
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(key),
            signature,
            &self.algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn read(certificate: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

/// The content of an algorithm identifier's sequence, which is the form of webpki's identifiers.
fn algorithm_content(
    algorithm: &x509_cert::spki::AlgorithmIdentifierOwned,
) -> Result<Vec<u8>, x509_cert::der::Error> {
    let mut content = algorithm.oid.to_der()?;
    if let Some(parameters) = &algorithm.parameters {
        content.extend(parameters.to_der()?);
    }
    Ok(content)
}

/// The signed bytes of a certificate: the first value in its outer sequence, as received.
fn signed_part<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let (_, content) = value(certificate)?;
    let (length, _) = value(content)?;
    content.get(..length)
}

/// The length of the first DER value, including its header, and its content.
fn value(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let [_, first, rest @ ..] = bytes else {
        return None;
    };
    let (length, header) = if *first < 0x80 {
        (usize::from(*first), 2)
    } else {
        let digits = rest.get(..usize::from(*first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        let length = digits
            .iter()
            .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        (length, 2 + digits.len())
    };
    let end = header.checked_add(length)?;
    Some((end, bytes.get(header..end)?))
}

/// Whether a certificate may sign others without constraints on their names.
fn is_authority(certificate: &TbsCertificate) -> bool {
    let extensions = certificate.extensions.as_deref().unwrap_or_default();
    let is_constrained = extensions
        .iter()
        .any(|extension| extension.extn_id == NameConstraints::OID);
    let has_ca_flag = extensions
        .iter()
        .find(|extension| extension.extn_id == BasicConstraints::OID)
        .and_then(|extension| BasicConstraints::from_der(extension.extn_value.as_bytes()).ok())
        .is_some_and(|constraints| constraints.ca);
    // Version 1 has no such flag; the certificate is trusted because it was configured.
    !is_constrained && (has_ca_flag || certificate.version == Version::V1)
}

fn is_valid(certificate: &TbsCertificate, now: UnixTime) -> Result<(), Error> {
    let now = Duration::from_secs(now.as_secs());
    let validity = &certificate.validity;
    if now < validity.not_before.to_unix_duration() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// Whether a certificate is for a server of this name (PostgreSQL, 34.19.1): by its alternative
/// names or, if it has none of the kind, by the common name of its subject.
fn matches_name(certificate: &TbsCertificate, name: &ServerName<'_>) -> bool {
    let alternatives = certificate
        .get::<SubjectAltName>()
        .ok()
        .flatten()
        .map(|(_, names)| names.0)
        .unwrap_or_default();
    let names = alternatives.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str()),
        _ => None,
    });
    let common = || common_names(certificate);
    match name {
        ServerName::DnsName(host) => {
            let host = host.as_ref();
            let mut names = names.peekable();
            if names.peek().is_some() {
                names.any(|name| matches_host(name, host))
            } else {
                common().any(|name| matches_host(&name, host))
            }
        }
        ServerName::IpAddress(host) => {
            let host = IpAddr::from(*host);
            let octets = match host {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            let mut addresses = alternatives
                .iter()
                .filter_map(|name| match name {
                    GeneralName::IpAddress(address) => Some(address.as_bytes()),
                    _ => None,
                })
                .peekable();
            let has_addresses = addresses.peek().is_some();
            let is_host = |name: &str| name.parse() == Ok(host);
            addresses.any(|address| address == octets)
                || names.into_iter().any(is_host)
                || (!has_addresses && common().any(|name| is_host(&name)))
        }
        _ => false,
    }
}

/// The common names of a certificate's subject.
fn common_names(certificate: &TbsCertificate) -> impl Iterator<Item = String> + '_ {
    certificate
        .subject
        .0
        .iter()
        .flat_map(|part| part.0.iter())
        .filter(|attribute| attribute.oid == CN)
        .filter_map(|attribute| {
            let value = attribute.value.value();
            // C programs would read a name with a zero byte differently.
            std::str::from_utf8(value)
                .ok()
                .filter(|name| !name.contains('\0'))
                .map(ToOwned::to_owned)
        })
}

/// Whether a name in a certificate matches the host; a star stands for the first label.
fn matches_host(name: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(parent), Some((label, rest))) = (name.strip_prefix("*."), host.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && parent.eq_ignore_ascii_case(rest)
}

/// The authorities that browsers trust.
pub(super) fn public_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots
}

#[cfg(test)]
mod tests {
    use super::matches_host;

    #[test]
    fn certificate_name_matches_host_as_in_libpq() {
        for (name, host, expected) in [
            ("db.example.com", "db.example.com", true),
            ("DB.example.com", "db.Example.com", true),
            ("*.example.com", "db.example.com", true),
            ("*.example.com", "a.db.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*", "db", false),
            ("d*.example.com", "db.example.com", false),
            ("example.com", "db.example.com", false),
        ] {
            assert_eq!(matches_host(name, host), expected, "{name} for {host}");
        }
    }
}
