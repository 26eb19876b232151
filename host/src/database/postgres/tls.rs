//! The configuration of TLS, from `sslmode` and related parameters of the URL.
//!
//! Files are read once, at start. A file that is missing, or a key that others may read, is an
//! error.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificates::{Trust, Verifier};
use crate::database::libpq::{Roots, Tls, TlsMode, Versions};
use crate::pem;

pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[_] = match tls.versions {
        Versions::Both => rustls::ALL_VERSIONS,
        Versions::Only12 => &[&rustls::version::TLS12],
        Versions::Only13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let trust = match &tls.roots {
        Roots::Unchecked => Trust::Any,
        Roots::Public => Trust::public(),
        Roots::System => Trust::certificates(system_certificates()?, "that this machine trusts")?,
        Roots::File(file) => {
            let certificates = certificates(file)?;
            Trust::certificates(certificates, &format!("in {}", file.display()))?
        }
    };
    let verifier = Verifier::new(trust, tls.mode == TlsMode::VerifyFull, &provider)?;
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| {
                format!(
                    "the certificate in {} and the key in {} cannot be used: {error}",
                    certificate.display(),
                    key.display()
                )
            })?,
    };
    config.enable_sni = tls.sni;
    if tls.direct {
        // A server requires ALPN of a client that sends no SSLRequest (PostgreSQL, 54.2.10).
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

/// The certificates in a PEM file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = pem::certificates(file).map_err(|fault| {
        let file = file.display();
        format!("the certificates in {file} cannot be read: {fault}")
    })?;
    if certificates.is_empty() {
        return Err(format!("there is no certificate in {}", file.display()));
    }
    Ok(certificates)
}

/// The key in a PEM file. As with libpq only its owner may read the file; if root owns it, root's
/// group may too.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    use std::os::unix::fs::MetadataExt as _;

    let unreadable = |error: &dyn std::fmt::Display| {
        format!("the key in {} cannot be read: {error}", file.display())
    };
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(&error))?;
    let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & others != 0 {
        return Err(unreadable(
            &"others than its owner may access it: make its mode 0600",
        ));
    }
    pem::private_key(file).map_err(|fault| unreadable(&fault))
}

/// The files with the system's trusted certificates: Debian, Red Hat, SUSE, Alpine, the BSDs.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

fn system_certificates() -> Result<Vec<CertificateDer<'static>>, String> {
    // OpenSSL's variable, which libpq respects too.
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        return certificates(Path::new(&file));
    }
    BUNDLES
        .iter()
        .map(Path::new)
        .find(|file| file.is_file())
        .ok_or_else(|| {
            "this machine has no trusted certificates: install them (on Debian: apt install \
             ca-certificates), or set SSL_CERT_FILE or sslrootcert to a file"
                .to_owned()
        })
        .and_then(certificates)
}
