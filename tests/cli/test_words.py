"""Words in Vietnamese: every reason and sentence has them, tables and timelines are said in them,
and JSON and files are the same in every language."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from answering import back, home_of, write
from scene import command, line, payment_table, tree_digest, write_table

import switch
from switch import status
from switch.cli import words
from switch.cli.words import Chosen, said, vietnamese
from switch.reason import CANCELLED, GIVEN_UP, RULES


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chosen, "language", "en")
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, "C")


SENTENCES = [
    *(rule.sentence for rule in RULES.values()),
    GIVEN_UP.sentence,
    CANCELLED.sentence,
    *status.SENTENCES.values(),
    *status.AFTER.values(),
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_words__no_reason_and_no_sentence_is_missing(sentence: str) -> None:
    assert vietnamese()[sentence]


def test_words__keep_what_differs_and_are_composed() -> None:
    for english, told in vietnamese().items():
        assert english.strip() == english
        assert told
        assert re.findall(r"\{\w+\}", english) == re.findall(r"\{\w+\}", told)
        assert unicodedata.normalize("NFC", told) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("value date", "ngày giá trị"),
        ("  PDNG AC03  3  no account is valid on the value date",
         "  PDNG AC03  3  không có tài khoản nào còn hiệu lực vào ngày giá trị"),
        ("The receiver sent the money back: it goes to the treasury with cycle 20261125-1.",
         "Bên nhận trả lại tiền: tiền về kho bạc cùng phiên 20261125-1."),
        ("The money is free for one more line: it is A:1.",
         "Tiền có thể chi trả bằng một dòng nữa: it is A:1."),
        ("home/held.csv is a file, and held.csv, and --held", None),
    ],
)  # fmt: skip
def test_said__in_vietnamese(text: str, told: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(text) == text
    monkeypatch.setattr(Chosen, "language", "vi")
    assert said(text) == (text if told is None else told)


def test_commands__speak_the_language_and_json_and_files_do_not(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        engine.reconcile(write(tmp_path / "back", [back(1)]), at="2026-11-26")
    asked = (("status", home), ("status", home, "--batch", "A"), ("status", home, "--line", "A:1"))
    for words_ in asked:
        plain, told = command(*words_), command(*words_, "--lang", "vi")
        assert plain.code == told.code == 0
        assert plain.out != told.out
        assert command(*words_, "--json").out == command(*words_, "--json", "--lang", "vi").out
    assert "Bên nhận trả lại tiền" in command(*asked[2], "--lang", "vi").out
    assert command(*asked[2], "--lang", "de").code == 2
    table = write_table(payment_table([line(5), line(99)]), tmp_path / "t.parquet", batch_id="T")
    outs = []
    for language in ("en", "vi"):
        other = tmp_path / language
        home_of(other, 4)
        assert command("run", other, table, "--lang", language).code == 0
        outs.append(tree_digest(other / "out" / "T"))
    assert outs[0] == outs[1]


@pytest.mark.parametrize(
    ("name", "locale", "language"),
    [
        ("LC_ALL", "vi_VN.UTF-8", "vi"),
        ("LC_ALL", "vi", "vi"),
        ("LANG", "vi_VN", "en"),
        ("LC_ALL", "en_US.UTF-8", "en"),
    ],
)
def test_language__is_that_of_the_locale(
    name: str, locale: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, locale)
    assert words.of_the_locale() == language
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    monkeypatch.setenv("LANG", "vi_VN.UTF-8")
    assert words.of_the_locale() == "vi"
