//! What a service of function handlers names: `use usher_sdk::prelude::*;`.

pub use crate::database::{Dialect, Param, RefusalKind, Value};
pub use crate::declared::Declared;
pub use crate::http::{Header, Response};
pub use crate::macros::{migrations, params, statements};
pub use crate::migrations::Migrations;
pub use crate::routing::Route;
pub use crate::web::{Db, FromRow, Ndjson, OnRefusal, Problem, Query, Request, Routed, Routes};
