"""The examples of docs/testing.md, as whoever copies them runs them."""

import os
import pathlib
import re

import pytest

TUTORIAL = pathlib.Path(os.environ.get("USHER_TUTORIAL", "../docs/testing.md"))


def examples():
    if not TUTORIAL.exists():
        return []
    return re.findall(r"^```python\n(.*?)^```", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(not TUTORIAL.exists(), reason="the tutorial is not in the wheel")
def test_tutorial_has_examples():
    assert len(examples()) >= 2


@pytest.mark.parametrize("example", examples())
def test_example_of_the_tutorial_passes(pytester, example):
    pytester.makepyfile(example)
    result = pytester.runpytest("-p", "no:asyncio", "-p", "no:xdist")
    assert result.ret == 0
