//! PostgreSQL's lexical structure (PostgreSQL, 4.1): nested comments, escape and dollar-quoted
//! strings.

use crate::database::policy::beginning::Rules;
use crate::database::policy::lexer::Lexis;

/// The rules for how statements begin.
pub(super) static RULES: Rules = Rules {
    lexis: Lexis {
        nested_comments: true,
        carriage_return_ends_line: true,
        byte_order_mark_is_blank: false,
        bracketed_names: false,
        dollar_quotes: true,
        prefixed_quotes: true,
    },
    triggers_have_bodies: false,
    creates_functions: true,
};
