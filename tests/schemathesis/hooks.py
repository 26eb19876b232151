"""Generates addresses that the service accepts.

A schema with `format: email` cannot exclude the special-use domains, and schemathesis prefers one of
them, `test`. Hypothesis has only top-level domains that exist.
"""

import schemathesis
from hypothesis import strategies

schemathesis.openapi.format("email", strategies.emails())
