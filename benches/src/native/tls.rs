//! The certificate of a server over TLS.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::Transport;
use crate::Error;

/// What accepts handshakes, if the server has a certificate. As Usher, it has HTTP/2 and HTTP/1.1,
/// and tickets in place of a table of sessions.
pub(super) fn acceptor(transport: &Transport) -> Result<Option<TlsAcceptor>, Error> {
    let (Some(certificate), Some(key)) = (&transport.tls_cert, &transport.tls_key) else {
        return Ok(None);
    };
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
