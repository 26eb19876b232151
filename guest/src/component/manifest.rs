//! The component's statements and routes as custom sections of its WebAssembly, built at compile
//! time.
//!
//! A host that reads the statements can deny any other. A record is a line `PURPOSE DIALECT NAME
//! LENGTH`, then that many bytes of text, then a newline. A host that reads the routes can name a
//! request in its log without its path. A route is a line `METHOD TEMPLATE`. Other hosts ignore
//! both.

use crate::api::routes::{ROUTES, Route};
use crate::users::steps::{self, Step};
use crate::users::{adoption, migrations, sql};

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

    const fn record(&mut self, about: &str, name: &str, bytes: &[u8], start: usize, end: usize) {
        self.text(about);
        self.text(" ");
        self.text(name);
        self.text(" ");
        self.number(end - start);
        self.text("\n");
        self.write(bytes, start, end);
        self.text("\n");
    }

    const fn table(&mut self, about: &str, table: &[(&str, &str)]) {
        let mut at = 0;
        while at < table.len() {
            let (name, text) = table[at];
            self.record(about, name, text.as_bytes(), 0, text.len());
            at += 1;
        }
    }

    /// The statements of migrations, split as by [`steps::statements`].
    const fn steps(&mut self, about: &str, steps: &[Step]) {
        let mut at = 0;
        while at < steps.len() {
            self.step(about, &steps[at]);
            at += 1;
        }
    }

    const fn step(&mut self, about: &str, step: &Step) {
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

const fn section<const N: usize>() -> Section<N> {
    let mut section = Section {
        bytes: [0; N],
        length: 0,
    };
    section.table("service any", sql::STATEMENTS);
    section.table("service postgres", sql::postgres::STATEMENTS);
    section.table("service sqlite", sql::sqlite::STATEMENTS);
    section.table("migrations any", migrations::sql::STATEMENTS);
    section.table("migrations postgres", migrations::sql::postgres::STATEMENTS);
    section.table("migrations sqlite", migrations::sql::sqlite::STATEMENTS);
    section.table("migrations postgres", adoption::postgres::sql::STATEMENTS);
    section.table("migrations sqlite", adoption::sqlite::sql::STATEMENTS);
    section.steps("migrations postgres", steps::POSTGRES);
    section.steps("migrations sqlite", steps::SQLITE);
    section
}

/// The length of the section in bytes.
const LENGTH: usize = section::<0>().length;

/// The section's content.
#[cfg_attr(
    target_arch = "wasm32",
    expect(
        unsafe_code,
        reason = "neither the linker nor a host executes a section of this name"
    )
)]
#[cfg_attr(target_arch = "wasm32", unsafe(link_section = "usher:statements"))]
#[used]
pub static SECTION: [u8; LENGTH] = section::<LENGTH>().bytes;

const fn routes<const N: usize>() -> Section<N> {
    let mut section = Section {
        bytes: [0; N],
        length: 0,
    };
    let mut at = 0;
    while at < ROUTES.len() {
        let Route(method, template, _) = ROUTES[at];
        section.text(method.name());
        section.text(" ");
        section.text(template);
        section.text("\n");
        at += 1;
    }
    section
}

/// The length of the section of routes in bytes.
const ROUTES_LENGTH: usize = routes::<0>().length;

/// The content of the section of routes.
#[cfg_attr(
    target_arch = "wasm32",
    expect(
        unsafe_code,
        reason = "neither the linker nor a host executes a section of this name"
    )
)]
#[cfg_attr(target_arch = "wasm32", unsafe(link_section = "usher:routes"))]
#[used]
pub static ROUTES_SECTION: [u8; ROUTES_LENGTH] = routes::<ROUTES_LENGTH>().bytes;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::statements::{self, Purpose};
    use crate::database::Dialect;

    /// Purpose and dialect, name, text.
    fn records() -> Vec<(String, String, String)> {
        let mut rest = std::str::from_utf8(&SECTION).expect("it is text");
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
        let declared = std::str::from_utf8(&ROUTES_SECTION).expect("it is text");
        let routes = ROUTES.iter().map(|Route(method, template, _)| {
            let name = method.name();
            format!("{name} {template}\n")
        });
        assert_eq!(declared, routes.collect::<String>());
    }

    #[test]
    fn section_contains_every_statement_of_the_component() {
        let listed = statements::all().map(|statement| {
            let purpose = match statement.purpose {
                Purpose::Service => "service",
                Purpose::Migrations => "migrations",
            };
            let dialect = match statement.dialect {
                None => "any",
                Some(Dialect::Postgres) => "postgres",
                Some(Dialect::Sqlite) => "sqlite",
            };
            (
                format!("{purpose} {dialect}"),
                statement.name.to_owned(),
                statement.text.to_owned(),
            )
        });
        let mut listed: Vec<_> = listed.collect();
        let mut held = records();
        listed.sort();
        held.sort();
        assert_eq!(held, listed);
    }
}
