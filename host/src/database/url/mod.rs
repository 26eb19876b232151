//! The URL of the database, as in libpq or SQLAlchemy.
//!
//! | module | contents |
//! |---|---|
//! | `sqlite` | the URLs of SQLite |
//! | `target` | a URL and its target |

mod sqlite;
mod target;

pub(crate) use target::Target;
pub use target::Url;
