//! A component's statements and routes as custom sections of its WebAssembly, built at compile
//! time.
//!
//! A host that reads the statements can deny any other. A record is a line `PURPOSE DIALECT NAME
//! LENGTH`, then that many bytes of text, then a newline. A host that reads the routes can name a
//! request in its log without its path. A route is a line `METHOD TEMPLATE`. Other hosts ignore
//! both.

use crate::database::Dialect;
use crate::declared::{Declared, OF_MIGRATIONS};
use crate::migrations::{Migrations, Step};
use crate::routing::Route;

/// A section of `N` bytes under construction. With `N` = 0 it only counts its length.
struct Section<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Section<N> {
    const fn write(&mut self, bytes: &[u8], start: usize, end: usize) {
        let mut at = start;
        while at < end {
            if self.length < N {
                self.bytes[self.length] = bytes[at];
            }
            self.length += 1;
            at += 1;
        }
    }

    const fn text(&mut self, text: &str) {
        self.write(text.as_bytes(), 0, text.len());
    }

    const fn number(&mut self, number: usize) {
        let mut power = 1;
        while number / power >= 10 {
            power *= 10;
        }
        while power > 0 {
            // One decimal digit.
            let digit = b"0123456789"[number / power % 10];
            self.write(&[digit], 0, 1);
            power /= 10;
        }
    }

    const fn record(
        &mut self,
        about: [&str; 2],
        name: &str,
        bytes: &[u8],
        start: usize,
        end: usize,
    ) {
        self.text(about[0]);
        self.text(" ");
        self.text(about[1]);
        self.text(" ");
        self.text(name);
        self.text(" ");
        self.number(end - start);
        self.text("\n");
        self.write(bytes, start, end);
        self.text("\n");
    }

    const fn tables(&mut self, tables: &[Declared]) {
        let mut at = 0;
        while at < tables.len() {
            let declared = &tables[at];
            let about = [declared.purpose.name(), dialect_name(declared.dialect)];
            let mut row = 0;
            while row < declared.table.len() {
                let (name, text) = declared.table[row];
                self.record(about, name, text.as_bytes(), 0, text.len());
                row += 1;
            }
            at += 1;
        }
    }

    /// The statements of migrations, split as by [`statements`](crate::migrations::statements).
    const fn steps(&mut self, about: [&str; 2], steps: &[Step]) {
        let mut at = 0;
        while at < steps.len() {
            self.step(about, &steps[at]);
            at += 1;
        }
    }

    const fn step(&mut self, about: [&str; 2], step: &Step) {
        let sql = step.sql.as_bytes();
        let mut begin = 0;
        while begin < sql.len() {
            let after = end_of_statement(sql, begin);
            let (mut start, mut end) = (begin, after);
            while start < end && sql[start].is_ascii_whitespace() {
                start += 1;
            }
            while start < end && sql[end - 1].is_ascii_whitespace() {
                end -= 1;
            }
            if is_comment(sql, start, end) {
                return;
            }
            while start < end && sql[end - 1] == b';' {
                end -= 1;
            }
            self.record(about, step.name, sql, start, end);
            begin = after;
        }
    }
}

/// The end of the first line that ends with a semicolon, or of the text.
const fn end_of_statement(sql: &[u8], begin: usize) -> usize {
    let mut line = begin;
    while line < sql.len() {
        let newline = end_of_line(sql, line);
        let mut end = newline;
        while end > line && sql[end - 1].is_ascii_whitespace() {
            end -= 1;
        }
        if end > line && sql[end - 1] == b';' {
            return newline;
        }
        line = newline;
    }
    sql.len()
}

const fn end_of_line(sql: &[u8], begin: usize) -> usize {
    let mut end = begin;
    while end < sql.len() {
        end += 1;
        if sql[end - 1] == b'\n' {
            return end;
        }
    }
    end
}

/// Whether every line is a comment or empty.
const fn is_comment(sql: &[u8], start: usize, end: usize) -> bool {
    let mut line = start;
    while line < end {
        let mut first = line;
        let next = end_of_line(sql, line);
        while first < next && sql[first].is_ascii_whitespace() {
            first += 1;
        }
        let is_empty = first >= next || first >= end;
        let is_comment = first + 1 < end && sql[first] == b'-' && sql[first + 1] == b'-';
        if !is_empty && !is_comment {
            return false;
        }
        line = next;
    }
    true
}

const fn dialect_name(dialect: Option<Dialect>) -> &'static str {
    match dialect {
        None => "any",
        Some(Dialect::Postgres) => "postgres",
        Some(Dialect::Sqlite) => "sqlite",
    }
}

