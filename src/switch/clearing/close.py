"""Close: a table that is through is netted, posted and committed, all of it or nothing.

Everything here works on sums; the lines are in their files already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from switch._core import Core
from switch.clearing.answer_columns import outcome, receivers
from switch.clearing.held import Tally
from switch.clearing.intake import Declared
from switch.files import segment
from switch.files.layout import positions_table
from switch.files.segment import write_table
from switch.files.tables import TableReader
from switch.home import days, paid_bits
from switch.home.store import Home
from switch.registry.directory import Directory, Settings
from switch.results import PositionRow, StoredSummary
from switch.schema import period_of
from switch.settlement import budgets
from switch.settlement import postings as booking
from switch.settlement.calendar import Slot
from switch.settlement.cycle import OPENING
from switch.settlement.netting import Position, gross_of, positions, settlement_nets
from switch.settlement.standing import Standing, keep_balances, keep_positions, keep_postings

ENGINE = "switch 0.1"


class Closing:
    """The end of a run: what it reads was made by the road before."""

    home: Home
    directory: Directory
    settings: Settings
    declared: Declared
    reader: TableReader
    core: Core
    seq: int
    cycle: str
    rule_set: str
    slot: Slot | None
    at: str
    digest: str
    standing: Standing
    rooms: dict[str, int]
    use: budgets.Use
    carried: Tally
    own: Tally
    represented: segment.Segment | None
    digests: dict[str, tuple[str, int]]

    def _settle(self, draft: Path) -> None:
        core, directory = self.core, self.directory
        if self.settings.enforce_budgets is True:
            limits = budgets.budgets(directory)
            budgets.require_within(self.home, limits, self.use, self.reader.name)
        cycle = positions(directory, core.pair_sum, core.pair_count)
        nets = settlement_nets(cycle)
        booking.require_room(nets, self.rooms)
        name = f"{self.seq:06d}"
        postings = self._postings(self.seq, nets)
        after = booking.apply(self.standing.balances, postings)
        booking.require_settled(after, self.cycle)
        summary = self._summary(cycle, nets)
        self._require_nothing_lost(summary)
        write_table(draft / "positions.parquet", positions_table(cycle))
        if self.slot is None:
            day, batch = str(self.declared.value_date), self.declared.batch_id
            request = booking.request(directory, self.cycle, day, nets, batch=batch)
            segment.write_json(draft / "settlement.json", request)
        paid_rows = []
        cleared_before = {
            (row["benefit"], row["period"]): (self.home.path / row["path"], row["sha256"])
            for row in self.home.rows(
                "SELECT * FROM paid JOIN files USING (path) WHERE origin = 'cleared'"
            )
        }
        for number, ((benefit, month), words) in enumerate(core.cleared().items()):
            key = (directory.programmes[benefit].benefit, period_of(month))
            if key in cleared_before:
                before = paid_bits.read(*cleared_before[key])
                words[: len(before)] |= before
            file = f"paid-{number:04d}.bits"
            paid_bits.write(draft / file, words)
            paid_rows.append((*key, f"batches/{name}/{file}"))
        for path in sorted(p for p in draft.rglob("*") if p.is_file()):
            name_in_draft = path.relative_to(draft).as_posix()
            if name_in_draft not in self.digests:
                self.digests[name_in_draft] = (segment.digest_of(path), path.stat().st_size)
        manifest = self._manifest(summary)
        summary_text = msgspec.json.encode(summary).decode()
        # The file has the postings too; the catalog keeps them as rows.
        whole = {**manifest, "postings": [list(posting) for posting in postings]}
        segment.write_json(draft / "manifest.json", whole)
        self.home.commit(
            at=self.at,
            kind="batch",
            detail={
                "seq": self.seq,
                "batch_id": self.declared.batch_id,
                "source": self.declared.source,
                "digest": self.digest,
                "cycle": self.cycle,
                "nets": nets,
                "summary": hashlib.sha256(summary_text.encode()).hexdigest(),
                **days.word(days.times(self.home), self.at, self.declared.value_date.isoformat()),
            },
            statements=self._statements(summary_text, manifest, cycle, postings, after, paid_rows),
            draft=draft,
            folder=self.home.folder("batches", self.seq),
            digests=self.digests,
        )

    def _postings(self, name: int, nets: dict[str, int]) -> list[booking.Posting]:
        """All postings of the batch; those of its cycle's settlement too where it settles now."""
        core, directory = self.core, self.directory
        if self.slot is None:
            reserves = booking.gross_reserves(directory, name, core.pair_sum)
            settling = booking.settling_postings(directory, self.cycle, nets, reserves)
        else:
            whole = self.standing.nets_of(self.cycle)
            for code, net in nets.items():
                whole[code] = whole.get(code, 0) + net
            reserved = self.standing.reserved(self.cycle)
            reserves = booking.net_reserves(directory, name, whole, reserved)
            settling = []
        return [
            *booking.clearing_postings(directory, name, core.benefit_sum, core.pair_sum, reserves),
            *settling,
        ]

    def _summary(self, cycle: list[Position], nets: dict[str, int]) -> StoredSummary:
        core = self.core
        gross = gross_of(core.pair_sum)
        names = {
            p.participant: p.name.partition(" (")[0]
            if p.short_name in ("", p.participant)
            else p.short_name
            for p in self.directory.participants
        }
        return {
            "source": self.declared.source,
            "batch_id": self.declared.batch_id,
            "seq": self.seq,
            "cycle": self.cycle,
            "value_date": self.declared.value_date.isoformat(),
            "at": self.at,
            "currency": self.declared.currency,
            "digest": self.digest,
            **outcome(self.own),
            "represented": outcome(self.carried) if self.represented is not None else None,
            "receivers": receivers(self.directory, core.pair_sum, core.pair_count),
            "positions": [cast(PositionRow, position._asdict()) for position in cycle],
            "names": {p.participant: names[p.participant] for p in cycle},
            "settlement": {
                "gross": gross,
                "settled": sum(net for net in nets.values() if net > 0),
                "payers": sum(net < 0 for net in nets.values()),
                "receivers": sum(net > 0 for net in nets.values()),
                "nets": nets,
            },
        }

    def _require_nothing_lost(self, summary: StoredSummary) -> None:
        """I4: lines by state add up to the declared count and sum, and cleared money by receiver
        to cleared money by line."""
        states = [summary["cleared"], summary["held"], summary["refused"]]
        assert sum(s["count"] for s in states) == self.declared.count, "lines are missing"
        assert sum(s["sum"] for s in states) == self.declared.sum, "money is missing"
        cleared = summary["cleared"]["sum"] + self.carried[0][1]
        assert sum(r["sum"] for r in summary["receivers"]) == cleared, "receivers do not add up"
        assert sum(map(int, self.core.benefit_sum)) == cleared, "programmes do not add up"

    def _manifest(self, summary: StoredSummary) -> dict[str, Any]:
        return {
            "engine": ENGINE,
            "rule_set": self.rule_set,
            "settings": msgspec.to_builtins(self.settings),
            **({"rooms": self.rooms} if self.rooms else {}),
            "funding": self._funding(),
            **({"closes": self.slot.closes} if self.slot else {}),
            "declared": {
                "source": self.declared.source,
                "batch_id": self.declared.batch_id,
                "count": self.declared.count,
                "sum": str(self.declared.sum),
                "value_date": self.declared.value_date.isoformat(),
                "sha256": self.declared.sha256,
            },
            "digest": self.digest,
            "seq": self.seq,
            "cycle": self.cycle,
            "at": self.at,
            "register": self.home.catalog.register_seq(),
            "previous": self.home.catalog.heads().link,
            "outcome": {key: summary[key] for key in ("received", "cleared", "held", "refused")},
            "files": {name: digest for name, (digest, _) in sorted(self.digests.items())},
        }

    def _funding(self) -> dict[str, Any]:
        """What the run reserved, cleared and released, and the budgets that it was held to."""
        use = self.use.to_dict()
        if self.settings.enforce_budgets is True:
            limits = budgets.budgets(self.directory)
            reserved = self.use.reserved.items()
            use["budgets"] = {
                name: limits[name] for name, sum_ in reserved if sum_ and name in limits
            }
        return use

    def _statements(
        self,
        summary: str,
        manifest: dict[str, Any],
        cycle: list[Position],
        postings: list[booking.Posting],
        balances: dict[str, int],
        paid_rows: list[tuple[str, int, str]],
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        yield (
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.seq,
                self.declared.source,
                self.declared.batch_id,
                self.digest,
                self.declared.value_date.isoformat(),
                self.at,
                self.cycle,
                self.declared.count,
                str(self.declared.sum),
                "CLEARING" if self.slot else "SETTLED",
                msgspec.json.encode(manifest, order="sorted").decode(),
                summary,
            ),
        )
        if self.slot is not None:
            yield OPENING, self.slot
        yield from keep_positions(self.cycle, cycle)
        yield from keep_postings(self.seq, self.cycle, postings)
        yield from keep_balances(balances)
        for benefit, period, path in paid_rows:
            yield (
                "INSERT OR REPLACE INTO paid VALUES ('cleared', ?, ?, ?)",
                (benefit, period, path),
            )
