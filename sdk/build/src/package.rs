//! What a component says of itself, in custom sections that other tools read: its name, version and
//! licence (as the crate `wasm-metadata` defines them), and the crates in it (the section of
//! `cargo auditable`).
//!
//! All of it comes from the sources and `Cargo.lock`, so that the same sources give the same bytes.
//! The revision is the exception: only whoever builds a release knows it, and says so by
//! [`REVISION`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The variable with the revision of the sources, such as a commit. It is in no component unless it
/// is set.
pub const REVISION: &str = "USHER_REVISION";

/// What a component says of itself. What is `None` is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Its licence, as an SPDX expression.
    pub licenses: Option<String>,
    /// Where its sources are.
    pub source: Option<String>,
    /// Its page.
    pub homepage: Option<String>,
    /// Who made it.
    pub authors: Option<String>,
    /// The revision of its sources.
    pub revision: Option<String>,
}

/// A crate: its name, version and origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    source: &'static str,
}

/// The crates of a component, and what each depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crates {
    root: Option<Crate>,
    dependencies: BTreeMap<Crate, BTreeSet<Crate>>,
}

/// The format of `cargo tree` that [`read`] reads, after the depth.
pub(crate) const TREE_FORMAT: &str = "|{p}|{l}|{r}";

/// Reads what `cargo tree --prefix depth` prints in [`TREE_FORMAT`]: the crates, and what the
/// package says of itself.
///
/// # Errors
/// The line that it does not understand.
pub(crate) fn read(tree: &str) -> Result<(Details, Crates), String> {
    let mut details = Details::default();
    let mut crates = Crates::default();
    let mut path: Vec<Crate> = Vec::new();
    for line in tree.lines() {
        let (depth, found, license, repository) =
            parts(line).ok_or_else(|| format!("`cargo tree` printed {line:?}"))?;
        if depth == 0 {
            details.version = Some(found.version.clone());
            details.licenses = Some(license.to_owned()).filter(|text| !text.is_empty());
            details.source = Some(repository.to_owned()).filter(|text| !text.is_empty());
            crates.root = Some(found.clone());
        }
        path.truncate(depth);
        if let Some(parent) = path.last() {
            let of_parent = crates.dependencies.entry(parent.clone()).or_default();
            of_parent.insert(found.clone());
        }
        crates.dependencies.entry(found.clone()).or_default();
        path.push(found);
    }
    Ok((details, crates))
}

/// The parts of a line such as `1|itoa v1.0.19|MIT OR Apache-2.0|https://github.com/dtolnay/itoa`.
fn parts(line: &str) -> Option<(usize, Crate, &str, &str)> {
    let mut fields = line.trim_end_matches(" (*)").split('|');
    let depth = fields.next()?.parse().ok()?;
    let mut words = fields.next()?.splitn(3, ' ');
    let found = Crate {
        name: words.next()?.to_owned(),
        version: words.next()?.strip_prefix('v')?.to_owned(),
        source: match words.next() {
            None => "crates.io",
            Some(place) if place.contains("registry+") => "registry",
            Some(place) if place.contains("://") => "git",
            Some(_) => "local",
        },
    };
    Some((depth, found, fields.next()?, fields.next()?))
}

impl Crates {
    /// The list in JSON, as `cargo auditable` writes it.
    fn json(&self) -> String {
        let numbers: BTreeMap<&Crate, usize> = self
            .dependencies
            .keys()
            .enumerate()
            .map(|(number, one)| (one, number))
            .collect();
        let mut json = String::from("{\"packages\":[");
        for (number, (one, dependencies)) in self.dependencies.iter().enumerate() {
            let Crate {
                name,
                version,
                source,
            } = one;
            let comma = if number == 0 { "" } else { "," };
            let _infallible = write!(
                json,
                "{comma}{{\"name\":\"{name}\",\"version\":\"{version}\",\"source\":\"{source}\""
            );
            if !dependencies.is_empty() {
                let numbers = dependencies.iter().map(|one| numbers[one].to_string());
                let numbers: Vec<_> = numbers.collect();
                let _infallible = write!(json, ",\"dependencies\":[{}]", numbers.join(","));
            }
            if self.root.as_ref() == Some(one) {
                json.push_str(",\"root\":true");
            }
            json.push('}');
        }
        // Without the crates that only run while it is built.
        json.push_str("],\"format\":1}");
        json
    }
}

