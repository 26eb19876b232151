//! The certificate of the servers over TLS, which all of them share.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::files::Directory;
use crate::Error;

/// What OpenSSL makes it of. It is no authority, so a client that trusts it takes it for the
/// server's own.
const SETTINGS: &str = "[req]\ndistinguished_name = name\nx509_extensions = leaf\n\
    [name]\n[leaf]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";

/// A certificate and its key, removed when dropped.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, in PEM.
    pub file: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    _directory: Directory,
}

impl Certificate {
    /// Makes one for 127.0.0.1, with a key on the curve P-256, as most servers have.
    ///
    /// # Errors
    /// If `openssl` is not installed, or fails.
    pub fn make() -> Result<Self, Error> {
        let directory = Directory::make("tls")?;
        let (file, key) = (directory.path("server.crt"), directory.path("server.key"));
        let settings = directory.path("openssl.cnf");
        std::fs::write(&settings, SETTINGS)?;
        let output = Command::new("openssl")
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(' '))
            .args(["-days", "2", "-subj", "/CN=localhost", "-config"])
            .arg(&settings)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("openssl: {error}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("openssl: {errors}").into());
        }
        Ok(Self {
            file,
            key,
            _directory: directory,
        })
    }
}
