//! Lists from a host that packs rows, and from one that does not.

use usher_guest::api;
use usher_sdk::database::{
    Cursor, Database, Dialect, Error, Param, Records, Rows, Statements, Transaction, Value,
};
use usher_sdk::http::{BufferedRequest, Method, Response};

/// A database with the users of one page.
struct Page {
    rows: Rows,
    packs: bool,
}

impl Page {
    fn records(&self) -> Records {
        if self.packs {
            Records::unpack(vec![vec![Value::Bytes(pack(&self.rows))]]).expect("packed rows")
        } else {
            self.rows.clone().into()
        }
    }
}

/// Rows of integers, texts and NULL in the layout that docs/database.md describes.
fn pack(rows: &Rows) -> Vec<u8> {
    let (mut cells, mut texts) = (Vec::new(), String::new());
    for value in rows.iter().flatten() {
        let (kind, content) = match value {
            Value::Integer(number) => (2, number.cast_unsigned()),
            Value::Text(text) => {
                let start = texts.len() as u64;
                texts.push_str(text);
                (4, start | (text.len() as u64) << 32)
            }
            _ => (0, 0),
        };
        cells.push(kind);
        cells.extend(content.to_le_bytes());
    }
    let mut packed = Vec::new();
    for number in [4, rows.len(), texts.len()] {
        packed.extend(u32::try_from(number).expect("few").to_le_bytes());
    }
    packed.extend(cells);
    packed.extend(texts.as_bytes());
    packed
}

impl Statements for Page {
    fn query(&self, _: &str, _: &[Param<'_>]) -> Result<Rows, Error> {
        self.records().into_rows()
    }

    fn query_records(&self, _: &str, _: &[Param<'_>]) -> Result<Records, Error> {
        Ok(self.records())
    }

    fn execute(&self, statement: &str, _: &[Param<'_>]) -> Result<u64, Error> {
        Err(Error::Invalid(statement.into()))
    }
}

impl Database for Page {
    type Transaction = Self;
    type Cursor = Self;

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn begin(&self) -> Result<Self, Error> {
        Err(Error::Overloaded)
    }

    fn open(&self, statement: &str, _: &[Param<'_>]) -> Result<Self, Error> {
        Err(Error::Invalid(statement.into()))
    }
}

impl Cursor for Page {
    fn next(&mut self, _: u32) -> Result<Rows, Error> {
        Ok(Rows::new())
    }
}

impl Transaction for Page {
    fn commit(self) -> Result<(), Error> {
        Err(Error::Overloaded)
    }
}

fn user(id: i64, name: Option<&str>, email: &str) -> Vec<Value> {
    vec![
        Value::Integer(id),
        name.map_or(Value::Null, |name| Value::Text(name.into())),
        Value::Text(email.into()),
        Value::Integer(id + 1),
    ]
}

fn list(target: &str, rows: Rows, packs: bool) -> Response {
    let page = Page { rows, packs };
    api::handle(&BufferedRequest::new(Method::Get, target), &page)
        .into_response(&page)
        .expect("a response in one piece")
}

#[test]
fn page_is_the_same_whether_its_rows_are_packed() {
    let plain = vec![user(1, Some("Ann"), "ann@example.org")];
    let mut others = plain.clone();
    for (id, name) in [(2, "a \"b\""), (3, "\\"), (4, "Zoë\u{1}"), (5, "")] {
        others.push(user(id, Some(name), "x@example.org"));
    }
    others.push(user(
        6,
        None,
        "a-long-address-without-anything-to-escape@example.org",
    ));
    for rows in [Rows::new(), plain, others] {
        for target in ["/users/", "/users/?etag=true", "/users/?limit=1"] {
            let packed = list(target, rows.clone(), true);
            let as_ever = list(target, rows.clone(), false);
            assert_eq!(packed, as_ever, "{target} {rows:?}");
            assert_eq!(packed.status, 200);
        }
    }
}

#[test]
fn texts_of_a_page_are_escaped_where_one_must_be() {
    let rows = vec![
        user(1, Some("a \"b\" \\ \u{1}"), "a@example.org"),
        user(2, None, "b@example.org"),
    ];
    for packs in [true, false] {
        let response = list("/users/?etag=true", rows.clone(), packs);
        let expected = concat!(
            r#"[{"id":1,"name":"a \"b\" \\ \u0001","email":"a@example.org","etag":"\"2\""},"#,
            r#"{"id":2,"name":"","email":"b@example.org","etag":"\"3\""}]"#,
        );
        assert_eq!(response.body, expected.as_bytes());
    }
}

#[test]
fn row_of_other_columns_is_an_error_however_it_is_passed() {
    for packs in [true, false] {
        for row in [
            vec![Value::Integer(1); 4],
            vec![Value::Null, Value::Null, Value::Null, Value::Null],
        ] {
            let rows = vec![user(1, Some("Ann"), "ann@example.org"), row];
            assert_eq!(list("/users/", rows, packs).status, 500);
        }
    }
}
