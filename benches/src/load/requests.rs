//! The requests of a load.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Digits of the number that makes a new user unique.
const DIGITS: usize = 16;

/// An endless sequence of requests.
#[derive(Clone, Debug)]
pub struct Requests {
    kind: Kind,
    /// Every tenth request is the next of these, and its latency is not recorded.
    tenth: Option<Box<Self>>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// These, one after the other.
    Fixed(Arc<[Vec<u8>]>),
    /// `POST /users/` with a body of its own for each.
    NewUsers {
        template: Arc<[u8]>,
        /// Where the number stands.
        numbers: [usize; 2],
        next: Arc<AtomicU64>,
    },
    /// A request of its own for each number.
    Numbered {
        write: fn(&mut Vec<u8>, SocketAddr, u64, u64),
        address: SocketAddr,
        users: u64,
        next: Arc<AtomicU64>,
    },
}

impl Requests {
    /// `GET` of these paths, one after the other; of `/` if there are none.
    pub fn get(address: SocketAddr, paths: impl IntoIterator<Item = String>) -> Self {
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let mut requests: Vec<_> = paths
            .into_iter()
            .map(|path| request(&path).into_bytes())
            .collect();
        if requests.is_empty() {
            requests.push(request("/").into_bytes());
        }
        Kind::Fixed(requests.into()).into()
    }

