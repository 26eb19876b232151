//! The one kind of function that a component may create: a trigger's, which sets columns of the new
//! row.
//!
//! ```sql
//! BEGIN
//!     IF condition THEN        -- optional, with its END IF
//!         NEW.column := value; -- once or more
//!     END IF;
//!     RETURN NEW;
//! END
//! ```
//!
//! PL/pgSQL evaluates an expression as `SELECT expression`, so each is checked as that statement.

use std::ops::Range;

use super::dialect::RULES;
use super::nodes::nodes;
use super::rules;
use super::tree::At;
use crate::database::failure;
use crate::database::policy::lexer::{Lexer, Token};
use crate::database::types::Error;

fn other_shape() -> Error {
    failure::denied(
        "CREATE FUNCTION: code inside the database is beyond the host's policy, but for a trigger \
         in plpgsql without parameters or options that sets columns of NEW and returns it",
    )
}

/// The body of a trigger function, if the rest of its definition is allowed.
pub(super) fn body(fields: At<'_>) -> Result<&str, Error> {
    let allowed_fields = nodes().get("CreateFunctionStmt").ok_or_else(other_shape)?;
    let mut keys = fields.children().filter_map(At::key);
    if !keys.all(|key| allowed_fields.contains(key)) {
        return Err(other_shape());
    }
    let names = fields.get("funcname").map(At::names).unwrap_or_default();
    let returns = fields.get("returnType").and_then(|ty| ty.get("names"));
    let returns = returns.map(At::names).unwrap_or_default();
    if names.len() != 1 || !matches!(returns.last(), Some(Some("trigger"))) || returns.len() > 2 {
        return Err(other_shape());
    }
    rules::not_reserved(fields.get("funcname"))?;
    let (mut language, mut body) = (None, None);
    for option in fields.get("options").into_iter().flat_map(At::children) {
        let (_, option) = option.node().ok_or_else(other_shape)?;
        let argument = option.get("arg").and_then(At::node);
        match (option.field("defname"), argument) {
            (Some("language"), Some(("String", name))) => language = name.field("sval"),
            (Some("as"), Some(("List", list))) => {
                let names = list.get("items").map(At::names).unwrap_or_default();
                let [Some(only)] = names.as_slice() else {
                    return Err(other_shape());
                };
                body = Some(*only);
            }
            _ => return Err(other_shape()),
        }
    }
    let (Some("plpgsql"), Some(body)) = (language, body) else {
        return Err(other_shape());
    };
    Ok(body)
}

/// The expressions of a trigger function's body, if it has the shape above.
pub(super) fn expressions(body: &str) -> Result<Vec<&str>, Error> {
    parse(body).ok_or_else(other_shape)
}

fn parse(body: &str) -> Option<Vec<&str>> {
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

    /// The text up to the first token that ends an expression, as in PL/pgSQL.
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
