"""Answers of the population database proven: each is one change of the register, to one request,
and a delta has the people as it was answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from switch.home.rows import RegisterRow
from switch.home.store import Home
from switch.outcomes import Check
from switch.proof.registers import kept

NAME = "identities"
WORDS = {"MATCH", "NAME_DIFFERS", "NOT_FOUND", "DECEASED", "DUPLICATE", "LATE"}
Said = dict[str, Any]


def checks(home: Home) -> Iterator[Check]:
    """All that is proven of answers."""
    versions = {version.seq: version for version in kept(home)[1:]}
    before: set[str] = set()
    for record in home.catalog.audit.records("register"):
        detail = msgspec.json.decode(record.detail)
        said = detail.get("identity")
        if said is None:
            continue
        fault = "its request was answered before" if said["request"] in before else ""
        fault = fault or _fault(said, detail)
        version = versions.get(detail["version"])
        if not fault and version is not None:
            fault = _delta_fault(home, version, said["changed"])
        yield Check(NAME, f"record {record.seq}", fault)
        before.add(said["request"])


def _fault(said: Said, detail: Said) -> str:
    """Reason why an answer does not add up; ''."""
    answers, changed = said["answers"], said["changed"]
    if not {*answers, *changed} <= WORDS or sum(answers.values()) != said["asked"]:
        return "its answers are not as many as were asked for"
    if any(changed[word] > answers.get(word, 0) for word in changed):
        return "more changed by an answer than had it"
    if sum(changed.values()) + said["overtaken"] > said["asked"]:
        return "more changed, or were overtaken, than were asked for"
    if sum(changed.values()) != detail["population"] or {"accounts", "paid"} & detail.keys():
        return "it changed other people than were answered for"
    if detail.get("unknown", 0) != changed.get("NOT_FOUND", 0):
        return "others left the register than were not found"
    return ""


def _delta_fault(home: Home, version: RegisterRow, changed: Said) -> str:
    """Reason why the people of a delta are not as they were answered for; ''."""
    path = home.folder("registers", version.seq) / "people.slots"
    words = np.fromfile(path, "<u8").reshape(-1, 4)[:, 0]
    words = words[words != 0].astype(np.int64)
    is_known, life, above = words >> 43 & 1 == 1, words >> 40 & 3, words >> 47
    found = {
        "alive": np.count_nonzero(is_known & (life == 0)),
        "DECEASED": np.count_nonzero(is_known & (life == 1)),
        "LATE": np.count_nonzero(is_known & (life == 3) & (above == 1)),
        "DUPLICATE": np.count_nonzero(is_known & (life == 3) & (above == 2)),
        "NOT_FOUND": np.count_nonzero(~is_known),
    }
    wanted = {word: changed.get(word, 0) for word in WORDS - {"MATCH", "NAME_DIFFERS"}}
    wanted["alive"] = changed.get("MATCH", 0) + changed.get("NAME_DIFFERS", 0)
    return "" if found == wanted else "its people are not as they were answered for"
