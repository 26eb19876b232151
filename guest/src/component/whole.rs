//! A request comes in and its answer goes out in one call.

use std::borrow::Cow;
use std::cell::Cell;

use super::Component;
use super::bindings::exports::usher::service::whole_handler::{
    Content, Field as WitField, Guest, Method as WitMethod, Request as WitRequest,
    Response as WitResponse,
};
use super::database::Import;
use crate::http::{BODY_LIMIT, BodyError, JSON, Method, Request};
use crate::{Answer, Field};

/// A document beyond this many bytes is streamed rather than copied.
const COPIED: usize = 64 << 10;

impl Guest for Component {
    fn fields() -> Vec<WitField> {
        let field = |Field { name, containing }: Field| WitField {
            name: name.into(),
            containing: containing.map(str::to_owned),
        };
        crate::FIELDS.map(field).into()
    }

    fn handle(request: WitRequest) -> Option<WitResponse> {
        let request = Whole {
            request,
            lacks: Cell::new(false),
        };
        let response = match crate::handle(&request, &Import) {
            // Nothing has been asked of the database yet, and all of it will be by `incoming-handler`.
            Answer::Lines(_) => return None,
            Answer::Whole(_) if request.lacks.get() => return None,
            Answer::Whole(response) => response,
        };
        // Only what is part of the component: any other answer is the outcome of something that must not be done twice.
        if matches!(response.body, Cow::Borrowed(bytes) if bytes.len() > COPIED) {
            return None;
        }
        let (mut etag, mut fields) = (None, Vec::new());
        for (name, value) in response.headers {
            if name == "etag" {
                etag = Some(value.into_owned());
            } else {
                fields.push((name.to_owned(), value.into_owned()));
            }
        }
        let content = |content_type| match content_type {
            JSON => Content::Json,
            other => Content::Other(str::to_owned(other)),
        };
        Some(WitResponse {
            status: response.status,
            content_type: response.content_type.map(content),
            etag,
            fields,
            body: response.body.into_owned(),
        })
    }
}

/// A request that is at hand whole, but for what only redirects need.
struct Whole {
    request: WitRequest,
    /// Whether something was asked for that is not here.
    lacks: Cell<bool>,
}

impl Request for Whole {
    fn method(&self) -> Method {
        match self.request.method {
            WitMethod::Get => Method::Get,
            WitMethod::Head => Method::Head,
            WitMethod::Post => Method::Post,
            WitMethod::Put => Method::Put,
            WitMethod::Patch => Method::Patch,
            WitMethod::Delete => Method::Delete,
            _ => Method::Other,
        }
    }

    fn target(&self) -> &str {
        &self.request.target
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let mut lines = self
            .request
            .fields
            .iter()
            .flatten()
            .filter(|(field, _)| field == name);
        let mut whole = lines.next()?.1.clone();
        for (_, line) in lines {
            whole.extend_from_slice(b", ");
            whole.extend_from_slice(line);
        }
        Some(whole)
    }

    fn scheme(&self) -> &'static str {
        "http"
    }

    fn authority(&self) -> Option<String> {
        self.lacks.set(true);
        None
    }

    fn body(&self) -> Result<Cow<'_, [u8]>, BodyError> {
        let body = self.request.body.as_deref().unwrap_or_default();
        if body.len() > BODY_LIMIT {
            return Err(BodyError::TooLarge);
        }
        Ok(Cow::Borrowed(body))
    }
}
