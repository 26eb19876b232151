//! The user service: a component that answers HTTP requests and typed calls, looks after its own schema, and reaches
//! nothing but one database.
//!
//! What it serves is [`ROUTES`]; what it exports besides (`usher:users/users` and `usher:users/migrations`) is the same
//! logic without HTTP. In reading order:
//!
//! | module | what it decides |
//! |---|---|
//! | [`routes`] | which route a request is for, redirects, 405, and each operation's answer |
//! | [`validation`] | what clients may send: bodies, ids, names, email addresses, queries |
//! | [`users`] | what can be done with users |
//! | [`lines`] | everyone, line by line, as long as the list may be |
//! | [`documents`] | the description of all this, and the pages that show it |
//! | [`sql`] | the statements that do it |
//! | [`retry`] | doing again what lost against somebody else |
//! | [`error`] | the answer to whatever goes wrong |
//! | [`migrations`] | the schema's history, and bringing a database up to date |
//! | [`adoption`] | taking over a table of users that another program has made |
//! | [`manifest`] | the same as a section of the component, for its host to read |
//! | [`statements`] | every statement there is, for whoever declares them to a host |
//! | [`http`], [`database`] | the outside world, as far as the above needs it |
//! | `component` | the component's boundary, compiled for WebAssembly only: all else also runs, and is tested, natively |

use documents::Document;
use http::Method::{Delete, Get, Patch, Post, Put};
use routes::{Operation, Route};

/// Everything that is served. `GET` includes `HEAD`; where two routes fit a request the first one wins.
pub static ROUTES: [Route; 15] = [
    Route(Post, "/users/", Operation::CreateUser),
    Route(Get, "/users/{user_id}", Operation::GetUser),
    Route(Put, "/users/{user_id}", Operation::ReplaceUser),
    Route(Patch, "/users/{user_id}", Operation::ChangeUser),
    Route(Delete, "/users/{user_id}", Operation::DeleteUser),
    Route(Get, "/users/", Operation::ListUsers),
    Route(Get, "/openapi.json", Operation::Read(Document::OpenApi)),
    Route(Get, "/docs", Operation::Read(Document::SwaggerUi)),
    Route(
        Get,
        "/docs/swagger-ui.css",
        Operation::Read(Document::SwaggerUiStyle),
    ),
    Route(
        Get,
        "/docs/swagger-ui-bundle.js",
        Operation::Read(Document::SwaggerUiScript),
    ),
    Route(
        Get,
        "/docs/init.js",
        Operation::Read(Document::SwaggerUiStart),
    ),
    Route(
        Get,
        "/docs/oauth2-redirect",
        Operation::Read(Document::OAuth2Redirect),
    ),
    Route(
        Get,
        "/docs/oauth2-redirect.js",
        Operation::Read(Document::OAuth2RedirectScript),
    ),
    Route(Get, "/redoc", Operation::Read(Document::ReDoc)),
    Route(
        Get,
        "/redoc/redoc.standalone.js",
        Operation::Read(Document::ReDocScript),
    ),
];

/// A request header that some of it looks at.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name, in lower case.
    pub name: &'static str,
    /// Without this text in it, in any case, it says nothing to this service.
    pub containing: Option<&'static str>,
}

/// The request headers that any of it looks at.
///
/// Each that is handed over costs its copy. `Accept` comes with nearly every request and nearly never matters, so it is only asked
/// for where it names lines.
pub const FIELDS: [Field; 5] = [
    Field::containing("accept", "ndjson"),
    Field::any("accept-encoding"),
    Field::any("content-type"),
    Field::any("if-match"),
    Field::any("if-none-match"),
];

impl Field {
    const fn any(name: &'static str) -> Self {
        Self {
            name,
            containing: None,
        }
    }

    const fn containing(name: &'static str, text: &'static str) -> Self {
        Self {
            name,
            containing: Some(text),
        }
    }
}

mod accept;
pub mod adoption;
pub mod database;
pub mod documents;
pub mod error;
pub mod http;
pub mod lines;
pub mod manifest;
pub mod migrations;
mod percent;
pub mod retry;
pub mod routes;
pub mod sql;
pub mod statements;
pub mod users;
pub mod validation;

pub use routes::{Answer, handle};

#[cfg(target_arch = "wasm32")]
mod component;
