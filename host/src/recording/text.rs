//! Masks bodies, request targets and messages: what in them is structure stays.
//!
//! Nothing here needs to be valid. A body that is no JSON, or only nearly, is masked by the same
//! rules, so that the component finds the same fault in it at the same place.

use percent_encoding::percent_decode_str;

use super::mask::Mask;

/// Words that mean something in JSON, or in what Python takes for it.
const LITERALS: [&str; 5] = ["true", "false", "null", "NaN", "Infinity"];

/// One character of a text, and how it is written there.
struct Unit {
    c: char,
    written: Written,
}

enum Written {
    /// As itself.
    Plain,
    /// As `\u…`, twice for a character beyond the first plane.
    Unicode,
    /// As the bytes of its UTF-8, each with a percent sign.
    Percent,
    /// In another way that is kept: this text.
    Kept(String),
}

impl Unit {
    fn plain(c: char) -> Self {
        let written = Written::Plain;
        Self { c, written }
    }

    /// A part that is not masked.
    fn kept(text: impl Into<String>) -> Self {
        let written = Written::Kept(text.into());
        Self { c: ' ', written }
    }

    fn write(&self, out: &mut String) {
        match &self.written {
            Written::Plain => out.push(self.c),
            Written::Unicode => {
                for unit in self.c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            Written::Percent => {
                for byte in self.c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
            Written::Kept(text) => out.push_str(text),
        }
    }
}

/// Masks the characters of these units, and writes them as they were written.
fn write_masked(mask: &mut Mask, units: &mut [Unit], out: &mut String) {
    let mut characters: Vec<char> = units.iter().map(|unit| unit.c).collect();
    mask.characters(&mut characters);
    for (unit, c) in units.iter_mut().zip(characters) {
        unit.c = c;
        unit.write(out);
    }
}

/// A body: the strings of JSON are masked, and all words outside of strings that are neither
/// numbers nor literals. Keys that could be names of fields stay.
pub(super) fn body(mask: &mut Mask, body: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        masked.extend_from_slice(json(mask, chunk.valid()).as_bytes());
        masked.extend_from_slice(chunk.invalid());
    }
    masked
}

/// A text that is JSON, or is meant to be.
pub(super) fn json(mask: &mut Mask, text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-' | '@');
        if first == '"' {
            let inside = rest.get(1..).unwrap_or_default();
            let length = string_length(inside);
            let (inside, after) = inside.split_at(length);
            out.push('"');
            let is_key = after
                .strip_prefix('"')
                .is_some_and(|after| after.trim_start().starts_with(':'));
            if is_key && is_field_name(inside) {
                out.push_str(inside);
            } else {
                write_masked(mask, &mut json_units(inside), &mut out);
            }
            if let Some(after) = after.strip_prefix('"') {
                out.push('"');
                rest = after;
            } else {
                rest = after;
            }
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if is_number(word) || LITERALS.contains(&word.trim_start_matches('-')) {
                out.push_str(word);
            } else {
                out.push_str(&mask.text(word));
            }
            rest = after;
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

/// The length of a string of JSON until its closing quote, or that of the text without one.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}

/// Whether a key could be a name that a program has chosen.
fn is_field_name(key: &str) -> bool {
    key.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$'))
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
}

/// The characters of a string of JSON. Escapes that are not valid are kept.
fn json_units(text: &str) -> Vec<Unit> {
    let (mut units, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        let (unit, length) = match first {
            '\\' => escaped(rest),
            c => (Unit::plain(c), c.len_utf8()),
        };
        units.push(unit);
        rest = rest.get(length..).unwrap_or_default();
    }
    units
}

/// The character that an escape stands for, and the length of the escape.
fn escaped(text: &str) -> (Unit, usize) {
    let unit = |text: Option<&str>| {
        let digits = text?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(text.get(..6));
    let second = unit(text.get(6..12));
    let pair = first.zip(second).and_then(|(high, low)| {
        let mut decoded = char::decode_utf16([high, low]);
        let c = decoded.next()?.ok()?;
        decoded.next().is_none().then_some(c)
    });
    let unicode = |c| Unit {
        c,
        written: Written::Unicode,
    };
    match (pair, first.and_then(|unit| char::from_u32(unit.into()))) {
        (Some(c), _) => (unicode(c), 12),
        (None, Some(c)) if c.is_alphanumeric() => (unicode(c), 6),
        // Half a pair, or a character that is not masked.
        (None, _) if first.is_some() => (Unit::kept(text.get(..6).unwrap_or(text)), 6),
        _ => {
            let length = text.chars().take(2).map(char::len_utf8).sum();
            (Unit::kept(text.get(..length).unwrap_or(text)), length)
        }
    }
}

/// A request's target. Numbers and literals of JSON stay, names in the query too, and segments that
/// the component's routes have literally.
pub(super) fn target(mask: &mut Mask, target: &str, literals: &[String]) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut out = String::with_capacity(target.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        let is_literal = literals.iter().any(|literal| literal == segment);
        part(mask, segment, is_literal, &mut out);
    }
    if let Some(query) = query {
        out.push('?');
        for (index, pair) in query.split('&').enumerate() {
            if index > 0 {
                out.push('&');
            }
            let (name, value) = pair
                .split_once('=')
                .map_or((pair, None), |(name, value)| (name, Some(value)));
            part(mask, name, is_field_name(name), &mut out);
            if let Some(value) = value {
                out.push('=');
                part(mask, value, false, &mut out);
            }
        }
    }
    out
}

/// A part of a target, unless it stays.
fn part(mask: &mut Mask, text: &str, stays: bool, out: &mut String) {
    if stays || is_number(text) || LITERALS.contains(&text) {
        out.push_str(text);
    } else {
        write_masked(mask, &mut percent_units(text), out);
    }
}

/// The characters of a part of a target. Bytes that are no UTF-8 are kept.
fn percent_units(text: &str) -> Vec<Unit> {
    let (mut units, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        if first != '%' {
            units.push(Unit::plain(first));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        // As many encoded bytes as the character has.
        let decoded = (1..=4).find_map(|bytes| {
            let encoded = rest.get(..bytes * 3)?;
            let decoded: Vec<u8> = percent_decode_str(encoded).collect();
            let c = str::from_utf8(&decoded).ok()?.chars().next()?;
            (decoded.len() == bytes && c.len_utf8() == bytes).then_some((c, bytes * 3))
        });
        match decoded {
            Some((c, length)) => {
                let written = Written::Percent;
                // The case of the digits of what is not masked is kept.
                if c.is_alphanumeric() {
                    units.push(Unit { c, written });
                } else {
                    let written = Written::Kept(rest.get(..length).unwrap_or(rest).to_owned());
                    units.push(Unit { c, written });
                }
                rest = rest.get(length..).unwrap_or_default();
            }
            None => {
                units.push(Unit::kept("%"));
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
    units
}

/// A message of a database: what it quotes is masked, unless it is one of these names.
pub(super) fn message(mask: &mut Mask, text: &str, names: &[&str]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, quote, after)) = split_at_quote(rest) {
        out.push_str(before);
        out.push(quote);
        let Some((quoted, after)) = after.split_once(quote) else {
            // Where the quotation ends is unknown.
            out.push_str(&mask.text(after));
            return out;
        };
        let is_name = names.iter().any(|name| name.contains(quoted));
        out.push_str(&if is_name {
            quoted.to_owned()
        } else {
            mask.text(quoted)
        });
        out.push(quote);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn split_at_quote(text: &str) -> Option<(&str, char, &str)> {
    let at = text.find(['"', '\'', '«', '“', '`'])?;
    let quote = text.get(at..)?.chars().next()?;
    Some((text.get(..at)?, quote, text.get(at + quote.len_utf8()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        json(&mut Mask::default(), text)
    }

    #[test]
    fn strings_of_json_are_masked_and_its_structure_stays() {
        let text =
            r#"{"name": "Jörg \"J\" Müller\n", "age": 42, "ok": true, "given name": "A\u00e9"}"#;
        let found = masked(text);
        assert_eq!(found.len(), text.len(), "{found}");
        assert!(found.starts_with(r#"{"name": ""#), "{found}");
        assert!(found.contains(r#"", "age": 42, "ok": true, ""#), "{found}");
        assert!(found.contains(r"\n") && found.contains(r"\u00"), "{found}");
        for word in ["Müller", "given name"] {
            assert!(!found.contains(word), "{found}");
        }
    }

    #[test]
    fn text_that_is_no_json_is_masked_at_the_same_places() {
        for text in [
            r#"{"name": "Bartholomew"#,
            r#"{"name": Bartholomew, }"#,
            r#"{"a": "\ud83d", "b": "\u12", "c": "\"#,
            "name=Bartholomew&email=bart%40example.com",
            "\u{feff}[NaN, -Infinity, 1e5, --1]",
        ] {
            let found = masked(text);
            assert_eq!(found.len(), text.len(), "{text}: {found}");
            assert!(!found.contains("Bartholomew"), "{found}");
        }
        assert_eq!(masked("[NaN, -Infinity, 1e5]"), "[NaN, -Infinity, 1e5]");
        let binary = body(&mut Mask::default(), b"\xffBartholomew\xfe");
        assert_eq!((binary[0], binary[12]), (0xff, 0xfe));
        assert!(!binary.windows(4).any(|part| part == b"Bart"));
    }

    #[test]
    fn target_keeps_its_route_its_numbers_and_its_names() {
        let mut mask = Mask::default();
        let literals = ["users".to_owned()];
        let asked = "/users/17?limit=10&email=annabel%40example.com";
        let found = target(&mut mask, asked, &literals);
        assert!(found.starts_with("/users/17?limit=10&email="), "{found}");
        assert!(found.contains("%40"), "{found}");
        assert!(
            !found.contains("annabel") && !found.contains("example"),
            "{found}"
        );
        let address: String = mask.text("annabel@example.com");
        assert!(found.ends_with(&address.replace('@', "%40")), "{found}");
        let other = target(&mut mask, "/people/annabel/%C3%84rger", &literals);
        assert!(
            !other.contains("people") && !other.contains("annabel"),
            "{other}"
        );
        assert_eq!(other.len(), "/people/annabel/%C3%84rger".len());
    }

    #[test]
    fn same_text_is_masked_alike_in_a_body_a_target_and_a_value() {
        let mut mask = Mask::default();
        let value = mask.text("Änn-Maria 3");
        assert_eq!(json(&mut mask, "\"Änn-Maria 3\""), format!("\"{value}\""));
        let escaped = json(&mut mask, r#""\u00c4nn-Maria 3""#);
        let read: String = serde_json::from_str(&escaped).expect("it is JSON");
        assert_eq!(read, value);
    }

    #[test]
    fn quotation_in_a_message_is_masked_unless_it_is_a_name() {
        let mut mask = Mask::default();
        let text = "invalid input for \"users_email_key\": \"Bartholomew\"";
        let found = message(&mut mask, text, &["users_email_key"]);
        assert!(found.contains("\"users_email_key\": \""), "{found}");
        assert!(!found.contains("Bartholomew"), "{found}");
    }
}
