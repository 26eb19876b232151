//! The imports of one source file, read as text.

use std::collections::BTreeMap;

/// An import of another file.
#[derive(Debug)]
pub(crate) struct Import {
    /// The imported file, as its path without `.rs`.
    pub(crate) to: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The path in the source.
    pub(crate) text: String,
}

type Token<'a> = (usize, &'a str);

/// Finds the file of a module, if the module has a file of its own.
type FileOf<'a> = dyn Fn(&[String]) -> Option<String> + 'a;

/// The imports of a file, only the first of each other file.
pub(crate) fn imports(
    text: &str,
    file: &str,
    crate_name: &str,
    file_of: &FileOf<'_>,
) -> Vec<Import> {
    let cleaned = without_text(text);
    let tokens = without_tests(&tokens(&cleaned));
    let own = file.strip_suffix("/mod").unwrap_or(file);
    let module = own.split('/').filter(|name| *name != "lib");
    let mut walk = Walk {
        file,
        crate_name,
        file_of,
        module: module.map(str::to_owned).collect(),
        aliases: BTreeMap::new(),
        imports: Vec::new(),
    };
    walk.all(&tokens);
    walk.imports
}

struct Walk<'a> {
    file: &'a str,
    crate_name: &'a str,
    file_of: &'a FileOf<'a>,
    /// The module that the walk is in, inline modules included.
    module: Vec<String>,
    /// Modules that the file has imported by a name: an import counts where the name is used.
    aliases: BTreeMap<String, Vec<String>>,
    imports: Vec<Import>,
}

