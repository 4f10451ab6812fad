"""Deadlines of cash proven: a recall at one asks for all cash lines that nobody had proven by it,
and for nothing else.

Who pays over a counter, and for how many days a line may be without a proof, is read from what the
audit chain had then.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from switch.home.history import RECALL, Folder, asked_back
from switch.home.times import day_of
from switch.outcomes import Check
from switch.proof.answers import LINE, Answered
from switch.proof.line_sums import tuples


def checks(answered: Answered, before: Collection[tuple[int, int]], folder: Folder) -> list[Check]:
    """All of one recall at a deadline. before: lines that were recalled before it."""
    if folder.kind != RECALL or not folder.detail.days:
        return []
    seq = answered.seqs[folder.number - 1]
    said: dict[str, Any] = {}
    for record in answered.home.catalog.audit.records("init", "directory"):
        if record.seq < seq:
            said = msgspec.json.decode(record.detail)
    settings = msgspec.json.decode(said["settings"])
    directory = msgspec.json.decode(said["directory"])
    codes = [row["participant"] for row in directory["participants"] if row["kind"] == "cash"]
    subject, days = f"answers {folder.number}", folder.detail.days
    fault = "" if settings.get("cash_days") == days else "the settings had another deadline"
    asks = set(tuples(asked_back(answered.home, folder), LINE))
    if not fault and asks != _due(answered, folder, codes) - set(before):
        fault = "they are not those that nobody had proven by their deadline"
    return [Check("cash lines", subject, fault)]


def _due(answered: Answered, folder: Folder, codes: list[str]) -> set[tuple[int, int]]:
    """Lines that had gone to these participants, had settled so many days before, and were neither
    proven nor back."""
    runs = {row.seq for row in answered.rows if row.seq <= folder.after}
    late = day_of(folder.at) - datetime.timedelta(days=folder.detail.days)
    name = {seq: answered.cycle_of[seq].partition("-")[0].zfill(8) for seq in runs}
    old = {seq for seq in runs if datetime.date.fromisoformat(name[seq]) < late}
    out = answered.standing(runs, runs, folder)
    mine = pc.is_in(out["participant"], pa.array(codes, pa.string()))
    mine = pc.and_(mine, pc.is_in(out["state"], pa.array(["SETTLED", "UNAPPLIED"])))
    out = out.filter(pc.and_(mine, pc.is_in(out["cleared_in"], pa.array(sorted(old), pa.uint32()))))
    return set(tuples(out, LINE))
