//! The limit on connections of one client address, so that one client does not take all of them.
//!
//! Addresses of IPv6 count by their first 64 bits, since a client usually has all others. Trusted
//! proxies have no limit: behind one are many clients.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

use crate::telemetry::log::{LINES, LineLimit};
use crate::wasi_http::forwarded;

/// The open connections of each client address. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Clients(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    proxies: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, usize>>,
    refused: AtomicU64,
}

impl Clients {
    pub(super) fn new(limit: usize, proxies: Vec<IpNet>) -> Self {
        Self(Arc::new(Shared {
            limit,
            proxies,
            open: Mutex::default(),
            refused: AtomicU64::new(0),
        }))
    }

    /// Counts a connection until the result is dropped. `None` if its client has too many.
    pub(super) fn connect(&self, address: IpAddr) -> Option<Place> {
        let shared = &self.0;
        if forwarded::is_trusted(&shared.proxies, Some(address)) {
            return Some(Place(None));
        }
        let client = client(address);
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count >= shared.limit {
            drop(open);
            shared.refused.fetch_add(1, Relaxed);
            log_refused(shared.limit);
            return None;
        }
        *count += 1;
        drop(open);
        Some(Place(Some((Arc::clone(shared), client))))
    }

    /// How many connections were refused.
    pub(super) fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }
}

fn log_refused(limit: usize) {
    static REFUSED: LineLimit = LineLimit::new(LINES);
    if let Some(line) = REFUSED.line() {
        tracing::warn!(
            "a connection was closed: its client has {limit} others \
             (--max-client-connections){line}"
        );
    }
}

/// What counts as one client.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
        IpAddr::V4(address) => address.into(),
    }
}

/// A connection's place among those of its client.
#[derive(Debug)]
pub(super) struct Place(Option<(Arc<Shared>, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some((shared, client)) = &self.0 else {
            return;
        };
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                open.remove(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_over_its_limit_is_refused_and_a_trusted_proxy_is_not() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let proxies = vec!["192.0.2.0/24".parse().expect("a network")];
        let clients = Clients::new(2, proxies);
        let places: Vec<_> = ["2001:db8::1", "2001:db8::2", "198.51.100.1"]
            .into_iter()
            .map(|text| clients.connect(address(text)).expect("there is room"))
            .collect();
        assert!(clients.connect(address("2001:db8::3")).is_none());
        assert!(clients.connect(address("2001:db8:0:1::3")).is_some());
        assert!(clients.connect(address("::ffff:198.51.100.1")).is_some());
        let of_proxy: Vec<_> = (0..5)
            .map(|_| clients.connect(address("192.0.2.7")))
            .collect();
        assert!(of_proxy.iter().all(Option::is_some));
        assert_eq!(clients.refused(), 1);
        drop(places);
        assert!(clients.connect(address("2001:db8::3")).is_some());
        let open = clients.0.open.lock().expect("nobody panicked");
        assert!(open.is_empty(), "{open:?}");
    }
}