impl Walk<'_> {
    fn all(&mut self, tokens: &[Token<'_>]) {
        let (mut depth, mut inline) = (0_usize, Vec::new());
        let mut at = 0;
        while let Some(&(line, token)) = tokens.get(at) {
            let ahead = |by: usize| tokens.get(at + by).map_or("", |token| token.1);
            let behind = |by: usize| at.checked_sub(by).map_or("", |at| tokens[at].1);
            match token {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        self.module.pop();
                    }
                }
                "mod" if ahead(2) == "{" => {
                    inline.push(depth);
                    self.module.push(ahead(1).to_owned());
                }
                "use" if ahead(1) != "<" => {
                    let is_public = matches!(behind(1), "pub" | ")");
                    at = self.import(tokens, at + 1, &[], is_public);
                    continue;
                }
                _ if is_word(token) && ahead(1) == "::" && behind(1) != "::" => {
                    let mut path = vec![token];
                    while ahead(2 * path.len() - 1) == "::" && is_word(ahead(2 * path.len())) {
                        path.push(ahead(2 * path.len()));
                    }
                    let is_visibility = behind(1) == "in" && behind(3) == "pub";
                    if !is_visibility {
                        self.point(&path, line);
                    }
                    at += 2 * path.len() - 2;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Follows a tree of imports, and returns where it ends.
    fn import<'t>(
        &mut self,
        tokens: &[Token<'t>],
        mut at: usize,
        prefix: &[&'t str],
        is_public: bool,
    ) -> usize {
        let word = |at: usize| tokens.get(at).map_or(";", |token| token.1);
        let line = tokens.get(at).map_or(0, |token| token.0);
        let mut path = prefix.to_vec();
        loop {
            match word(at) {
                "::" => {
                    at += 1;
                    continue;
                }
                "{" => {
                    at += 1;
                    while !matches!(word(at), "}" | ";") {
                        at = self.import(tokens, at, &path, is_public);
                        at += usize::from(word(at) == ",");
                    }
                    return at + 1;
                }
                "*" => {
                    self.point(&path, line);
                    return at + 1;
                }
                word if is_word(word) => {
                    if word != "self" || path.is_empty() {
                        path.push(word);
                    }
                    at += 1;
                }
                _ => return at,
            }
            if word(at) != "::" {
                let is_renamed = word(at) == "as";
                let name = if is_renamed {
                    word(at + 1)
                } else {
                    path[path.len() - 1]
                };
                match self.resolve(&path) {
                    Some((module, true)) if !is_public => {
                        self.aliases.insert(name.to_owned(), module);
                    }
                    _ => self.point(&path, line),
                }
                return at + 2 * usize::from(is_renamed);
            }
        }
    }

    /// The innermost module of a path, and whether the path is that module rather than an item.
    fn resolve(&self, path: &[&str]) -> Option<(Vec<String>, bool)> {
        let mut module = self.module.clone();
        let mut rest = path;
        while let [first, after @ ..] = rest {
            match *first {
                "crate" => module.clear(),
                name if name == self.crate_name => module.clear(),
                "self" => {}
                "super" => drop(module.pop()),
                _ => break,
            }
            rest = after;
        }
        if rest.len() == path.len() {
            let child = [module.as_slice(), &[path.first()?.to_string()]].concat();
            if (self.file_of)(&child).is_none() {
                module.clone_from(self.aliases.get(*path.first()?)?);
                rest = &path[1..];
            }
        }
        while let [first, after @ ..] = rest {
            module.push((*first).to_owned());
            if (self.file_of)(&module).is_none() {
                module.pop();
                break;
            }
            rest = after;
        }
        Some((module, rest.is_empty()))
    }

    fn point(&mut self, path: &[&str], line: usize) {
        let Some((mut module, _)) = self.resolve(path) else {
            return;
        };
        // An inline module lies in the file around it.
        let to = loop {
            if let Some(file) = (self.file_of)(&module) {
                break file;
            }
            if module.pop().is_none() {
                return;
            }
        };
        if to != self.file && self.imports.iter().all(|import| import.to != to) {
            let text = path.join("::");
            self.imports.push(Import { to, line, text });
        }
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::`, and every other character by itself, each with its line.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut found, mut line, mut rest) = (Vec::new(), 1, text);
    while let Some(first) = rest.chars().next() {
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = if is_part(first) {
            rest.find(|letter| !is_part(letter)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            found.push((line, &rest[..length]));
        }
        line += usize::from(first == '\n');
        rest = &rest[length..];
    }
    found
}

/// The modules that are compiled for tests alone and have a file of their own.
pub(crate) fn test_modules(text: &str) -> Vec<String> {
    let cleaned = without_text(text);
    let tokens = tokens(&cleaned);
    let windows = tokens
        .windows(8)
        .map(|window| window.iter().map(|token| token.1));
    let words = windows.map(Iterator::collect::<Vec<_>>);
    let named = words.filter(|words| words[..6] == ["cfg", "(", "test", ")", "]", "mod"]);
    named
        .filter(|words| words[7] == ";")
        .map(|words| words[6].to_owned())
        .collect()
}

/// Leaves out what is compiled for tests alone.
fn without_tests<'t>(tokens: &[Token<'t>]) -> Vec<Token<'t>> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let starts = |words: &[&str]| {
            let ahead = tokens[at..].iter().map(|token| token.1);
            ahead.take(words.len()).eq(words.iter().copied())
        };
        if starts(&["#", "[", "cfg", "(", "test", ")", "]"])
            || starts(&["#", "[", "cfg", "(", "all", "(", "test", ","])
        {
            // An item ends with its semicolon, or with its block unless it is an import.
            let (mut depth, mut is_import) = (0, false);
            while let Some(&(_, token)) = tokens.get(at) {
                at += 1;
                is_import |= depth == 0 && token == "use";
                match token {
                    "{" | "(" | "[" => depth += 1,
                    "}" | ")" | "]" => depth -= 1,
                    _ => {}
                }
                if depth == 0 && (token == ";" || token == "}" && !is_import) {
                    break;
                }
            }
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Puts spaces in the place of comments and literals; lines stay lines.
pub(crate) fn without_text(source: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(source.len()), source);
    while let Some(first) = rest.chars().next() {
        let after_word = kept.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let is_text =
            rest.starts_with("//") || rest.starts_with("/*") || first == '"' || first == '\'';
        let length = if is_text {
            literal(rest)
        } else if !after_word && matches!(first, 'r' | 'b' | 'c') {
            let quote = rest.find(|letter: char| !matches!(letter, 'r' | 'b' | 'c' | '#'));
            match quote.filter(|quote| matches!(rest.as_bytes()[*quote], b'"' | b'\'')) {
                Some(quote) if rest[..quote].contains('r') => {
                    let hashes = rest[..quote].matches('#').count();
                    let end = format!("\"{}", "#".repeat(hashes));
                    let body = quote + 1;
                    rest[body..]
                        .find(&end)
                        .map_or(rest.len(), |at| body + at + end.len())
                }
                Some(quote) => quote + literal(&rest[quote..]),
                None => 0,
            }
        } else {
            0
        };
        let taken = length.max(first.len_utf8());
        if length == 0 {
            kept.push(first);
        } else {
            kept.extend(
                rest[..taken]
                    .chars()
                    .map(|letter| if letter == '\n' { '\n' } else { ' ' }),
            );
        }
        rest = &rest[taken..];
    }
    kept
}

/// The length of the comment or literal that a text begins with; none for a lifetime.
fn literal(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        let (mut depth, mut at) = (0, 0);
        while at < text.len() {
            match &text.as_bytes()[at..] {
                [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
                [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
            if depth == 0 {
                break;
            }
        }
        return at;
    }
    let quote = text.as_bytes()[0];
    let mut letters = text.char_indices().skip(1).peekable();
    let second = letters.peek().map(|(_, letter)| *letter);
    if quote == b'\'' && second != Some('\\') {
        let third = text.char_indices().nth(2);
        return third
            .filter(|(_, letter)| *letter == '\'')
            .map_or(0, |(at, _)| at + 1);
    }
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == char::from(quote) {
            return at + 1;
        }
    }
    text.len()
}

#[test]
fn imports_in_every_form_are_found() {
    let text = r##"use crate::a::{self, b::{C, d as e}}; pub(crate) use x::X; // use crate::no;
        use super::up::*; use std::fmt; pub(in crate::no) fn f<'a>() { a::g(); "crate::no"; }
        #[cfg(test)] mod tests { use crate::no::N; } fn h() { self::y::f(); crate::z::Z; '"'; }
        mod inline { use super::w::Y; mod deeper {} } use krate::item as i; r#"crate::no"#; e::k();
        /* use crate::no; /* */ */ b'{'; use no_crate::no; mod child; impl A + use<'a>"##;
    let files = [
        "", "a", "a/b", "a/b/d", "m", "m/x", "m/w", "m/y", "no", "z", "up",
    ];
    let file_of = |module: &[String]| {
        let path = module.join("/");
        files.contains(&path.as_str()).then_some(path)
    };
    let found = imports(text, "m", "krate", &file_of);
    let shown = found
        .iter()
        .map(|import| format!("{}:{}", import.to, import.line));
    let expected = "a/b:1 m/x:1 up:2 a:2 m/y:3 z:3 m/w:4 :4 a/b/d:4";
    assert_eq!(shown.collect::<Vec<_>>().join(" "), expected);
    let text = "#[cfg(test)]\nmod of_tests; mod x; #[cfg(test)] mod inline {}";
    assert_eq!(test_modules(text), ["of_tests"]);
}
