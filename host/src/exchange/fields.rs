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
    map: Arc<HeaderMap>,
    /// Bytes of what a guest has put in.
    size: usize,
    /// Those of a request, and of a response that has been made of them.
    immutable: bool,
    /// Those of a request, among which are some that are none of the guest's business.
    received: bool,
}

/// What nearly every answer is, so that no copy of it need be kept for each.
const JSON: &str = "application/json";

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
            map: Arc::new(map),
            size: 0,
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
            size: given.size,
            map: Arc::new(given.map),
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

    /// The number in `Content-Length`, if there is one.
    pub(super) fn content_length(&self) -> Result<Option<u64>, ()> {
        self.map
            .get(header::CONTENT_LENGTH)
            .map(|value| parse_length(value).ok_or(()))
            .transpose()
    }

    pub(super) fn into_map(self) -> HeaderMap {
        Arc::unwrap_or_clone(self.map)
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), HeaderError> {
        let mut given = Given {
            map: std::mem::take(Arc::make_mut(&mut self.map)),
            size: self.size,
        };
        let appended = given.append(name, value);
        *Arc::make_mut(&mut self.map) = given.map;
        self.size = given.size;
        appended
    }

    fn remove(&mut self, name: &HeaderName) {
        if let header::Entry::Occupied(entry) = Arc::make_mut(&mut self.map).entry(name) {
            let (name, values) = entry.remove_entry_mult();
            for value in values {
                self.size = self.size.saturating_sub(name.as_str().len() + value.len());
            }
        }
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

/// Fields that a guest gives, within their limits.
struct Given {
    map: HeaderMap,
    /// Bytes of names and values.
    size: usize,
}

impl Given {
    fn with_capacity(entries: usize) -> Self {
        Self {
            map: HeaderMap::with_capacity(entries.min(64)),
            size: 0,
        }
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), HeaderError> {
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
}

/// The fields of a guest's response that is all there, and the length of the body it promises, if it does. What the body is comes apart.
pub(super) fn of_response(
    content_type: Option<String>,
    entries: Vec<(String, String)>,
) -> Result<(HeaderMap, Option<u64>), HeaderError> {
    let mut given = Given::with_capacity(entries.len() + 1);
    let mut length = None;
    for (name, value) in entries {
        let (name, value) = (parse_name(&name)?, parse_value(value.into())?);
        if name == header::CONTENT_LENGTH {
            length = parse_length(&value);
        }
        given.append(name, value)?;
    }
    if let Some(content_type) = content_type {
        let value = if content_type == JSON {
            HeaderValue::from_static(JSON)
        } else {
            parse_value(content_type.into())?
        };
        given.append(header::CONTENT_TYPE, value)?;
    }
    Ok((given.map, length))
}

fn parse_length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

fn parse_name(name: &str) -> Result<HeaderName, HeaderError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidSyntax)
}

fn parse_value(value: Vec<u8>) -> Result<HeaderValue, HeaderError> {
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
                let values = fields.map.get_all(name).into_iter();
                values.map(|value| value.as_bytes().to_owned()).collect()
            }
            _ => Vec::new(),
        })
    }

    fn has(&mut self, this: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        let fields = self.table.get(&this)?;
        Ok(
            parse_name(&name)
                .is_ok_and(|name| fields.shows(&name) && fields.map.contains_key(name)),
        )
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
            let shown = fields.map.iter().filter(|(name, _)| !is_forbidden(name));
            let map = shown.map(|(name, value)| (name.clone(), value.clone()));
            copy.map = Arc::new(map.collect());
        } else {
            copy.map = Arc::clone(&fields.map);
            copy.size = fields.size;
        }
        Ok(self.table.push(copy)?)
    }

    fn drop(&mut self, this: Resource<Fields>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
