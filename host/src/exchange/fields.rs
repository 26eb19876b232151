//! Header and trailer fields.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;

use super::View;
use crate::bindings::http::wasi::http::types::{self, HeaderError};

/// Names and values together, in bytes, that a guest may collect in one set of fields.
const MOST: usize = 128 << 10;

/// Fields, shared with whatever they were taken from until one of the two is changed.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    given: Arc<Given>,
    /// Those of a request, and of a response that has been made of them.
    immutable: bool,
    /// Those of a request, among which are some that are none of the guest's business.
    received: bool,
}

/// What belongs to the connection rather than to the message (RFC 9110, 7.6.1), and `Host`, which has a function of its own.
/// The host neither shows these to a guest nor takes them from it.
pub(super) fn is_forbidden(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::HOST
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION
        | header::TRANSFER_ENCODING
        | header::UPGRADE => true,
        ref other => matches!(
            other.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        ),
    }
}

impl Fields {
    /// The fields of a received message.
    pub(super) fn received(map: HeaderMap) -> Self {
        Self {
            given: Arc::new(Given { map, size: 0 }),
            immutable: true,
            received: true,
        }
    }

    /// Fields of a guest's own.
    pub(super) fn collect(entries: Vec<(String, Vec<u8>)>) -> Result<Self, HeaderError> {
        let mut given = Given::with_capacity(entries.len());
        for (name, value) in entries {
            given.append(parse_name(&name)?, parse_value(value)?)?;
        }
        Ok(Self {
            given: Arc::new(given),
            ..Self::default()
        })
    }

    /// Whether a guest may know of a field by this name.
    pub(super) fn shows(&self, name: &HeaderName) -> bool {
        !self.received || !is_forbidden(name)
    }

    /// The same, no more to be changed.
    pub(super) fn freeze(mut self) -> Self {
        self.immutable = true;
        self
    }

    /// As [`Given::content_length`].
    pub(super) fn content_length(&self) -> Result<Option<u64>, ()> {
        self.given.content_length()
    }

    pub(super) fn into_map(self) -> HeaderMap {
        Arc::unwrap_or_clone(self.given).into_map()
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), HeaderError> {
        Arc::make_mut(&mut self.given).append(name, value)
    }

    fn remove(&mut self, name: &HeaderName) {
        Arc::make_mut(&mut self.given).remove(name);
    }

    fn mutable(&mut self, name: &str) -> Result<(&mut Self, HeaderName), HeaderError> {
        if self.immutable {
            return Err(HeaderError::Immutable);
        }
        let name = parse_name(name)?;
        if is_forbidden(&name) {
            return Err(HeaderError::Forbidden);
        }
        Ok((self, name))
    }
}

/// Fields within their limits.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    map: HeaderMap,
    /// Bytes of what a guest has put in.
    size: usize,
}

impl Given {
    pub(super) fn with_capacity(entries: usize) -> Self {
        Self {
            map: HeaderMap::with_capacity(entries.min(64)),
            size: 0,
        }
    }

    /// None yet, in the room of others that nobody needs any more.
    pub(super) fn in_place_of(mut map: HeaderMap) -> Self {
        map.clear();
        Self { map, size: 0 }
    }

    /// The number in `Content-Length`, if there is one.
    pub(super) fn content_length(&self) -> Result<Option<u64>, ()> {
        self.map
            .get(header::CONTENT_LENGTH)
            .map(|value| parse_length(value).ok_or(()))
            .transpose()
    }

    pub(super) fn into_map(self) -> HeaderMap {
        self.map
    }

    pub(super) fn append(
        &mut self,
        name: HeaderName,
        value: HeaderValue,
    ) -> Result<(), HeaderError> {
        if is_forbidden(&name) {
            return Err(HeaderError::Forbidden);
        }
        // One length, and a number: anything else makes two servers disagree where a message ends.
        if name == header::CONTENT_LENGTH
            && (self.map.contains_key(&name) || parse_length(&value).is_none())
        {
            return Err(HeaderError::InvalidSyntax);
        }
        self.size += name.as_str().len() + value.len();
        if self.size > MOST {
            return Err(HeaderError::InvalidSyntax);
        }
        self.map
            .try_append(name, value)
            .map(drop)
            .map_err(|_| HeaderError::InvalidSyntax)
    }

