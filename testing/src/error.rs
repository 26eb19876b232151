//! Why a test application failed.

use std::fmt;

use usher::access::AccessError;
use usher::database::{Error, OpenError, UrlError};
use usher::sandbox::LoadError;
use usher::sandbox::migrate::MigrateError;

/// Why a test application failed to start or to respond.
#[derive(Debug)]
pub enum TestError {
    /// The database's URL is invalid.
    Url(UrlError),
    /// There is no PostgreSQL server. The text says what to do.
    NoServer(String),
    /// The database cannot be used.
    Database(OpenError),
    /// A statement of the test itself failed, or a snapshot of its database.
    Statement(Error),
    /// The settings of who may send requests cannot be used.
    Access(AccessError),
    /// The component cannot be loaded.
    Load(LoadError),
    /// Its migrations failed.
    Migrate(MigrateError),
    /// The request is invalid, for example because of a space in its path.
    Request(http::Error),
    /// The request's body cannot be written as JSON.
    Json(serde_json::Error),
    /// The response was truncated.
    Response(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::NoServer(why) => f.write_str(why),
            Self::Database(error) => error.fmt(f),
            Self::Statement(error) => write!(f, "a statement of the test failed: {error}"),
            Self::Access(error) => error.fmt(f),
            Self::Load(error) => error.fmt(f),
            Self::Migrate(error) => error.fmt(f),
            Self::Request(error) => write!(f, "the request cannot be made: {error}"),
            Self::Json(error) => write!(f, "the request's body cannot be made: {error}"),
            Self::Response(error) => write!(f, "the response broke off: {error}"),
        }
    }
}

impl std::error::Error for TestError {}
