//! The user service: a component that serves HTTP requests and typed calls, migrates its own
//! database schema, and can reach nothing but one database.
//!
//! It replaces the FastAPI service and stays compatible with it; [`compat`] has what that takes.
//! What any service needs, and the boundary of the component, is in the crate `usher-sdk`.
//! Imports run one way, from the bottom of this table to its top. To read the code, start at
//! [`api::routes`] and follow a request downwards through [`users::operations`] to [`users::sql`].
//!
//! | module | contents |
//! |---|---|
//! | [`compat`] | what must behave exactly like Python: JSON, integers, email addresses, faults |
//! | [`compat::faults`] | one fault of a request, and the body of a 422 |
//! | `compat::json` | reading and writing JSON as CPython does |
//! | [`compat::integer`] | integers as pydantic reads them |
//! | `compat::percent` | percent-encoding as `urllib.parse` has it |
//! | [`compat::email`] | email addresses as email-validator accepts and normalises them |
//! | [`users`] | the domain, without HTTP |
//! | [`users::operations`] | create, get, list, replace, change and delete |
//! | [`users::sql`] | the statements these run |
//! | [`users::steps`] | the migrations that are compiled in |
//! | [`users::adoption`] | adopting a table `users` that another program created |
//! | [`api`] | HTTP: from a request to its response |
//! | [`api::headers`] | the request headers that the service reads |
//! | [`api::error`] | error responses |
//! | [`api::body`], [`api::query`] | parsing what a client sends |
//! | [`api::representation`] | a user as JSON, and its entity tag |
//! | [`api::conditional`] | `If-Match` and `If-None-Match` |
//! | [`api::accept`] | content negotiation |
//! | [`api::ndjson`] | a list of any length, one user per line |
//! | [`api::documents`] | the OpenAPI description and the pages that show it |
//! | [`api::users`] | one handler per operation |
//! | [`api::routes`] | the route table, dispatch, redirects and 405 |
//! | [`component`] | what the component declares and exports |

pub mod api;
pub mod compat;
pub mod component;
pub mod users;
