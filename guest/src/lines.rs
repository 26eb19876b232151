//! Users one JSON object per line (`application/x-ndjson`), however many there are.
//!
//! They go from the database to the client a batch at a time, whose size is counted in bytes: nobody on the way holds more than that,
//! and the next is asked for once the client has taken what came before.

use crate::database::{Cursor, Database};
use crate::error::Error;
use crate::http::Response;
use crate::routes::{room, write_user};
use crate::users::{self, Reader, Selection, User};

/// The media type.
pub const NDJSON: &str = "application/x-ndjson";

/// Bytes after which lines are handed on, whatever else was fetched with them.
const CHUNK: usize = 64 << 10;

/// Users to be given line by line. Nothing has been asked of the database yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(pub(crate) Selection<'static>);

impl Lines {
    /// Asks the database for the first of them: whatever goes wrong until then still has a status of its own.
    ///
    /// # Errors
    /// The answer to be given in their place.
    pub fn open<D: Database>(&self, database: &D) -> Result<Open<D::Cursor>, Response> {
        let failed = |error| Response::from(Error::Failed(error));
        let mut reader = users::read(database, &self.0).map_err(failed)?;
        let fetched = reader.read().map_err(failed)?.into_iter();
        Ok(Open { reader, fetched })
    }
}

/// Lines of which the first are at hand.
#[derive(Debug)]
pub struct Open<C> {
    reader: Reader<C>,
    /// Users that were fetched and are not written yet.
    fetched: std::vec::IntoIter<User>,
}

impl<C: Cursor> Open<C> {
    /// The answer, whose body is to follow: read by [`read`](Self::read).
    #[must_use]
    pub fn head(&self) -> Response {
        Response {
            content_type: Some(NDJSON),
            ..Response::empty(200)
        }
        .with("vary", "accept")
    }

