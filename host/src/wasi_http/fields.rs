//! Header and trailer fields.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;

use super::bindings::wasi::http::types::{self, HeaderError};
use super::view::View;
use crate::memory::{Charge, OverLimit, RequestMemory};

/// The size that a guest's fields may have together: names, values, and [`ENTRY`] for each field.
const MAX_SIZE: usize = 128 << 10;

/// What a field counts beside its text (RFC 9113, 6.5.2), so there are at most four thousand.
const ENTRY: usize = 32;

/// The most memory that a field takes beside its text: its entry in a map with twice the capacity.
const ENTRY_HELD: usize = 320;

/// Fields, shared copy-on-write.
#[derive(Clone, Debug)]
pub struct Fields {
    map: Arc<FieldMap>,
    /// Set for the fields of a request, and for fields from which a message has been built.
    immutable: bool,
    /// Set for the fields of a request, some of which are hidden from the guest.
    received: bool,
}

/// Whether a field belongs to the connection rather than to the message (RFC 9110, 7.6.1), or is
/// `Host`, for which there is a function. The host hides these from guests and refuses them.
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
    pub(super) fn received(headers: HeaderMap) -> Self {
        Self {
            map: Arc::new(FieldMap {
                headers,
                ..FieldMap::default()
            }),
            immutable: true,
            received: true,
        }
    }

    /// The fields of a guest.
    fn of(map: FieldMap) -> Self {
        Self {
            map: Arc::new(map),
            immutable: false,
            received: false,
        }
    }

    /// The fields of a guest, with these entries.
    fn collect(
        entries: Vec<(String, Vec<u8>)>,
        memory: &RequestMemory,
    ) -> Result<Result<Self, HeaderError>, OverLimit> {
        let mut map = FieldMap::held_by(memory);
        for (name, value) in entries {
            let added = parse_name(&name).and_then(|name| map.append(name, parse_value(value)?));
            if let Err(error) = added {
                return Ok(Err(error));
            }
            map.update_charge()?;
        }
        Ok(Ok(Self::of(map)))
    }

    /// Whether the guest may see a field of this name.
    pub(super) fn shows(&self, name: &HeaderName) -> bool {
        !self.received || !is_forbidden(name)
    }

    /// The same fields, immutable.
    pub(super) fn freeze(mut self) -> Self {
        self.immutable = true;
        self
    }

    /// As [`FieldMap::content_length`].
    pub(super) fn content_length(&self) -> Result<Option<u64>, ()> {
        self.map.content_length()
    }

    pub(super) fn into_map(self) -> HeaderMap {
        match Arc::try_unwrap(self.map) {
            Ok(map) => map.into_map(),
            Err(shared) => shared.headers.clone(),
        }
    }

    /// The fields to change, copied if they are shared.
    fn own(&mut self) -> Result<&mut FieldMap, OverLimit> {
        if Arc::get_mut(&mut self.map).is_none() {
            self.map = Arc::new(self.map.copy()?);
        }
        Ok(Arc::get_mut(&mut self.map).unwrap_or_else(|| unreachable!("it is no longer shared")))
    }

    /// Parses the name of a field that the guest changes, and checks that it may.
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

/// A header map and its size.
#[derive(Debug, Default)]
pub(super) struct FieldMap {
    headers: HeaderMap,
    /// The size of what the guest has added, as [`MAX_SIZE`] limits it.
    size: usize,
    /// The highest number of fields so far: a map does not shrink.
    peak: usize,
    /// The charge for the fields, if the guest owns them.
    held: Option<Charge>,
}

impl FieldMap {
    /// An empty map, charged to a request.
    fn held_by(memory: &RequestMemory) -> Self {
        Self {
            held: Some(memory.charge()),
            ..Self::default()
        }
    }

    /// An empty map that reuses an allocation.
    pub(super) fn reusing(mut headers: HeaderMap) -> Self {
        headers.clear();
        Self {
            headers,
            ..Self::default()
        }
    }

    /// The value of `Content-Length`, if the field is present.
    pub(super) fn content_length(&self) -> Result<Option<u64>, ()> {
        self.headers
            .get(header::CONTENT_LENGTH)
            .map(|value| parse_length(value).ok_or(()))
            .transpose()
    }

    pub(super) fn into_map(self) -> HeaderMap {
        self.headers
    }

    /// A copy, with a charge of its own.
    fn copy(&self) -> Result<Self, OverLimit> {
        Ok(Self {
            held: self.held.as_ref().map(Charge::again).transpose()?,
            headers: self.headers.clone(),
            size: self.size,
            peak: self.peak,
        })
    }

    /// Adjusts the charge to the current size.
    fn update_charge(&mut self) -> Result<(), OverLimit> {
        self.peak = self.peak.max(self.headers.len());
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
            // With a second length, or one that is no number, servers could disagree where a
            // message ends.
            match parse_length(&value) {
                Some(length) if !self.headers.contains_key(&name) => HeaderValue::from(length),
                _ => return Err(HeaderError::InvalidSyntax),
            }
        } else {
            value
        };
        let size = self.size + cost(&name, &value);
        if size > MAX_SIZE {
            return Err(HeaderError::InvalidSyntax);
        }
        self.headers
            .try_append(name, value)
            .map_err(|_| HeaderError::InvalidSyntax)?;
        self.size = size;
        Ok(())
    }

    fn remove(&mut self, name: &HeaderName) {
        if let header::Entry::Occupied(entry) = self.headers.entry(name) {
            let (name, values) = entry.remove_entry_mult();
            for value in values {
                self.size = self.size.saturating_sub(cost(&name, &value));
            }
        }
    }
}

/// The size of a field as [`MAX_SIZE`] counts it.
fn cost(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + ENTRY
}

/// Parses digits only (RFC 9110, 8.6); Rust's parser would accept a sign.
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
        let map = FieldMap::held_by(self.memory);
        Ok(self.table.push(Fields::of(map))?)
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
                let values = fields.map.headers.get_all(name).into_iter();
                values.map(|value| value.as_bytes().to_owned()).collect()
            }
            _ => Vec::new(),
        })
    }

    fn has(&mut self, this: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        let fields = self.table.get(&this)?;
        Ok(parse_name(&name)
            .is_ok_and(|name| fields.shows(&name) && fields.map.headers.contains_key(name)))
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
        let map = fields.own()?;
        map.remove(&name);
        for value in values {
            if let Err(error) = map.append(name.clone(), value) {
                *fields = before;
                return Ok(Err(error));
            }
        }
        map.update_charge()?;
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
        let map = fields.own()?;
        map.remove(&name);
        map.update_charge()?;
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
        let map = fields.own()?;
        if let Err(error) = map.append(name, value) {
            return Ok(Err(error));
        }
        map.update_charge()?;
        Ok(Ok(()))
    }

    fn entries(&mut self, this: Resource<Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        let fields = self.table.get(&this)?;
        Ok(fields
            .map
            .headers
            .iter()
            .filter(|(name, _)| fields.shows(name))
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
            .collect())
    }

    fn clone(&mut self, this: Resource<Fields>) -> wasmtime::Result<Resource<Fields>> {
        let fields = self.table.get(&this)?;
        let copy = if fields.received {
            let mut map = FieldMap::held_by(self.memory);
            let shown = fields.map.headers.iter();
            for (name, value) in shown.filter(|(name, _)| !is_forbidden(name)) {
                // Not counted in `size`: the limit on a request's head bounds these.
                map.headers.append(name.clone(), value.clone());
            }
            map.update_charge()?;
            Fields::of(map)
        } else {
            Fields {
                map: Arc::clone(&fields.map),
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
