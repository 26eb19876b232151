//! Divides SQL into the tokens that policy needs. Comments, quotes and words begin and end exactly
//! where the database itself sees them.
//!
//! Sources: PostgreSQL, 4.1 "Lexical Structure" (nested comments, escape and dollar-quoted
//! strings); SQLite's tokenizer (comments that do not nest, names in brackets and backquotes, the
//! byte-order mark as white space).

use std::borrow::Cow;
use std::ops::Range;

/// The differences between the lexical structures of dialects.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent rules")]
pub(super) struct Lexis {
    /// A comment may hold comments.
    pub(super) nested_comments: bool,
    /// A comment after two hyphens also ends at a carriage return.
    pub(super) carriage_return_ends_line: bool,
    /// U+FEFF is white space.
    pub(super) byte_order_mark_is_blank: bool,
    /// Names may stand in brackets and backquotes.
    pub(super) bracketed_names: bool,
    /// Strings may be written `$tag$ … $tag$`.
    pub(super) dollar_quotes: bool,
    /// `E'…'` takes escapes, `U&"…"` is a name.
    pub(super) prefixed_quotes: bool,
}

/// One token. Policy ignores `Other`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a plain name, as written.
    Word(&'a str),
    /// A quoted name, without its quotes.
    Quoted(Cow<'a, str>),
    Open,
    Dot,
    Semicolon,
    Other,
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    /// The token as a name, if it can be one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) => Some(name),
            Self::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

pub(super) struct Lexer<'a> {
    rest: &'a str,
    lexis: &'static Lexis,
    failed: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, lexis: &'static Lexis) -> Self {
        Self {
            rest: text,
            lexis,
            failed: false,
        }
    }

    /// All tokens with their ranges in the text.
    pub(super) fn spans(
        text: &'a str,
        lexis: &'static Lexis,
    ) -> Result<Vec<(Range<usize>, Token<'a>)>, &'static str> {
        let mut lexer = Self::new(text, lexis);
        let mut found = Vec::new();
        loop {
            lexer.blank()?;
            let start = text.len() - lexer.rest.len();
            match lexer.token()? {
                Some(token) => found.push((start..text.len() - lexer.rest.len(), token)),
                None => return Ok(found),
            }
        }
    }

    /// Skips `bytes`, which end at a character boundary.
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn blank(&mut self) -> Result<(), &'static str> {
        loop {
            let is_blank = |c: char| {
                matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
                    || (self.lexis.byte_order_mark_is_blank && c == '\u{feff}')
            };
            let trimmed = self.rest.trim_start_matches(is_blank);
            self.rest = trimmed;
            if self.rest.starts_with("--") {
                let returns = self.lexis.carriage_return_ends_line;
                let end = self
                    .rest
                    .find(|c: char| c == '\n' || (returns && c == '\r'))
                    .unwrap_or(self.rest.len());
                self.skip(end);
            } else if self.rest.starts_with("/*") {
                self.comment()?;
            } else {
                return Ok(());
            }
        }
    }

    fn comment(&mut self) -> Result<(), &'static str> {
        let mut depth = 1_usize;
        self.skip(2);
        while depth > 0 {
            let Some(next) = self.rest.find(['*', '/']) else {
                return Err("a comment does not end");
            };
            self.skip(next);
            if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
            } else if self.rest.starts_with("/*") && self.lexis.nested_comments {
                depth += 1;
                self.skip(2);
            } else {
                self.skip(1);
            }
        }
        Ok(())
    }

    /// The text between quotes, in which a doubled quote stands for one. With `escapes` a backslash
    /// escapes the next character.
    fn quoted(&mut self, quote: char, escapes: bool) -> Result<Cow<'a, str>, &'static str> {
        let text = self.rest.get(1..).unwrap_or_default();
        let mut doubled = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            if escapes && c == '\\' {
                characters.next();
            } else if c == quote {
                if characters.peek().is_some_and(|(_, next)| *next == quote) {
                    doubled = true;
                    characters.next();
                    continue;
                }
                self.rest = text.get(at + 1..).unwrap_or_default();
                let inner = text.get(..at).unwrap_or_default();
                return Ok(if doubled {
                    let twice: String = [quote, quote].iter().collect();
                    Cow::Owned(inner.replace(&twice, quote.encode_utf8(&mut [0; 4])))
                } else {
                    Cow::Borrowed(inner)
                });
            }
        }
        Err("a quote does not end")
    }

    /// Skips `$tag$ … $tag$`. Returns false if the dollar begins a parameter.
    fn dollar_quoted(&mut self) -> Result<bool, &'static str> {
        let after = self.rest.get(1..).unwrap_or_default();
        let tag = after
            .find(|c: char| !is_word(c) || c == '$')
            .unwrap_or(after.len());
        let starts_with_digit = after.starts_with(|c: char| c.is_ascii_digit());
        if starts_with_digit || !after.get(tag..).is_some_and(|rest| rest.starts_with('$')) {
            return Ok(false);
        }
        let (delimiter, body) = self.rest.split_at(tag + 2);
        match body.find(delimiter) {
            Some(end) => {
                self.rest = body.get(end + delimiter.len()..).unwrap_or_default();
                Ok(true)
            }
            None => Err("a dollar quote does not end"),
        }
    }

    fn token(&mut self) -> Result<Option<Token<'a>>, &'static str> {
        self.blank()?;
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let token = match first {
            '\'' => {
                self.quoted('\'', false)?;
                Token::Other
            }
            '"' => Token::Quoted(self.quoted('"', false)?),
            '`' if self.lexis.bracketed_names => Token::Quoted(self.quoted('`', false)?),
            '[' if self.lexis.bracketed_names => {
                let end = self.rest.find(']').ok_or("a bracket does not end")?;
                let name = self.rest.get(1..end).unwrap_or_default();
                self.skip(end + 1);
                Token::Quoted(Cow::Borrowed(name))
            }
            '$' if self.lexis.dollar_quotes && self.dollar_quoted()? => Token::Other,
            '$' | '?' | ':' | '@' | '#' => {
                self.skip(1);
                Token::Other
            }
            first if first.is_ascii_digit() => {
                let end = self
                    .rest
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(self.rest.len());
                self.skip(end);
                Token::Other
            }
            first if is_word(first) => return self.word().map(Some),
            other => {
                self.skip(other.len_utf8());
                match other {
                    '(' => Token::Open,
                    '.' => Token::Dot,
                    ';' => Token::Semicolon,
                    _ => Token::Other,
                }
            }
        };
        Ok(Some(token))
    }

    fn word(&mut self) -> Result<Token<'a>, &'static str> {
        let lexis = self.lexis;
        let end = self
            .rest
            .find(|c: char| !is_word(c) || (lexis.byte_order_mark_is_blank && c == '\u{feff}'))
            .unwrap_or(self.rest.len());
        let word = self.rest.get(..end).unwrap_or_default();
        self.skip(end);
        if lexis.prefixed_quotes && word.eq_ignore_ascii_case("e") && self.rest.starts_with('\'') {
            self.quoted('\'', true)?;
            // PostgreSQL continues the string, with its escapes, in one on the next line.
            self.blank()?;
            if self.rest.starts_with('\'') {
                return Err("an escape string goes on in another one: write it as one");
            }
            return Ok(Token::Other);
        }
        if lexis.prefixed_quotes && word.eq_ignore_ascii_case("u") && self.rest.starts_with("&\"") {
            self.skip(1);
            self.quoted('"', false)?;
            return Ok(Token::Other);
        }
        Ok(Token::Word(word))
    }
}

/// Both databases take every character beyond ASCII for part of a word.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let token = self.token();
        self.failed = token.is_err();
        token.transpose()
    }
}
