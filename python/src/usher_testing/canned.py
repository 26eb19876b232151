"""A database that is a dictionary of answers."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union

from .database import Database, DatabaseError, Rows

Answer = Union[Sequence[Mapping[str, Any]], int, DatabaseError, Callable[..., Any]]


class Canned(Database):
    """Answers each statement by the first pattern that it matches.

    In a pattern `*` stands for any text. The answer is a list of rows as dictionaries, the number
    of affected rows, a `DatabaseError`, or a function of the parameters that returns one of them:

        Canned({
            "SELECT * FROM users WHERE id = $1": [{"name": "Ann", "email": "a@b.de", "version": 1}],
            "INSERT INTO users *": DatabaseError.in_doubt(),
        })

    A statement without an answer is an error of the service, and the log has it.
    """

    def __init__(self, answers: Mapping[str, Answer], dialect: str = "postgres") -> None:
        super().__init__()
        self.dialect = dialect
        self.answers = dict(answers)

    def run(self, statement: str, params: Sequence[Any], in_transaction: bool) -> tuple[Rows, int]:
        text = " ".join(statement.split())
        for pattern, answer in self.answers.items():
            # Only the asterisk is special.
            escaped = " ".join(pattern.split()).replace("[", "[[]").replace("?", "[?]")
            if fnmatch.fnmatchcase(text, escaped):
                return _rows(answer(*params) if callable(answer) else answer)
        raise DatabaseError.invalid(f"there is no answer for: {text}")


def _rows(answer: Any) -> tuple[Rows, int]:
    if isinstance(answer, DatabaseError):
        raise answer
    if isinstance(answer, int):
        return ([], []), answer
    columns = list(answer[0]) if answer else []
    return (columns, [[row[column] for column in columns] for row in answer]), len(answer)
