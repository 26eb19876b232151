//! The user service: a component that serves HTTP requests and typed calls, migrates its own
//! database schema, and can reach nothing but one database.
//!
//! It replaces the FastAPI service and stays compatible with it; [`compat`] has what that takes.
//! Imports run one way, from the bottom of this table to its top. To read the code, start at
//! [`api::routes`] and follow a request downwards through [`users::operations`] to [`users::sql`].
//!
//! | module | contents |
//! |---|---|
//! | [`database`] | the database capability as a trait; every statement is a constant |
//! | [`compat`] | what must behave exactly like Python: JSON, integers, email addresses, faults |
//! | [`compat::faults`] | one fault of a request, and the body of a 422 |
//! | `compat::json` | reading and writing JSON as CPython does |
//! | [`compat::integer`] | integers as pydantic reads them |
//! | `compat::percent` | percent-encoding as `urllib.parse` has it |
//! | [`compat::email`] | email addresses as email-validator accepts and normalises them |
//! | [`users`] | the domain, without HTTP |
//! | [`users::operations`] | create, get, list, replace, change and delete |
//! | [`users::sql`] | the statements these run |
//! | [`users::retry`] | running a statement or transaction again after a serialization failure |
//! | [`users::steps`] | the migrations that are compiled in |
//! | [`users::adoption`] | adopting a table `users` that another program created |
//! | [`users::migrations`] | applying the migrations, and planning what that would do |
//! | [`api`] | HTTP: from a request to its response |
//! | [`api::http`] | a request and a response as the service sees them |
//! | [`api::error`] | error responses |
//! | [`api::body`], [`api::query`] | parsing what a client sends |
//! | [`api::representation`] | a user as JSON, and its entity tag |
//! | [`api::conditional`] | `If-Match` and `If-None-Match` |
//! | [`api::accept`] | content negotiation |
//! | [`api::ndjson`] | a list of any length, one user per line |
//! | [`api::documents`] | the OpenAPI description and the pages that show it |
//! | [`api::users`] | one handler per operation |
//! | [`api::routes`] | the route table, dispatch, redirects and 405 |
//! | [`component`] | the boundary: exports, imports, allocator (WebAssembly only) |
//! | [`component::statements`] | a list of every statement that the component runs |
//! | [`component::manifest`] | that list as a custom section, for a host to read |

pub mod api;
pub mod compat;
pub mod component;
pub mod database;
pub mod users;