const fn statements_section<const N: usize>(
    tables: &[Declared],
    migrations: &Migrations,
) -> Section<N> {
    let mut section = Section {
        bytes: [0; N],
        length: 0,
    };
    section.tables(tables);
    section.tables(OF_MIGRATIONS);
    section.steps(["migrations", "postgres"], migrations.postgres);
    section.steps(["migrations", "sqlite"], migrations.sqlite);
    section
}

/// The length of the section of statements, in bytes.
#[must_use]
pub const fn statements_length(tables: &[Declared], migrations: &Migrations) -> usize {
    statements_section::<0>(tables, migrations).length
}

/// The content of the section of statements, whose [length](statements_length) is `N`.
#[must_use]
pub const fn statements<const N: usize>(tables: &[Declared], migrations: &Migrations) -> [u8; N] {
    statements_section::<N>(tables, migrations).bytes
}

const fn routes_section<O, const N: usize>(routes: &[Route<O>]) -> Section<N> {
    let mut section = Section {
        bytes: [0; N],
        length: 0,
    };
    let mut at = 0;
    while at < routes.len() {
        let Route(method, template, _) = &routes[at];
        section.text(method.name());
        section.text(" ");
        section.text(template);
        section.text("\n");
        at += 1;
    }
    section
}

/// The length of the section of routes, in bytes.
#[must_use]
pub const fn routes_length<O>(routes: &[Route<O>]) -> usize {
    routes_section::<O, 0>(routes).length
}

/// The content of the section of routes, whose [length](routes_length) is `N`.
#[must_use]
pub const fn routes<O, const N: usize>(routes: &[Route<O>]) -> [u8; N] {
    routes_section::<O, N>(routes).bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declared::{self, Statement};
    use crate::http::Method;

    const TABLES: &[Declared] = &[
        Declared::service(&[("ONE", "SELECT 1"), ("TWO", "SELECT\n2")]),
        Declared::service(&[("BOTH", "SELECT 3")]).on(Dialect::Postgres),
        Declared::migrations(&[("BOTH", "SELECT 3")]).on(Dialect::Sqlite),
    ];

    const MIGRATIONS: Migrations = Migrations {
        postgres: &[Step {
            name: "0001_one",
            sql: "-- One.\r\nCREATE TABLE one (id bigint);\n\n  SELECT ';' ;\n-- The end.\n",
            earlier: &[],
        }],
        sqlite: &[],
    };

    /// Purpose and dialect, name, text.
    fn records(section: &[u8]) -> Vec<(String, String, String)> {
        let mut rest = std::str::from_utf8(section).expect("it is text");
        let mut found = Vec::new();
        while let Some((head, after)) = rest.split_once('\n') {
            let words: Vec<&str> = head.split(' ').collect();
            let [purpose, dialect, name, length] = words[..] else {
                panic!("{head}")
            };
            let (text, after) = after.split_at(length.parse().expect("a number"));
            found.push((
                format!("{purpose} {dialect}"),
                name.to_owned(),
                text.to_owned(),
            ));
            rest = after.strip_prefix('\n').expect("a newline");
        }
        assert_eq!(rest, "");
        found
    }

    #[test]
    fn section_contains_every_route_of_the_component() {
        const ROUTES: &[Route<()>] = &[
            Route(Method::Get, "/users/{user_id}", ()),
            Route(Method::Post, "/users/", ()),
        ];
        const LENGTH: usize = routes_length(ROUTES);
        assert_eq!(
            std::str::from_utf8(&routes::<(), LENGTH>(ROUTES)),
            Ok("GET /users/{user_id}\nPOST /users/\n")
        );
    }

    #[test]
    fn section_contains_every_statement_of_the_component() {
        const LENGTH: usize = statements_length(TABLES, &MIGRATIONS);
        let listed = declared::all(TABLES, MIGRATIONS).map(
            |Statement {
                 purpose,
                 dialect,
                 name,
                 text,
             }| {
                let about = format!("{} {}", purpose.name(), dialect_name(dialect));
                (about, name.to_owned(), text.to_owned())
            },
        );
        let mut listed: Vec<_> = listed.collect();
        let mut held = records(&statements::<LENGTH>(TABLES, &MIGRATIONS));
        assert!(held.contains(&(
            "migrations postgres".into(),
            "0001_one".into(),
            "-- One.\r\nCREATE TABLE one (id bigint)".into()
        )));
        listed.sort();
        held.sort();
        assert_eq!(held, listed);
    }
}
