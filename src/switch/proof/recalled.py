"""Recalls proven: each says who asked for what, and asks for nothing that did not go out so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc

from switch.files.file_schemas import ASKED
from switch.files.segment import read_table
from switch.home.history import RECALL, Folder, asked_back
from switch.outcomes import Check
from switch.proof.answers import KNOWN, LINE, Answered
from switch.proof.chains import compare
from switch.proof.credits import as_told, cut
from switch.proof.line_sums import tuples


def checks(answered: Answered, before: set[tuple[int, int]], folder: Folder) -> Iterator[Check]:
    """All of one recall, but what left its cycle by it, which is refused (`answers`). before: lines
    that were recalled before it; its own are added."""
    if folder.kind != RECALL:
        return
    subject, asks = f"answers {folder.number}", asked_back(answered.home, folder)
    yield Check("recalled lines", subject, _fault(answered, before, folder, asks))
    lists = answered.home.path / folder.name / "recall"
    handed = {path.stem: read_table(path).to_pydict() for path in lists.iterdir()}
    yield compare("recall lists", subject, _lists(answered, folder, asks), handed)


def _fault(answered: Answered, before: set[tuple[int, int]], folder: Folder, asks: Any) -> str:
    """The fault of a recall: it says who recalls what and why; what is asked for went out so,
    had settled, was neither refused nor back, and nothing of it was recalled before."""
    said, seq = folder.detail, answered.seqs[folder.number - 1]
    stopped = answered.back["refused"][folder.number - 1]
    sums = [len(stopped) + len(asks), sum(stopped["amount"].to_pylist())]
    sums[1] += sum(asks["amount"].to_pylist())
    if not (said.reason and said.by and said.words) or [said.count, int(said.sum)] != sums:
        return "it does not say who recalled what"
    mine = [*tuples(stopped, LINE), *tuples(asks, LINE)]
    if len(set(mine)) != len(mine) or not before.isdisjoint(mine):
        return "a line was recalled twice"
    before.update(mine)
    for batch in pc.unique(asks["cleared_in"]).to_pylist():
        if answered.ends.get(answered.cycle_of[batch], seq + 1) > seq:
            return f"a line of batch {batch} is asked for before it settled"
    keys = [*KNOWN, "cleared_in"]
    runs = set(pc.unique(asks["cleared_in"]).to_pylist())
    if len(answered.sent(runs).join(asks.select(keys), keys, join_type="inner")) != len(asks):
        return "a line did not go out as it is asked for"
    gone = {
        line
        for tables in answered.back.values()
        for table in tables[: folder.number - 1]
        for line in tuples(table, LINE)
    }
    if not gone.isdisjoint(tuples(asks, LINE)):
        return "a line is asked for that went back"
    return cut(answered.home, asks)


def _lists(answered: Answered, folder: Folder, asks: Any) -> dict[str, dict[str, list[Any]]]:
    """The list that each receiver must have got of a recall."""
    rows = []
    stopped = answered.back["refused"][folder.number - 1]
    for action, lines in (("STOP", stopped), ("RETURN", asks)):
        table = as_told(answered.home, lines)
        names = [*LINE, "participant", "transfer_id", "amount"]
        rows += [(*row, folder.detail.reason, action) for row in tuples(table, names)]
    found: dict[str, dict[str, list[Any]]] = {}
    for _, _, code, *told in sorted(rows):
        mine = found.setdefault(code, {name: [] for name in ASKED.names})
        for name, value in zip(ASKED.names, told, strict=True):
            mine[name].append(value)
    return found
