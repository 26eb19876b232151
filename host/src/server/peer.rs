//! Who sends the requests of a connection, and what of them is believed.

use http::Request;

use super::limits::Limits;
use super::proxy_protocol::Client;
use super::transport::Transport;
use crate::telemetry::request;
use crate::wasi_http::forwarded;

/// Who sends the requests of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Whether what it says of its own clients is believed.
    is_trusted: bool,
    is_encrypted: bool,
}

impl Peer {
    pub(super) fn of<I: Transport>(io: &I, limits: &Limits) -> Self {
        Self {
            is_trusted: forwarded::is_trusted(&limits.trusted_proxies, io.peer()),
            is_encrypted: io.is_encrypted(),
        }
    }

    pub(super) fn is_trusted(self) -> bool {
        self.is_trusted
    }

    /// The client of this proxy.
    pub(super) fn client(self, client: &Client, limits: &Limits) -> Self {
        let trusted = |address| forwarded::is_trusted(&limits.trusted_proxies, Some(address));
        Self {
            is_trusted: client.address.map_or(self.is_trusted, trusted),
            is_encrypted: client.is_encrypted,
        }
    }

    /// The same over TLS.
    pub(super) fn over_tls(self) -> Self {
        Self {
            is_encrypted: true,
            ..self
        }
    }

    /// Marks a request, and removes what its sender may not say.
    pub(super) fn prepare<B>(self, request: &mut Request<B>) {
        if !self.is_trusted {
            forwarded::strip(request.headers_mut());
            request::strip(request.headers_mut());
        }
        if self.is_encrypted {
            request.extensions_mut().insert(forwarded::Encrypted);
        }
    }
}