/// The component with these sections at its end.
pub(crate) fn describe(mut component: Vec<u8>, details: &Details, crates: &Crates) -> Vec<u8> {
    let mut name = vec![0];
    let mut text = Vec::new();
    push_text(&mut text, details.name.as_bytes());
    push_text(&mut name, &text);
    push_section(&mut component, "component-name", &name);
    for (section, text) in [
        ("version", &details.version),
        ("description", &details.description),
        ("licenses", &details.licenses),
        ("source", &details.source),
        ("homepage", &details.homepage),
        ("authors", &details.authors),
        ("revision", &details.revision),
    ] {
        if let Some(text) = text {
            push_section(&mut component, section, text.as_bytes());
        }
    }
    push_section(&mut component, ".dep-v0", &zlib(crates.json().as_bytes()));
    component
}

fn push_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut content = Vec::new();
    push_text(&mut content, name.as_bytes());
    content.extend_from_slice(data);
    component.push(0);
    push_text(component, &content);
}

/// The length in LEB128, and the bytes.
fn push_text(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or_default());
    out.extend_from_slice(bytes);
}

/// The bytes as zlib (RFC 1950), in blocks that are not compressed: a list of some forty crates is
/// not worth a library that every build has to compile.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    // Deflate with a window of 32 KiB; the two bytes are a multiple of 31.
    let mut out = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).unwrap_or_default();
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    // Adler-32.
    let (mut low, mut high) = (1_u32, 0_u32);
    for &byte in bytes {
        low = (low + u32::from(byte)) % 65521;
        high = (high + low) % 65521;
    }
    out.extend((high << 16 | low).to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
0|shop v1.2.3 (/src/shop)|Apache-2.0|https://example.org/shop
1|itoa v1.0.19|MIT OR Apache-2.0|https://github.com/dtolnay/itoa
1|usher-sdk v0.1.0 (/src/sdk)|Apache-2.0|
2|itoa v1.0.19|MIT OR Apache-2.0|https://github.com/dtolnay/itoa (*)
";

    #[test]
    fn tree_gives_details_and_each_crate_once() {
        let (details, crates) = read(TREE).expect("it is understood");
        assert_eq!(details.version.as_deref(), Some("1.2.3"));
        assert_eq!(details.licenses.as_deref(), Some("Apache-2.0"));
        assert_eq!(details.source.as_deref(), Some("https://example.org/shop"));
        assert_eq!(
            crates.json(),
            r#"{"packages":[{"name":"itoa","version":"1.0.19","source":"crates.io"},"#.to_owned()
                + r#"{"name":"shop","version":"1.2.3","source":"local","dependencies":[0,2],"root":true},"#
                + r#"{"name":"usher-sdk","version":"0.1.0","source":"local","dependencies":[0]}],"format":1}"#
        );
        assert!(read("1|itoa").is_err());
    }

    #[test]
    fn section_has_its_length_before_it() {
        let details = Details {
            name: "shop".into(),
            version: Some("1".repeat(200)),
            ..Details::default()
        };
        let described = describe(Vec::new(), &details, &Crates::default());
        let name = b"\x00\x16\x0ecomponent-name\x00\x05\x04shop";
        assert!(described.starts_with(name), "{described:?}");
        // 208 as LEB128.
        assert!(described[name.len()..].starts_with(b"\x00\xd0\x01\x07version111"));
    }

    #[test]
    fn zlib_ends_with_the_checksum_of_rfc_1950() {
        assert_eq!(
            zlib(b"Wikipedia"),
            *b"\x78\x01\x01\x09\x00\xf6\xffWikipedia\x11\xe6\x03\x98"
        );
    }
}