    /// The next lines, each with its end; none at the end of the list.
    ///
    /// # Errors
    /// As the database fails. It is too late for a status by then: the body must be cut off, so that nobody takes what came of the
    /// list for the whole of it.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, users::Error> {
        if self.fetched.as_slice().is_empty() {
            self.fetched = self.reader.read()?.into_iter();
        }
        let fetched = self.fetched.as_slice();
        if fetched.is_empty() {
            return Ok(None);
        }
        let mut lines = String::with_capacity(room(fetched, CHUNK));
        for user in self.fetched.by_ref() {
            write_user(&user, &mut lines);
            lines.push('\n');
            if lines.len() >= CHUNK {
                break;
            }
        }
        Ok(Some(lines.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Answer;
    use crate::database::{self, Dialect, Param, Rows, Statements, Transaction, Value};
    use crate::http::{BodyError, Method, Request};
    use crate::sql;
    use std::borrow::Cow;

    /// So many users, and then a failure where there is to be one.
    struct Many {
        users: i64,
        fails: bool,
        asked: std::cell::RefCell<Vec<String>>,
    }

    impl Many {
        fn new(users: i64, fails: bool) -> Self {
            Self {
                users,
                fails,
                asked: std::cell::RefCell::default(),
            }
        }
    }

    impl Statements for Many {
        fn query(&self, statement: &str, _: &[Param<'_>]) -> Result<Rows, database::Error> {
            Err(database::Error::Invalid(statement.into()))
        }

        fn execute(&self, statement: &str, _: &[Param<'_>]) -> Result<u64, database::Error> {
            Err(database::Error::Invalid(statement.into()))
        }
    }

    impl Database for Many {
        type Transaction = Self;
        type Cursor = Reading;

        fn dialect(&self) -> Dialect {
            Dialect::Sqlite
        }

        fn begin(&self) -> Result<Self, database::Error> {
            Err(database::Error::Overloaded)
        }

        fn open(&self, statement: &str, params: &[Param<'_>]) -> Result<Reading, database::Error> {
            self.asked
                .borrow_mut()
                .push(format!("{statement} {params:?}"));
            Ok(Reading {
                next: 1,
                last: self.users,
                fails: self.fails,
            })
        }
    }

    impl Transaction for Many {
        fn commit(self) -> Result<(), database::Error> {
            Err(database::Error::Overloaded)
        }
    }

    struct Reading {
        next: i64,
        last: i64,
        fails: bool,
    }

    impl Cursor for Reading {
        fn next(&mut self, at_most: u32) -> Result<Rows, database::Error> {
            let row = |id: i64| {
                vec![
                    Value::Integer(id),
                    Value::Text(format!("n\n{id}")),
                    Value::Text(format!("{id}@example.org")),
                    Value::Integer(1),
                ]
            };
            let last = self.last.min(self.next + i64::from(at_most) - 1);
            let rows: Rows = (self.next..=last).map(row).collect();
            self.next = last + 1;
            if rows.is_empty() && self.fails {
                return Err(database::Error::Unavailable("gone".into()));
            }
            Ok(rows)
        }
    }

    struct Get<'a>(&'a str, &'a str);

    impl Request for Get<'_> {
        fn method(&self) -> Method {
            Method::Get
        }

        fn target(&self) -> &str {
            self.0
        }

        fn header(&self, name: &str) -> Option<Vec<u8>> {
            (name == "accept").then(|| self.1.into())
        }

        fn scheme(&self) -> &'static str {
            "http"
        }

        fn authority(&self) -> Option<String> {
            None
        }

        fn body(&self) -> Result<Cow<'_, [u8]>, BodyError> {
            Err(BodyError::Broken)
        }
    }

    fn ask(target: &str, database: &Many) -> Lines {
        match crate::handle(&Get(target, NDJSON), database) {
            Answer::Lines(lines) => lines,
            Answer::Whole(response) => panic!("{target}: {}", response.status),
        }
    }

    #[test]
    fn each_user_is_one_line() {
        let database = Many::new(3, false);
        let answer = crate::handle(&Get("/users/", NDJSON), &database).whole(&database);
        let answer = answer.expect("it does not fail");
        assert_eq!((answer.status, answer.content_type), (200, Some(NDJSON)));
        assert_eq!(
            String::from_utf8_lossy(&answer.body),
            "{\"id\":1,\"name\":\"n\\n1\",\"email\":\"1@example.org\"}\n\
             {\"id\":2,\"name\":\"n\\n2\",\"email\":\"2@example.org\"}\n\
             {\"id\":3,\"name\":\"n\\n3\",\"email\":\"3@example.org\"}\n"
        );
    }

    #[test]
    fn whatever_is_asked_for_is_asked_of_the_database_in_one_statement() {
        for (target, expected) in [
            (
                "/users/",
                format!("{} [Integer(0), Integer({})]", sql::LIST, i64::MAX),
            ),
            (
                "/users/?after=7&limit=5",
                format!("{} [Integer(7), Integer(5)]", sql::LIST),
            ),
            (
                "/users/?email=A@EXAMPLE.org",
                format!(
                    "{} [Integer(0), Integer({}), Text(\"A@example.org\")]",
                    sql::LIST_BY_EMAIL,
                    i64::MAX
                ),
            ),
        ] {
            let database = Many::new(0, false);
            let lines = ask(target, &database);
            // Who answers in one piece must be able to leave it, and have nothing begun.
            assert!(database.asked.borrow().is_empty(), "{target}");
            lines.open(&database).expect("it opens");
            assert_eq!(*database.asked.borrow(), [expected], "{target}");
        }
    }

    #[test]
    fn what_fails_before_the_first_line_has_a_status() {
        let database = Many::new(0, true);
        let answer = ask("/users/", &database).open(&database);
        assert_eq!(answer.map(drop).map_err(|answer| answer.status), Err(503));
        let wrong = crate::handle(&Get("/users/?limit=0", NDJSON), &database).whole(&database);
        assert_eq!(wrong.map(|answer| answer.status), Ok(422));
    }

    #[test]
    fn what_fails_later_is_no_end() {
        let database = Many::new(16, true);
        let mut lines = ask("/users/", &database)
            .open(&database)
            .expect("the first are there");
        assert!(matches!(lines.read(), Ok(Some(_))));
        assert_eq!(lines.read(), Err(users::Error::Unavailable));
    }

    #[test]
    fn no_more_than_a_helping_is_held() {
        let database = Many::new(1000, false);
        let mut lines = ask("/users/", &database)
            .open(&database)
            .expect("the first are there");
        let mut helpings = Vec::new();
        while let Some(helping) = lines.read().expect("it does not fail") {
            helpings.push(String::from_utf8_lossy(&helping).lines().count());
        }
        assert_eq!(helpings, [16, 256, 256, 256, 216]);
    }
}