    /// `POST /users/` of users that no earlier run created.
    pub fn new_users(address: SocketAddr) -> Self {
        let number = "0".repeat(DIGITS);
        let body = format!(r#"{{"name":"User {number}","email":"user.{number}@example.com"}}"#);
        let length = body.len();
        let template = format!(
            "POST /users/ HTTP/1.1\r\nhost: {address}\r\ncontent-type: \
                application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let email = template.len() - number.len() - "@example.com\"}".len();
        let name = template.len() - length + r#"{"name":"User "#.len();
        // Microseconds since 1970 have 16 digits from 2001 to 2286, and no run creates more than
        // one user in each.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_micros();
        let first = u64::try_from(now).unwrap_or_default();
        let kind = Kind::NewUsers {
            template: template.into_bytes().into(),
            numbers: [name, email],
            next: Arc::new(AtomicU64::new(first)),
        };
        kind.into()
    }

    /// `PUT` of users 1 to `users`, one after the other, again and again.
    pub fn replace_users(address: SocketAddr, users: u64) -> Self {
        Self::numbered(address, users, |request, address, users, number| {
            let id = number % users + 1;
            let body = format!(r#"{{"name":"Put {number}","email":"user.{id}@example.com"}}"#);
            write(request, address, format_args!("PUT /users/{id}"), "", &body);
        })
    }

    /// `PATCH` of users 1 to `users`, one after the other, again and again, each with the entity
    /// tag that the user has by then. All have to have their first version before.
    pub fn change_users(address: SocketAddr, users: u64) -> Self {
        Self::numbered(address, users, |request, address, users, number| {
            let (id, version) = (number % users + 1, number / users + 1);
            let tag = format!("if-match: \"{version}\"\r\n");
            let body = format!(r#"{{"name":"Patch {number}"}}"#);
            write(
                request,
                address,
                format_args!("PATCH /users/{id}"),
                &tag,
                &body,
            );
        })
    }

    /// `DELETE` of user 1, then 2, and so on.
    pub fn delete_users(address: SocketAddr) -> Self {
        Self::numbered(address, u64::MAX, |request, address, _, number| {
            let id = number + 1;
            write(request, address, format_args!("DELETE /users/{id}"), "", "");
        })
    }

    fn numbered(
        address: SocketAddr,
        users: u64,
        write: fn(&mut Vec<u8>, SocketAddr, u64, u64),
    ) -> Self {
        let (users, next) = (users.max(1), Arc::new(AtomicU64::new(0)));
        let kind = Kind::Numbered {
            write,
            address,
            users,
            next,
        };
        kind.into()
    }

    /// The same requests, every tenth of them replaced by one of `others`, whose latency is not
    /// recorded.
    #[must_use]
    pub fn with_tenth(self, others: Self) -> Self {
        Self {
            tenth: Some(Box::new(others)),
            ..self
        }
    }

    /// Whether the latency of this request is recorded.
    pub(super) fn is_recorded(&self, sequence: u64) -> bool {
        self.tenth.is_none() || !sequence.is_multiple_of(10)
    }

    /// The next request, the `sequence`-th of its run. `buffer` belongs to the connection and is
    /// used for nothing else.
    pub(super) fn nth<'a>(&'a self, sequence: u64, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        if let Some(tenth) = &self.tenth
            && sequence.is_multiple_of(10)
        {
            // It writes into the buffer as if that were its own, as all of them do.
            return tenth.nth(sequence / 10, buffer);
        }
        match &self.kind {
            Kind::Fixed(requests) => {
                let index = usize::try_from(sequence).unwrap_or_default() % requests.len().max(1);
                requests.get(index).map_or(&[], Vec::as_slice)
            }
            Kind::NewUsers {
                template,
                numbers,
                next,
            } => {
                if buffer.is_empty() {
                    buffer.extend_from_slice(template);
                }
                let mut rest = next.fetch_add(1, Relaxed);
                let mut digits = [0_u8; DIGITS];
                for digit in digits.iter_mut().rev() {
                    *digit = b"0123456789"[(rest % 10) as usize];
                    rest /= 10;
                }
                for &at in numbers {
                    if let Some(place) = buffer.get_mut(at..at + DIGITS) {
                        place.copy_from_slice(&digits);
                    }
                }
                buffer
            }
            Kind::Numbered {
                write,
                address,
                users,
                next,
            } => {
                buffer.clear();
                write(buffer, *address, *users, next.fetch_add(1, Relaxed));
                buffer
            }
        }
    }
}

/// Writes a request with this body, which is JSON if it is not empty.
fn write(
    request: &mut Vec<u8>,
    address: SocketAddr,
    target: fmt::Arguments<'_>,
    fields: &str,
    body: &str,
) {
    let kind = if body.is_empty() {
        ""
    } else {
        "content-type: application/json\r\n"
    };
    let length = body.len();
    let text = format!(
        "{target} HTTP/1.1\r\nhost: {address}\r\n{fields}{kind}content-length: {length}\r\n\r\n\
        {body}"
    );
    request.extend_from_slice(text.as_bytes());
}

impl From<Kind> for Requests {
    fn from(kind: Kind) -> Self {
        Self { kind, tenth: None }
    }
}

#[cfg(test)]
mod tests {
    use super::Requests;
    use std::collections::HashSet;

    #[test]
    fn generated_users_have_distinct_addresses() {
        let requests = Requests::new_users(([127, 0, 0, 1], 80).into());
        let mut buffer = Vec::new();
        let mut seen = HashSet::new();
        for sequence in 0..1000 {
            let request = requests.nth(sequence, &mut buffer).to_vec();
            let request = String::from_utf8(request).expect("text");
            let (head, body) = request.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.ends_with(&format!("content-length: {}", body.len())));
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            let email = body["email"].as_str().expect("an address").to_owned();
            assert!(email.ends_with("@example.com"));
            assert!(seen.insert(email));
        }
    }

    #[test]
    fn changes_of_a_user_expect_the_version_that_the_earlier_ones_left() {
        let requests = Requests::change_users(([127, 0, 0, 1], 80).into(), 2);
        let mut buffer = Vec::new();
        for (sequence, id, version) in [(0, 1, 1), (1, 2, 1), (2, 1, 2), (3, 2, 2)] {
            let request = requests.nth(sequence, &mut buffer).to_vec();
            let request = String::from_utf8(request).expect("text");
            assert!(request.starts_with(&format!("PATCH /users/{id} HTTP/1.1\r\n")));
            assert!(request.contains(&format!("\r\nif-match: \"{version}\"\r\n")));
            let (head, body) = request.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.ends_with(&format!("content-length: {}", body.len())));
        }
    }

    #[test]
    fn every_tenth_request_is_another_one_and_is_not_recorded() {
        let address = ([127, 0, 0, 1], 80).into();
        let requests = Requests::get(address, ["/a".to_owned()]);
        let requests = requests.with_tenth(Requests::new_users(address));
        let mut buffer = Vec::new();
        for sequence in 0..30 {
            let is_tenth = sequence % 10 == 0;
            let request = requests.nth(sequence, &mut buffer);
            assert_eq!(request.starts_with(b"POST "), is_tenth, "{sequence}");
            assert_eq!(requests.is_recorded(sequence), !is_tenth, "{sequence}");
        }
    }

    #[test]
    fn request_paths_are_used_in_rotation() {
        let requests = Requests::get(([127, 0, 0, 1], 80).into(), ["/a", "/b"].map(str::to_owned));
        let mut buffer = Vec::new();
        for (sequence, path) in [(0, "/a"), (1, "/b"), (2, "/a")] {
            let expected = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:80\r\n\r\n");
            assert_eq!(requests.nth(sequence, &mut buffer), expected.as_bytes());
        }
    }
}
