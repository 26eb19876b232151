//! Header and trailer fields.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;

use super::bindings::wasi::http::types::{self, HeaderError};
use super::view::View;
use crate::memory::{Charge, OverLimit, RequestMemory};

/// Names and values together, in bytes, that a guest may collect in one set of fields, each field with [`ENTRY`] more.
const MOST: usize = 128 << 10;

/// What a field counts beside its text, as in RFC 9113, 6.5.2: so there are no more than four thousand.
const ENTRY: usize = 32;

/// What a field takes in the host's memory beside its text, at most: its place in a map that has grown to twice its size.
const ENTRY_HELD: usize = 320;

/// Fields, shared with whatever they were taken from until one of the two is changed.
#[derive(Clone, Debug)]
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
        | header::TE
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
            given: Arc::new(Given {
                map,
                ..Given::default()
            }),
            immutable: true,
            received: true,
        }
    }

    /// Fields of a guest's own.
    fn of(given: Given) -> Self {
        Self {
            given: Arc::new(given),
            immutable: false,
            received: false,
        }
    }

    /// The same with these entries.
    fn collect(
        entries: Vec<(String, Vec<u8>)>,
        memory: &RequestMemory,
    ) -> Result<Result<Self, HeaderError>, OverLimit> {
        let mut given = Given::held_by(memory);
        for (name, value) in entries {
            let added = parse_name(&name).and_then(|name| given.append(name, parse_value(value)?));
            if let Err(error) = added {
                return Ok(Err(error));
            }
            given.settle()?;
        }
        Ok(Ok(Self::of(given)))
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
        match Arc::try_unwrap(self.given) {
            Ok(given) => given.into_map(),
            Err(shared) => shared.map.clone(),
        }
    }

    /// The fields to change, which are copied where they are shared.
    fn own(&mut self) -> Result<&mut Given, OverLimit> {
        if Arc::get_mut(&mut self.given).is_none() {
            self.given = Arc::new(self.given.copy()?);
        }
        // Nobody else can have come by it meanwhile.
        Ok(Arc::get_mut(&mut self.given).unwrap_or_else(|| unreachable!("it is no longer shared")))
    }

    /// The name of a field that may be changed.
    fn mutable(&self, name: &str) -> Result<HeaderName, HeaderError> {
        if self.immutable {
            return Err(HeaderError::Immutable);
        }
        let name = parse_name(name)?;
        if is_forbidden(&name) {
            return Err(HeaderError::Forbidden);
        }
        Ok(name)
    }
}

/// Fields within their limits.
#[derive(Debug, Default)]
pub(super) struct Given {
    map: HeaderMap,
    /// What a guest has put in, by the measure of [`MOST`].
    size: usize,
    /// The most fields there have been at the same time: a map does not shrink.
    peak: usize,
    /// What the host holds for them, where a guest holds them.
    held: Option<Charge>,
}

impl Given {
    /// None yet, and what is added is held for a request.
    fn held_by(memory: &RequestMemory) -> Self {
        Self {
            held: Some(memory.charge()),
            ..Self::default()
        }
    }

    /// None yet, in the room of others that nobody needs any more.
    pub(super) fn in_place_of(mut map: HeaderMap) -> Self {
        map.clear();
        Self {
            map,
            ..Self::default()
        }
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

    /// A copy that is held as well.
    fn copy(&self) -> Result<Self, OverLimit> {
        Ok(Self {
            held: self.held.as_ref().map(Charge::again).transpose()?,
            map: self.map.clone(),
            size: self.size,
            peak: self.peak,
        })
    }

    /// Counts what is held by now.
    fn settle(&mut self) -> Result<(), OverLimit> {
        self.peak = self.peak.max(self.map.len());
        match &mut self.held {
            Some(held) => held.resize(self.size + self.peak * ENTRY_HELD),
            None => Ok(()),
        }
    }

    pub(super) fn append(
        &mut self,
        name: HeaderName,
        value: HeaderValue,
    ) -> Result<(), HeaderError> {
        if is_forbidden(&name) {
            return Err(HeaderError::Forbidden);
        }
        let value = if name == header::CONTENT_LENGTH {
            // One length, and a number: anything else makes two servers disagree where a message ends.
            match parse_length(&value) {
                Some(length) if !self.map.contains_key(&name) => HeaderValue::from(length),
                _ => return Err(HeaderError::InvalidSyntax),
            }
        } else {
            value
        };
        let size = self.size + cost(&name, &value);
        if size > MOST {
            return Err(HeaderError::InvalidSyntax);
        }
        self.map
            .try_append(name, value)
            .map_err(|_| HeaderError::InvalidSyntax)?;
        self.size = size;
        Ok(())
    }

    fn remove(&mut self, name: &HeaderName) {
        if let header::Entry::Occupied(entry) = self.map.entry(name) {
            let (name, values) = entry.remove_entry_mult();
            for value in values {
                self.size = self.size.saturating_sub(cost(&name, &value));
            }
        }
    }
}

/// What a field counts by the measure of [`MOST`].
fn cost(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + ENTRY
}

/// RFC 9110, 8.6: digits, and nothing else. Rust's own parser takes a sign as well.
fn parse_length(value: &HeaderValue) -> Option<u64> {
    let is_number = value.as_bytes().iter().all(u8::is_ascii_digit);
    is_number.then(|| value.to_str().ok()?.parse().ok())?
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
        let given = Given::held_by(self.memory);
        Ok(self.table.push(Fields::of(given))?)
    }

    fn from_list(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<Resource<Fields>, HeaderError>> {
        Ok(match Fields::collect(entries, self.memory)? {
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
        let values = values
            .into_iter()
            .map(parse_value)
            .collect::<Result<Vec<_>, _>>();
        let (name, values) = match (fields.mutable(&name), values) {
            (Ok(name), Ok(values)) => (name, values),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        let before = fields.clone();
        let given = fields.own()?;
        given.remove(&name);
        for value in values {
            if let Err(error) = given.append(name.clone(), value) {
                *fields = before;
                return Ok(Err(error));
            }
        }
        given.settle()?;
        Ok(Ok(()))
    }

    fn delete(
        &mut self,
        this: Resource<Fields>,
        name: String,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        let fields = self.table.get_mut(&this)?;
        let name = match fields.mutable(&name) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        let given = fields.own()?;
        given.remove(&name);
        given.settle()?;
        Ok(Ok(()))
    }

    fn append(
        &mut self,
        this: Resource<Fields>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        let fields = self.table.get_mut(&this)?;
        let (name, value) = match (fields.mutable(&name), parse_value(value)) {
            (Ok(name), Ok(value)) => (name, value),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        let given = fields.own()?;
        if let Err(error) = given.append(name, value) {
            return Ok(Err(error));
        }
        given.settle()?;
        Ok(Ok(()))
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
        let copy = if fields.received {
            let mut given = Given::held_by(self.memory);
            let shown = fields.given.map.iter();
            for (name, value) in shown.filter(|(name, _)| !is_forbidden(name)) {
                // Within the limit of a request's head, and so not a guest's own.
                given.map.append(name.clone(), value.clone());
            }
            given.settle()?;
            Fields::of(given)
        } else {
            Fields {
                given: Arc::clone(&fields.given),
                immutable: false,
                received: false,
            }
        };
        Ok(self.table.push(copy)?)
    }

    fn drop(&mut self, this: Resource<Fields>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
