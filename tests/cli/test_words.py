"""Words in Vietnamese: every reason and sentence has them, tables and timelines are said in them,
and JSON and files are the same in every language."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
import story
from answering import back, home_of, write
from scene import command, line, payment_table, tree_digest, write_table

import switch
from switch import status, words
from switch.reason import CANCELLED, EXPIRED, GIVEN_UP, REPLACED_ID, RULES
from switch.watch.conditions import rules as alarm_rules
from switch.words import Chosen, said, vietnamese


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chosen, "language", "en")
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, "C")


SENTENCES = [
    *(rule.title for rule in alarm_rules().values()),
    *(rule.sentence for rule in RULES.values()),
    GIVEN_UP.sentence,
    CANCELLED.sentence,
    EXPIRED.sentence,
    REPLACED_ID,
    REPLACED_ID[0].upper() + REPLACED_ID[1:],
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
        (f"the person is deceased on the value date; {REPLACED_ID}",
         f"người này đã qua đời vào ngày giá trị; {vietnamese()[REPLACED_ID]}"),
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


def test_said__leaves_commands_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chosen, "language", "vi")
    assert said("next: switch held home --batch lines") == (
        "tiếp theo: switch held home --batch lines"
    )
    assert said("more: `switch returned HOME --out FILE` has returned lines").startswith(
        "more: `switch returned HOME --out FILE` has "
    )
    assert said('insufficient_funds = "share"') == 'insufficient_funds = "share"'
    assert said("out/held is ready") == "out/held đã sẵn sàng"


# --- every screen ---------------------------------------------------------------------------------

DATA = {*("plain", "calendar"), "csv", "cutoffs", "true"}
"""Words of files and settings, the same in every language, as are those in capitals: codes."""
DATA |= {"batch"}
"""A kind of records, by which `audit --kind` asks."""


WHY = "the bank is closed"
"""Words of whoever gave a cycle up, which stay as they are."""


def english_in(out: str) -> set[str]:
    """Words of a screen that are no Vietnamese, no command, no name and no code."""
    out = words.COMMAND.sub("", out).replace(WHY, "")
    out = re.sub(r"\S*[\d_/@=\[\]\"'-]\S*", " ", out)
    known = {w for told in vietnamese().values() for w in re.findall(r"[A-Za-z]+", told)}
    found = set(re.findall(r"(?<![^\W\d_])[A-Za-z]{3,}(?![^\W\d_])", out))
    return {word for word in found if not word.isupper()} - known - DATA


SCREENS = (
    *((name, home) for home in ("plain", "calendar", "budget") for name in (
        *("status", "breaks", "cycles", "balances", "held", "returned", "shared", "directory"),
    )),
    *(("status", "plain", "--batch", name) for name in ("FIRST", "SECOND", "THIRD")),
    *(("status", "calendar", "--batch", name) for name in ("ONE", "TWO", "THREE", "FOUR")),
    ("status", "budget", "--batch", "MORE"),
    *(("status", "plain", "--line", f"FIRST:{n}") for n in (1, 2, 3, 4, 5, 8, 9, 51, 54)),
    *(("status", "calendar", "--line", f"{name}:{n}") for name in ("ONE", "TWO") for n in (1, 2)),
    *((name, home, "--at", "2026-12-30") for name in ("alarms", "awaited") for home in (
        *("plain", "calendar", "budget"),
    )),
    *(("top", home, "--at", "2026-12-30", "--times", "1") for home in ("plain", "calendar")),
    ("alarms", "calendar", "--at", "2020-01-01"),
    ("alarms", "plain", "--at", "home", "--rule", "break-open", "--acknowledge", "--by", "An"),
    ("settle", "calendar"),
    ("rehearse", "plain", "first.parquet"),
    ("rehearse", "calendar", "five.parquet"),
    ("run", "calendar", "five.parquet"),
    ("status", "calendar"),
    ("status", "calendar", "--batch", "FIVE"),
    ("cycles", "calendar"),
    ("settle", "calendar", "--at", "2026-12-07T08:00"),
    ("settle", "calendar", "--close", "--cycle", "20261207-1"),
    ("settle", "calendar", "--cycle", "20261207-1"),
    ("reconcile", "plain", "returns.parquet"),
    ("dispose", "plain", "--write-back", "--dry"),
    ("breaks", "plain", "--class", "MISSING", "--note", "x", "--by", "An"),
    ("breaks", "plain", "--class", "MISSING", "--note", "x", "--by", "An"),
    ("run", "plain", "first.parquet"),
    ("close", "plain", "--at", "2026-12-20"),
    ("report", "plain"),
    *(("totals", "plain", "first.parquet", "--by", key) for key in ("province", "participant")),
    ("totals", "plain", "first.parquet", "--by", "debtor_account"),
    *(("positions", home) for home in ("plain", "calendar", "budget")),
    ("audit", "calendar", "--kind", "batch"),
    ("calendar", "calendar", "--at", "2026-12-24", "--days", "3"),
    *(("find", "plain", text, "--limit", "1") for text in ("0010", "0002", "FIRST:1", "i", "none")),
    *(("participant", "calendar", "A", *said, "--by", "An", "--why", WHY) for said in (
        *(("--suspend",), ("--suspend",), ("--enable", "--cap", "none"), ("--cap", "7")),
        *(("--balance", "5"), ("--balance", "5")),
    )),
)  # fmt: skip


@pytest.mark.parametrize("columns", [80, 250])
def test_screens__in_vietnamese_have_no_english_word(
    columns: int, golden_homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all commands that list, ask and act on a payday and on the way back. Refusals and warnings
    on stderr, proofs, templates and the doctor's findings are English."""
    monkeypatch.chdir(golden_homes)
    monkeypatch.setenv("COLUMNS", str(columns))
    table = story.moves("A > C 9, B > A 2", 41)
    write_table(
        payment_table(table), Path("five.parquet"), batch_id="FIVE", value_date="2026-12-07"
    )
    left = {}
    for words_ in SCREENS:
        told = command(*words_, "--lang", "vi")
        assert told.code in (0, 1), told.err
        if found := english_in(told.out):
            left[" ".join(words_)] = sorted(found)
    assert not left, left
