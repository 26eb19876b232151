//! Tokens that were verified before.
//!
//! A client sends the same token with each of its requests, and verifying a signature takes longer
//! than many a request. A token is found by its hash, and only one whose signature was right is
//! ever kept, so made-up tokens take no room. It is looked at again when it expires, and all are
//! forgotten when the keys change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::key::KeySet;
use crate::access::scopes::Scopes;

/// What is kept of all tokens, and the longest token, in bytes.
const MAX_SIZE: usize = 4 << 20;
const MAX_LENGTH: usize = 4 << 10;

/// What a token takes beside its texts: its hash, and its share of allocations and of the table.
const ENTRY: usize = 256;

/// A token that counts.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) permits: Scopes,
    /// All scopes of the token, with spaces between them.
    pub(crate) scopes: String,
    /// Whom it is about, unique with its issuer.
    pub(crate) subject: Option<String>,
    /// When it does not count any more, in seconds since 1970.
    pub(super) until: f64,
}

impl Verified {
    /// What is kept of it, in bytes.
    fn size(&self) -> usize {
        ENTRY + self.scopes.len() + self.subject.as_ref().map_or(0, String::len)
    }
}

/// Tokens that were verified before.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By which the tokens were verified.
    keys: Arc<KeySet>,
    tokens: HashMap<Hash, Arc<Verified>>,
    /// What is kept of all of them, in bytes.
    size: usize,
}

impl Known {
    fn clear(&mut self) {
        self.tokens.clear();
        self.size = 0;
    }
}

/// The hash of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hash([u8; 32]);

impl Hash {
    /// The hash of a token; `None` for one that is too long to be kept.
    pub(super) fn of(token: &[u8]) -> Option<Self> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        Some(Self(hash))
    }
}

impl Cache {
    /// What is known of a token that was verified by these keys.
    pub(super) fn find(
        &self,
        hash: Hash,
        keys: &Arc<KeySet>,
        now: Duration,
    ) -> Option<Arc<Verified>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known
            .tokens
            .get(&hash)
            .filter(|found| found.until > now.as_secs_f64());
        found.filter(|_| Arc::ptr_eq(&known.keys, keys)).cloned()
    }

    /// Keeps a token that was verified by these keys.
    pub(super) fn add(
        &self,
        hash: Hash,
        keys: &Arc<KeySet>,
        verified: &Arc<Verified>,
        now: Duration,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.keys, keys) {
            known.clear();
            known.keys = Arc::clone(keys);
        }
        let size = verified.size();
        if known.size + size > MAX_SIZE {
            let Known { tokens, size, .. } = &mut *known;
            tokens.retain(|_, token| token.until > now.as_secs_f64());
            *size = tokens.values().map(|token| token.size()).sum();
            // Looking for room again with every token would take longer than verifying it.
            if *size > MAX_SIZE / 2 {
                known.clear();
            }
        }
        let before = known.tokens.insert(hash, Arc::clone(verified));
        known.size += size;
        known.size -= before.map_or(0, |before| before.size());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(until: f64) -> Arc<Verified> {
        Arc::new(Verified {
            permits: Scopes::READ,
            scopes: String::new(),
            subject: None,
            until,
        })
    }

    #[test]
    fn token_is_known_until_it_expires_or_the_keys_change() {
        let (cache, keys) = (Cache::default(), Arc::default());
        let now = Duration::from_secs(1000);
        let hash = Hash::of(b"token").expect("a short token");
        assert!(cache.find(hash, &keys, now).is_none());
        cache.add(hash, &keys, &verified(1001.0), now);
        assert!(cache.find(hash, &keys, now).is_some());
        let other = Hash::of(b"tokem").expect("a short token");
        assert!(cache.find(other, &keys, now).is_none());
        assert!(cache.find(hash, &keys, Duration::from_secs(1001)).is_none());
        let new = Arc::default();
        assert!(cache.find(hash, &new, now).is_none());
        cache.add(other, &new, &verified(1001.0), now);
        assert!(cache.find(hash, &new, now).is_none() && cache.find(other, &new, now).is_some());
    }

    #[test]
    fn size_and_length_of_known_tokens_are_bounded() {
        let (cache, keys) = (Cache::default(), Arc::default());
        let now = Duration::from_secs(1000);
        let add = |number: usize, until: f64| {
            let hash = Hash::of(&number.to_le_bytes()).expect("a short token");
            cache.add(hash, &keys, &verified(until), now);
            let known = cache.0.lock().expect("nobody panics");
            let sizes = known.tokens.values().map(|token| token.size());
            assert_eq!(known.size, sizes.sum::<usize>());
            assert!(known.size <= MAX_SIZE);
            known.tokens.len()
        };
        let most = MAX_SIZE / ENTRY;
        for number in 0..most {
            let until = if number == 0 { 1001.0 } else { 1000.0 };
            let hash = Hash::of(&number.to_le_bytes()).expect("a short token");
            cache.add(hash, &keys, &verified(until), now);
        }
        // Those that have expired go first, and the same token again is one token.
        assert_eq!(add(0, 1001.0), 1);
        assert_eq!(add(most, 1001.0), 2);
        for number in most + 1..2 * most - 2 {
            let hash = Hash::of(&number.to_le_bytes()).expect("a short token");
            cache.add(hash, &keys, &verified(1001.0), now);
        }
        assert_eq!(add(2 * most - 2, 1001.0), most);
        assert_eq!(add(2 * most - 1, 1001.0), 1);
        assert!(Hash::of(&[0; MAX_LENGTH]).is_some() && Hash::of(&[0; MAX_LENGTH + 1]).is_none());
    }
}
