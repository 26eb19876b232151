//! What a component is: the trait that [`export!`](crate::export) exports.

use crate::answer::{Answer, Streamed};
use crate::database::Database;
use crate::declared::Declared;
use crate::http::{Request, RequestHeaders};
use crate::migrations::{Adoption, Migrations};
use crate::routing::Route;

/// A service: HTTP requests, answered from one database, whose schema it migrates itself.
///
/// [`Routed`](crate::web::Routed) is the short way to one, with function handlers and JSON.
pub trait Service: Sized + 'static {
    /// The request headers that it reads.
    type Header: RequestHeaders;
    /// What an operation of its route table is.
    type Operation: 'static;
    /// Its streamed responses.
    type Streamed: Streamed;
    /// What looks at a database before migrations are applied.
    type Adoption: Adoption;

    /// Its routes, which are declared to the host. Of two that match, the first one is taken.
    const ROUTES: &'static [Route<Self::Operation>];
    /// Every statement that it runs, besides those of its migrations.
    const STATEMENTS: &'static [Declared];
    /// Its migrations.
    const MIGRATIONS: Migrations;

    /// Answers a request.
    fn handle(
        request: &impl Request<Self::Header>,
        database: &impl Database,
    ) -> Answer<Self::Streamed>;
}
