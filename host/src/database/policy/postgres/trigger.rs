//! The one kind of function that a component may create: a trigger's, which sets columns of the new row.
//!
//! ```sql
//! BEGIN
//!     IF condition THEN        -- may be left out, together with its END IF
//!         NEW.column := value; -- once or more
//!     END IF;
//!     RETURN NEW;
//! END
//! ```
//!
//! PL/pgSQL evaluates each expression as `SELECT expression`, so each is checked as that statement.

use std::ops::Range;

use super::dialect::RULES;
use crate::database::policy::lexer::{Lexer, Token};

/// The expressions of a function's body, or `None` where it has another shape.
pub(super) fn expressions(body: &str) -> Option<Vec<&str>> {
    let tokens = Lexer::spans(body, &RULES.lexis).ok()?;
    let mut parser = Parser {
        body,
        tokens: &tokens,
        found: Vec::new(),
    };
    parser.function()?;
    Some(parser.found)
}

struct Parser<'p, 'b> {
    body: &'b str,
    tokens: &'p [(Range<usize>, Token<'b>)],
    found: Vec<&'b str>,
}

impl Parser<'_, '_> {
    fn function(&mut self) -> Option<()> {
        self.keyword("begin")?;
        if self.peeks("if") {
            self.keyword("if")?;
            self.expression(|token| token.is("then"))?;
            self.keyword("then")?;
            self.assignments()?;
            self.keyword("end")?;
            self.keyword("if")?;
            self.semicolon()?;
        } else {
            self.assignments()?;
        }
        self.keyword("return")?;
        self.keyword("new")?;
        self.semicolon()?;
        self.keyword("end")?;
        if !self.tokens.is_empty() {
            self.semicolon()?;
        }
        self.tokens.is_empty().then_some(())
    }

    fn assignments(&mut self) -> Option<()> {
        loop {
            self.keyword("new")?;
            self.next(|token, _| matches!(token, Token::Dot))?;
            self.next(|token, _| token.name().is_some())?;
            if self.next(|_, text| text == ":").is_some() {
                self.next(|_, text| text == "=")?;
            } else {
                self.next(|_, text| text == "=")?;
            }
            self.expression(|token| matches!(token, Token::Semicolon))?;
            self.semicolon()?;
            if !self.peeks("new") {
                return Some(());
            }
        }
    }

    /// Everything up to the token that ends it, which is the first such one, as PL/pgSQL has it.
    fn expression(&mut self, ends: impl Fn(&Token<'_>) -> bool) -> Option<()> {
        let length = self.tokens.iter().position(|(_, token)| ends(token))?;
        let (expression, rest) = self.tokens.split_at_checked(length)?;
        let (first, last) = (expression.first()?, expression.last()?);
        self.found.push(self.body.get(first.0.start..last.0.end)?);
        self.tokens = rest;
        Some(())
    }

    fn next(&mut self, fits: impl Fn(&Token<'_>, &str) -> bool) -> Option<()> {
        let ((span, token), rest) = self.tokens.split_first()?;
        fits(token, self.body.get(span.clone())?).then(|| self.tokens = rest)
    }

    fn keyword(&mut self, word: &str) -> Option<()> {
        self.next(|token, _| token.is(word))
    }

    fn semicolon(&mut self) -> Option<()> {
        self.next(|token, _| matches!(token, Token::Semicolon))
    }

    fn peeks(&self, word: &str) -> bool {
        self.tokens.first().is_some_and(|(_, token)| token.is(word))
    }
}
