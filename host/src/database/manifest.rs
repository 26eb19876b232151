//! The statements that a component declares: the only ones it may run, unless the operator allows any.
//!
//! They are in custom sections called `usher:statements` of the component, or of a core module in it. Other hosts take no notice
//! of such sections. A section is records, each a line `PURPOSE DIALECT NAME LENGTH`, then so many bytes of text, then a newline:
//!
//! ```text
//! service any GET 59
//! SELECT name, email, version FROM users WHERE id = $1 AND id
//! ```
//!
//! `PURPOSE` is `service` or `migrations`, `DIALECT` is `any`, `postgres` or `sqlite`. A section that reads otherwise is an error:
//! what is to be the whole list must not be half of one.

use std::fmt;

use wasmparser::{Parser, Payload};

use super::types::SqlDialect;

/// The sections' name.
pub const SECTION: &str = "usher:statements";

/// When a statement is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To answer requests.
    Service,
    /// To bring the schema up to date.
    Migrations,
}

/// A statement that a component declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// When it is run.
    pub purpose: Purpose,
    /// The only dialect in which it is run, if it is not run in both.
    pub(crate) dialect: Option<SqlDialect>,
    /// What the component calls it.
    pub name: String,
    /// Exactly what it hands to the database.
    pub text: String,
}

impl Declared {
    /// Whether a database of this dialect is asked it.
    pub(crate) fn is_for(&self, dialect: SqlDialect) -> bool {
        self.dialect.is_none_or(|only| only == dialect)
    }

    /// The dialect as it is written in a section.
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
    /// In the order of the sections, each text once for each purpose and dialect.
    pub statements: Vec<Declared>,
}

/// Why a component's declaration cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(String);

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its section {SECTION} cannot be read: {}", self.0)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads what a component in binary form declares. `None` where it declares nothing, which is not the same as declaring
    /// no statement.
    ///
    /// # Errors
    /// A section that is not as described above.
    pub fn read(component: &[u8]) -> Result<Option<Self>, ManifestError> {
        let mut manifest: Option<Self> = None;
        for payload in Parser::new(0).parse_all(component) {
            // What is no component is said by who loads it.
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

    /// A module with one custom section of this name, whose length fits into one byte.
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
    fn section_of_other_name_declares_nothing() {
        let wasm = module("other", b"service any GET 8\nSELECT 1\n");
        assert_eq!(Manifest::read(&wasm), Ok(None));
        assert_eq!(Manifest::read(b"no wasm"), Ok(None));
    }

    #[test]
    fn section_that_is_empty_declares_no_statement() {
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
