"""Words: what tables, reasons and timelines say to people, in the language that they chose.

English is what the package says; data/vi.csv has it in Vietnamese, a sentence or a heading a row.
JSON and files are the same in every language.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping

LANGUAGES = ("en", "vi")
LOCALE = "LC_ALL LC_MESSAGES LANG"
"""Variables that say what the locale is, the first that is set before the others."""


class Chosen:
    """The language of this process, which speaks to one person."""

    language = "en"


def of_the_locale() -> str:
    """The language of the locale, where words are there for it."""
    for name in LOCALE.split():
        if value := os.environ.get(name):
            return "vi" if re.match("vi(_|$)", value) else "en"
    return "en"


@functools.cache
def vietnamese() -> Mapping[str, str]:
    """Vietnamese words by the English ones; {names} stand for what differs."""
    import csv
    from importlib import resources

    text = resources.files("switch").joinpath("data/vi.csv").read_text("utf-8")
    return {row["english"]: row["vietnamese"] for row in csv.DictReader(text.splitlines())}


COMMAND = re.compile(r"`[^`]*`|(?<![\w/.-])switch [a-z].*$", re.MULTILINE)
"""A command, which is copied: it is the same in every language."""


def said(text: str, language: str = "") -> str:
    """A text in a language, by default the one that was chosen; what has no words there stays as it
    is, and so do commands."""
    if (language or Chosen.language) == "en" or not text:
        return text
    whole = vietnamese().get(text)
    if whole is not None:
        return whole
    parts, at = [], 0
    for command in COMMAND.finditer(text):
        parts += [_pattern().sub(_replaced(), text[at : command.start()]), command[0]]
        at = command.end()
    return "".join([*parts, _pattern().sub(_replaced(), text[at:])])


@functools.cache
def _pattern() -> re.Pattern[str]:
    """All words, the longest first, none of them a part of a name, a path or an option."""
    known = sorted(vietnamese(), key=lambda words: (-len(words), words))
    parts = (f"(?P<w{n}>{_open(words)})" for n, words in enumerate(known))
    return re.compile(rf"(?<![\w/.:=\"-])(?:{'|'.join(parts)})(?![\w/=\"-]|[.:]\w)")


def _open(words: str) -> str:
    """A pattern of words, in which any text may stand for a {name}."""
    return re.sub(r"\\\{\w+\\\}", "(?:.*?)", re.escape(words))


@functools.cache
def _replaced() -> Callable[[re.Match[str]], str]:
    known = sorted(vietnamese(), key=lambda words: (-len(words), words))

    def replace(found: re.Match[str]) -> str:
        words = known[int(str(found.lastgroup)[1:])]
        inner = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.*?)", re.escape(words))
        match = re.fullmatch(inner, found[0])
        assert match is not None
        return vietnamese()[words].format(**match.groupdict())

    return replace
