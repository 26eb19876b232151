//! Which database: the URL, in libpq's spelling or SQLAlchemy's.
//!
//! | module | what lives there |
//! |---|---|
//! | `sqlite` | SQLite's half: a path |
//! | `target` | a URL, and what it points at |

mod sqlite;
mod target;

pub(crate) use target::Target;
pub use target::Url;