    fn remove(&mut self, name: &HeaderName) {
        if let header::Entry::Occupied(entry) = self.map.entry(name) {
            let (name, values) = entry.remove_entry_mult();
            for value in values {
                self.size = self.size.saturating_sub(name.as_str().len() + value.len());
            }
        }
    }
}

fn parse_length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

pub(super) fn parse_name(name: &str) -> Result<HeaderName, HeaderError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidSyntax)
}

pub(super) fn parse_value(value: Vec<u8>) -> Result<HeaderValue, HeaderError> {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value))
        .map_err(|_| HeaderError::InvalidSyntax)
}

impl types::HostFields for View<'_> {
    fn new(&mut self) -> wasmtime::Result<Resource<Fields>> {
        Ok(self.table.push(Fields::default())?)
    }

    fn from_list(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<Resource<Fields>, HeaderError>> {
        Ok(match Fields::collect(entries) {
            Ok(fields) => Ok(self.table.push(fields)?),
            Err(error) => Err(error),
        })
    }

    fn get(&mut self, this: Resource<Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        let fields = self.table.get(&this)?;
        Ok(match parse_name(&name) {
            Ok(name) if fields.shows(&name) => {
                let values = fields.given.map.get_all(name).into_iter();
                values.map(|value| value.as_bytes().to_owned()).collect()
            }
            _ => Vec::new(),
        })
    }

    fn has(&mut self, this: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        let fields = self.table.get(&this)?;
        Ok(parse_name(&name)
            .is_ok_and(|name| fields.shows(&name) && fields.given.map.contains_key(name)))
    }

    fn set(
        &mut self,
        this: Resource<Fields>,
        name: String,
        values: Vec<Vec<u8>>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        let fields = self.table.get_mut(&this)?;
        Ok(fields.mutable(&name).and_then(|(fields, name)| {
            let values = values
                .into_iter()
                .map(parse_value)
                .collect::<Result<Vec<_>, _>>()?;
            let before = fields.clone();
            fields.remove(&name);
            for value in values {
                if let Err(error) = fields.append(name.clone(), value) {
                    *fields = before;
                    return Err(error);
                }
            }
            Ok(())
        }))
    }

    fn delete(
        &mut self,
        this: Resource<Fields>,
        name: String,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        let fields = self.table.get_mut(&this)?;
        Ok(fields
            .mutable(&name)
            .map(|(fields, name)| fields.remove(&name)))
    }

    fn append(
        &mut self,
        this: Resource<Fields>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        let fields = self.table.get_mut(&this)?;
        Ok(fields
            .mutable(&name)
            .and_then(|(fields, name)| fields.append(name, parse_value(value)?)))
    }

    fn entries(&mut self, this: Resource<Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        let fields = self.table.get(&this)?;
        Ok(fields
            .given
            .map
            .iter()
            .filter(|(name, _)| fields.shows(name))
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
            .collect())
    }

    fn clone(&mut self, this: Resource<Fields>) -> wasmtime::Result<Resource<Fields>> {
        let fields = self.table.get(&this)?;
        let mut copy = Fields::default();
        if fields.received {
            let shown = fields
                .given
                .map
                .iter()
                .filter(|(name, _)| !is_forbidden(name));
            let map = shown.map(|(name, value)| (name.clone(), value.clone()));
            copy.given = Arc::new(Given {
                map: map.collect(),
                size: 0,
            });
        } else {
            copy.given = Arc::clone(&fields.given);
        }
        Ok(self.table.push(copy)?)
    }

    fn drop(&mut self, this: Resource<Fields>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
