//! The statements that a component declares: the only ones it may run, unless the operator allows
//! any.
//!
//! They are in custom sections `usher:statements` of the component or of a core module in it, which
//! other hosts ignore. A section consists of records: a line `PURPOSE DIALECT NAME LENGTH`, LENGTH
//! bytes of text, and a newline:
//!
//! ```text
//! service any GET 59
//! SELECT name, email, version FROM users WHERE id = $1 AND id
//! ```
//!
//! `PURPOSE` is `service` or `migrations`, `DIALECT` is `any`, `postgres` or `sqlite`. A section
//! that does not parse is an error, so that part of a list is never taken for all of it.

use std::fmt;

use wasmparser::{Parser, Payload};

use super::types::SqlDialect;

/// The name of the sections.
pub const SECTION: &str = "usher:statements";

/// What a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Serving requests.
    Service,
    /// Migrating the schema.
    Migrations,
}

/// A statement that a component declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// What it is for.
    pub purpose: Purpose,
    /// The only dialect it is for; none if it is for both.
    pub(crate) dialect: Option<SqlDialect>,
    /// Its name in the component.
    pub name: String,
    /// The exact text that the component passes to the database.
    pub text: String,
}

impl Declared {
    /// Whether it is for databases of this dialect.
    pub(crate) fn is_for(&self, dialect: SqlDialect) -> bool {
        self.dialect.is_none_or(|only| only == dialect)
    }

    /// The dialect as a section writes it.
    pub fn dialect(&self) -> &'static str {
        match self.dialect {
            None => "any",
            Some(SqlDialect::Postgres) => "postgres",
            Some(SqlDialect::Sqlite) => "sqlite",
        }
    }
}

/// All statements that a component declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// In the order of the sections, without duplicates.
    pub statements: Vec<Declared>,
}

/// Why a component's manifest cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(String);

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its section {SECTION} cannot be read: {}", self.0)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads the manifest of a component in binary form. `None` if it has no section; an empty
    /// section is a manifest without statements.
    ///
    /// # Errors
    /// If a section does not parse.
    pub fn read(component: &[u8]) -> Result<Option<Self>, ManifestError> {
        let mut manifest: Option<Self> = None;
        for payload in Parser::new(0).parse_all(component) {
            // Loading the component reports a malformed one.
            let Ok(payload) = payload else { break };
            if let Payload::CustomSection(section) = payload
                && section.name() == SECTION
            {
                manifest.get_or_insert_default().section(section.data())?;
            }
        }
        Ok(manifest)
    }

    fn section(&mut self, mut rest: &[u8]) -> Result<(), ManifestError> {
        while !rest.is_empty() {
            let (declared, after) = record(rest).ok_or_else(|| {
                let beginning = rest.get(..rest.len().min(60)).unwrap_or_default();
                ManifestError(format!(
                    "no record begins with {:?}",
                    String::from_utf8_lossy(beginning)
                ))
            })?;
            if !self.statements.contains(&declared) {
                self.statements.push(declared);
            }
            rest = after;
        }
        Ok(())
    }
}

fn record(rest: &[u8]) -> Option<(Declared, &[u8])> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let (head, rest) = rest.split_at_checked(end)?;
    let mut words = std::str::from_utf8(head).ok()?.split(' ');
    let purpose = match words.next()? {
        "service" => Purpose::Service,
        "migrations" => Purpose::Migrations,
        _ => return None,
    };
    let dialect = match words.next()? {
        "any" => None,
        "postgres" => Some(SqlDialect::Postgres),
        "sqlite" => Some(SqlDialect::Sqlite),
        _ => return None,
    };
    let name = words.next()?.to_owned();
    let length: usize = words.next()?.parse().ok()?;
    if words.next().is_some() {
        return None;
    }
    let (text, rest) = rest.get(1..)?.split_at_checked(length)?;
    let text = std::str::from_utf8(text).ok()?.to_owned();
    Some((
        Declared {
            purpose,
            dialect,
            name,
            text,
        },
        rest.strip_prefix(b"\n")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with one custom section, whose length fits into one byte.
    fn module(name: &str, data: &[u8]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.push(0);
        module.push(u8::try_from(1 + name.len() + data.len()).expect("a short section"));
        module.push(u8::try_from(name.len()).expect("a short name"));
        module.extend_from_slice(name.as_bytes());
        module.extend_from_slice(data);
        module
    }

    #[test]
    fn section_with_records_is_read_in_order() {
        let wasm = module(
            SECTION,
            b"service any GET 8\nSELECT 1\nmigrations sqlite 0001 4\n\nA;B\n",
        );
        let manifest = Manifest::read(&wasm)
            .expect("it can be read")
            .expect("it is there");
        let found: Vec<_> = manifest
            .statements
            .iter()
            .map(|one| {
                (
                    one.purpose,
                    one.dialect(),
                    one.name.as_str(),
                    one.text.as_str(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (Purpose::Service, "any", "GET", "SELECT 1"),
                (Purpose::Migrations, "sqlite", "0001", "\nA;B"),
            ]
        );
    }

    #[test]
    fn section_of_another_name_is_ignored() {
        let wasm = module("other", b"service any GET 8\nSELECT 1\n");
        assert_eq!(Manifest::read(&wasm), Ok(None));
        assert_eq!(Manifest::read(b"no wasm"), Ok(None));
    }

    #[test]
    fn empty_section_declares_no_statement() {
        assert_eq!(
            Manifest::read(&module(SECTION, b"")),
            Ok(Some(Manifest::default()))
        );
    }

    #[test]
    fn section_with_broken_record_is_an_error() {
        for data in [
            "GET",
            "service any GET\nSELECT 1\n",
            "service any GET 9\nSELECT 1\n",
            "service any GET 7\nSELECT 1\n",
            "service any GET 8\nSELECT 1",
            "service any GET 8 8\nSELECT 1\n",
            "service mysql GET 8\nSELECT 1\n",
            "other any GET 8\nSELECT 1\n",
            "service any GET 99999999999999999999\nSELECT 1\n",
            "service any GET 8\nSELECT 1\nx",
        ] {
            let read = Manifest::read(&module(SECTION, data.as_bytes()));
            assert!(read.is_err(), "{data:?}: {read:?}");
        }
        assert!(Manifest::read(&module(SECTION, b"service any GET 1\n\xff\n")).is_err());
    }
}
