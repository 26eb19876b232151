//! Whether a server's certificate is to be trusted, by libpq's rules.
//!
//! Chains are checked by webpki, which does not take what PostgreSQL's own manual has people make
//! (18.9.5): a certificate that vouches for itself, one of X.509 version 1, a name in the subject
//! alone. So beside chains there is trusted
//!
//! - a server's certificate that is itself among those to trust, as long as it is valid;
//! - one of version 1, which can say nothing of what it may be used for, that one of them has
//!   signed directly.
//!
//! Names are compared as libpq compares them ([`is_for`]).

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

/// Whom a connection trusts.
pub(super) enum Trust {
    /// Whoever answers: the connection is encrypted, to whomever.
    Anyone,
    /// Whom these vouch for, and these themselves.
    Those {
        roots: RootCertStore,
        certificates: Vec<CertificateDer<'static>>,
    },
}

impl Trust {
    /// Whom the authorities vouch for that browsers trust.
    pub(super) fn public() -> Self {
        Self::Those {
            roots: public_authorities(),
            certificates: Vec::new(),
        }
    }

    /// Whom these vouch for.
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
        Ok(Self::Those {
            roots,
            certificates,
        })
    }
}

/// Checks certificates as `sslmode` and `sslrootcert` ask for it.
#[derive(Debug)]
pub(super) struct Verifier {
    /// None where nobody is asked.
    chains: Option<Arc<WebPkiServerVerifier>>,
    trusted: Vec<CertificateDer<'static>>,
    asks_for_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        trust: Trust,
        asks_for_name: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let algorithms = provider.signature_verification_algorithms;
        let (chains, trusted) = match trust {
            Trust::Anyone => (None, Vec::new()),
            Trust::Those {
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
            asks_for_name,
            algorithms,
        })
    }

    /// Whether one of those to trust has signed this certificate of version 1.
    fn is_issued(
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
            inner(&key.algorithm),
            inner(&certificate.signature_algorithm),
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
            if !self.is_issued(raw, &certificate, now) {
                return Err(CertificateError::UnknownIssuer.into());
            }
        } else {
            match chains.verify_server_cert(raw, intermediates, name, ocsp, now) {
                // The name is looked at last, so everything else was in order.
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        if self.asks_for_name && !is_for(content, name) {
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
        let (Ok(key_algorithm), Some(key)) =
            (inner(&key.algorithm), key.subject_public_key.as_bytes())
        else {
            return Err(CertificateError::BadEncoding.into());
        };
        let (_, algorithms) = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signature.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let is_right = algorithms.iter().any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == key_algorithm
                && algorithm
                    .verify_signature(key, message, signature.signature())
                    .is_ok()
        });
        if is_right {
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

/// What stands inside the sequence that an algorithm's identifier is: so webpki's algorithms are
/// written.
fn inner(
    algorithm: &x509_cert::spki::AlgorithmIdentifierOwned,
) -> Result<Vec<u8>, x509_cert::der::Error> {
    let mut content = algorithm.oid.to_der()?;
    if let Some(parameters) = &algorithm.parameters {
        content.extend(parameters.to_der()?);
    }
    Ok(content)
}

/// The bytes of a certificate that its signature is of: the first value in its outer sequence, as
/// it was sent.
fn signed_part<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let (_, content) = value(certificate)?;
    let (length, _) = value(content)?;
    content.get(..length)
}

/// The length of the DER value that bytes begin with, its header included, and what it holds.
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

/// Whether a certificate may vouch for others, whatever their names.
fn is_authority(certificate: &TbsCertificate) -> bool {
    let extensions = certificate.extensions.as_deref().unwrap_or_default();
    let is_constrained = extensions
        .iter()
        .any(|extension| extension.extn_id == NameConstraints::OID);
    let says_so = extensions
        .iter()
        .find(|extension| extension.extn_id == BasicConstraints::OID)
        .and_then(|extension| BasicConstraints::from_der(extension.extn_value.as_bytes()).ok())
        .is_some_and(|constraints| constraints.ca);
    // One of version 1 cannot say so; it is trusted because it was named.
    !is_constrained && (says_so || certificate.version == Version::V1)
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

/// Whether a certificate is for a server of this name (PostgreSQL, 34.19.1): one of its alternative
/// names is it, or, where it has none of a kind that could be, the common name of its subject.
fn is_for(certificate: &TbsCertificate, name: &ServerName<'_>) -> bool {
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
        ServerName::DnsName(wanted) => {
            let wanted = wanted.as_ref();
            let mut names = names.peekable();
            if names.peek().is_some() {
                names.any(|name| fits(name, wanted))
            } else {
                common().any(|name| fits(&name, wanted))
            }
        }
        ServerName::IpAddress(wanted) => {
            let wanted = IpAddr::from(*wanted);
            let octets = match wanted {
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
            let is_it = |name: &str| name.parse() == Ok(wanted);
            addresses.any(|address| address == octets)
                || names.into_iter().any(is_it)
                || (!has_addresses && common().any(|name| is_it(&name)))
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
            // A name with a zero in it is read differently by those who end there.
            std::str::from_utf8(value)
                .ok()
                .filter(|name| !name.contains('\0'))
                .map(ToOwned::to_owned)
        })
}

/// Whether a name in a certificate is the wanted one; a star stands for the first label.
fn fits(name: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_end_matches('.');
    if name.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let (Some(parent), Some((label, rest))) = (name.strip_prefix("*."), wanted.split_once('.'))
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
    use super::fits;

    #[test]
    fn certificate_name_fits_the_host_as_in_libpq() {
        for (name, wanted, expected) in [
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
            assert_eq!(fits(name, wanted), expected, "{name} for {wanted}");
        }
    }
}
