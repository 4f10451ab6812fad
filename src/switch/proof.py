"""Proof: every invariant of the domain recomputed from the committed files alone.

Floor 4, beside the engine and sharing none of its kernels: sums and bits are computed again with
numpy from what is on disk, and compared with what the catalog says. Invariants are numbered as in
docs/domain.md: I1 postings balance, I2 positions sum to zero, I3 nothing stays on a clearing
account, I4 lines by state add up, I6 nothing is paid twice, I7 executed is what was declared, I8
balances follow from the files. (I5 speaks of confirmations, which this version does not take in.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from switch import paid
from switch.errors import HomeLocked, UsageError, VerificationFailed
from switch.evidence import Check, Records, compare, file_faults, files
from switch.reason import REASONS_COUNT, RULES, Reason, status_of
from switch.segment import Groups, digest_of, read_segment, segment_at
from switch.signing import Signed, departure, read_checkpoints, require_signed
from switch.store import CATALOG, Home, read_checkpoint

SHOWN_MAX = 20


class _Batch:
    """One committed batch as its files tell it."""

    def __init__(self, home: Home, row: Any) -> None:
        self.row = row
        self.name = f"{row['seq']:06d}"
        self.folder = home.folder("batches", row["seq"])
        self.manifest = msgspec.json.decode(row["manifest"])


class Verifier:
    """Walks a home; `checks` yields every check as it is made."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.paid: dict[tuple[str, int], Any] = {}
        """Who was cleared, by (benefit, period): bool by row."""
        self.history: dict[tuple[str, int], Any] = {}
        """The same of the loaded history. It may tell of payments that were made here, too: only
        batches since its last change were judged with all of it."""
        self.history_since = 0
        self.cleared: set[tuple[str, int]] = set()
        self.waiting: dict[tuple[int, int], None] = {}
        self.balances: dict[str, int] = msgspec.json.decode(home.meta("opening"))

    def checks(self) -> Iterator[Check]:
        records = Records(self.home)
        yield from records.checks()
        faults = file_faults(self.home, self.home.path)
        yield from files(self.home, records, faults)
        # What has another digest is not decoded: damage may take the decoder down.
        broken = {"/".join(path.split("/")[:2]) for path in faults}
        for row in self.home.rows("SELECT * FROM paid WHERE origin = 'history'"):
            if row["path"] in faults:
                continue
            words = _words(self.home.path / row["path"])
            bits = np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)
            self.history[row["benefit"], row["period"]] = bits
        for row in self.home.rows("SELECT * FROM registers ORDER BY seq"):
            if "paid" in msgspec.json.decode(row["manifest"])["counts"]:
                self.history_since = row["seq"]
        for row in self.home.rows("SELECT * FROM batches ORDER BY seq"):
            if f"batches/{row['seq']:06d}" in broken:
                continue
            try:
                yield from self._batch(_Batch(self.home, row))
            except (OSError, pa.ArrowException, KeyError, IndexError, ValueError) as error:
                yield Check("files", f"batch {row['seq']}", f"cannot be read: {error}")
        if broken:
            return  # What follows adds up all batches.
        yield from self._paid_bits()
        live = self.home.balances()
        if live or self.home.rows("SELECT 1 FROM batches"):
            yield compare("I8 balances", "catalog", self.balances, live)

    def _batch(self, batch: _Batch) -> Iterator[Check]:
        subject = f"batch {batch.row['seq']}"
        tally = [[0, 0] for _ in range(REASONS_COUNT)]
        pairs: dict[tuple[str, str], list[int]] = {}
        benefits: dict[str, int] = {}
        sent: dict[str, Any] = {}
        fault = ""
        moved: list[tuple[int, int]] = []
        waiting: list[tuple[int, int]] = []
        represented = batch.folder / "represented.parquet"
        parts = [(represented, None)] if represented.exists() else []
        parts.append((segment_at(batch.folder, "status"), batch.folder / "lines.parquet"))  # type: ignore[arg-type]
        for status_file, lines_file in parts:
            for status, lines in _row_groups(status_file, lines_file):
                reason = np.asarray(lines["reason_number"])
                own = lines_file is not None
                fault = fault or self._states(status, reason)
                amount = np.asarray(lines["amount"])
                if own:
                    _count(tally, reason, amount)
                    held = _held_numbers(reason)
                    numbers = np.asarray(status["line_no"])[held]
                    waiting += [(batch.row["seq"], int(n)) for n in numbers]
                else:
                    batches = np.asarray(status["batch"])
                    moved += list(
                        zip(map(int, batches), map(int, np.asarray(status["line_no"])), strict=True)
                    )
                alive = reason == Reason.NONE
                _send(sent, status, amount, alive)
                _pair(pairs, status, lines, amount, alive)
                _by_text(benefits, lines["benefit"], amount, alive)
                judged = batch.manifest["register"] >= self.history_since
                fault = fault or self._pay(lines, alive, self.history if judged else {})
        yield Check("I6 nothing paid twice", subject, fault)
        yield from self._row(batch, subject)
        yield from self._totals(batch, subject, tally)
        yield from self._money(batch, subject, pairs, benefits)
        yield compare("clearing files", subject, _digests(sent), _clearing(batch.folder))
        yield from self._held(batch, subject, moved, waiting)

    def _states(self, status: Any, reason: Any) -> str:
        """Status and reason code say what the number says."""
        statuses = np.array([status_of(n) for n in range(REASONS_COUNT)], object)[reason]
        codes = np.array([None, *(RULES[Reason(n)].code for n in range(1, REASONS_COUNT))], object)[
            reason
        ]
        if not np.array_equal(_texts(status["status"]), statuses):
            return "a status does not follow from its reason"
        if not np.array_equal(_texts(status["reason"]), codes):
            return "a reason code does not follow from its number"
        return ""

    def _bits(self, key: tuple[str, int], size: int) -> Any:
        bits = self.paid.get(key)
        if bits is None:
            bits = self.paid[key] = np.zeros(size, bool)
        elif len(bits) < size:
            wider = np.zeros(max(size, 2 * len(bits)), bool)
            wider[: len(bits)] = bits
            bits = self.paid[key] = wider
        return bits

    def _pay(self, lines: Any, alive: Any, history: dict[tuple[str, int], Any]) -> str:
        """Mark the entitlements of living lines; what is marked already is a fault, and so is what
        stands in the history."""
        rows = np.asarray(lines["row"])[alive]
        periods = np.asarray(lines["period"])[alive]
        benefit = lines["benefit"].combine_chunks()
        names = benefit.dictionary.to_pylist()
        index = np.asarray(benefit.indices.fill_null(-1))[alive]
        keys = periods.astype(np.int64) << 16 | index
        for key in np.unique(keys):
            mine = rows[keys == key]
            name = (names[int(key) & 0xFFFF], int(key) >> 16)
            self.cleared.add(name)
            bits = self._bits(name, int(mine.max()) + 1)
            told = history.get(name, bits[:0])
            before = bits[mine].any() or told[mine[mine < len(told)]].any()
            if before or len(np.unique(mine)) != len(mine):
                return (
                    f"an entitlement of {names[int(key) & 0xFFFF]} {int(key) >> 16} is paid twice"
                )
            bits[mine] = True
        return ""

    def _row(self, batch: _Batch, subject: str) -> Iterator[Check]:
        """What the catalog says of a batch is what its manifest says."""
        manifest = msgspec.json.decode((batch.folder / "manifest.json").read_bytes())
        yield compare("catalog", f"{subject}, manifest", manifest, batch.manifest)
        row, declared = batch.row, manifest["declared"]
        found = {name: declared[name] for name in ("source", "batch_id", "value_date")}
        found |= {name: manifest[name] for name in ("seq", "cycle", "at", "digest")}
        stored = {name: row[name] for name in found}
        found |= {"lines": declared["count"], "amount": declared["sum"], "state": "SETTLED"}
        stored |= {name: row[name] for name in ("lines", "amount", "state")}
        yield compare("catalog", f"{subject}, row", found, stored)
        summary = msgspec.json.decode(row["summary"])
        positions = pq.read_table(batch.folder / "positions.parquet").to_pylist()
        receivers = {}
        for path in (batch.folder / "clearing").iterdir():
            amount = read_segment(path)["amount"]
            receivers[path.stem] = [len(amount), pc.sum(amount).as_py()]
        shown = {
            **{name: summary[name] for name in found if name in summary},
            **{name: summary[name] for name in manifest["outcome"]},
            "positions": [
                {name: shown[name] for name in told}
                for shown, told in zip(summary["positions"], positions, strict=True)
            ],
            "receivers": {r["participant"]: [r["count"], r["sum"]] for r in summary["receivers"]},
        }
        told = {
            **{name: found[name] for name in found if name in summary},
            **manifest["outcome"],
            "positions": positions,
            "receivers": receivers,
        }
        yield compare("catalog", f"{subject}, summary", told, shown)

    def _totals(self, batch: _Batch, subject: str, tally: list[list[int]]) -> Iterator[Check]:
        declared = batch.manifest["declared"]
        found = {"count": sum(c for c, _ in tally), "sum": sum(s for _, s in tally)}
        yield compare(
            "I4 lines add up",
            subject,
            found,
            {"count": declared["count"], "sum": int(declared["sum"])},
        )
        states = {"cleared": "ACSC", "held": "PDNG", "refused": "RJCT"}
        yield compare(
            "I4 states add up",
            subject,
            {
                name: {
                    "count": sum(t[0] for n, t in enumerate(tally) if status_of(n) == status),
                    "sum": sum(t[1] for n, t in enumerate(tally) if status_of(n) == status),
                }
                for name, status in states.items()
            },
            {name: batch.manifest["outcome"][name] for name in states},
        )
        executed = batch.manifest["digest"]
        wrong = executed != batch.row["digest"] or (
            declared["sha256"] and executed != f"sha256:{declared['sha256']}"
        )
        yield Check("I7 executed is declared", subject, "the digests differ" if wrong else "")

    def _money(
        self,
        batch: _Batch,
        subject: str,
        pairs: dict[tuple[str, str], list[int]],
        benefits: dict[str, int],
    ) -> Iterator[Check]:
        between = {pair: sums for pair, sums in pairs.items() if pair[0] != pair[1]}
        found: dict[str, list[int]] = {}
        for (debtor, creditor), (count, sum_) in between.items():
            credit = found.setdefault(creditor, [0, 0, 0, 0])
            credit[0] += count
            credit[1] += sum_
            debit = found.setdefault(debtor, [0, 0, 0, 0])
            debit[2] += count
            debit[3] += sum_
        cycle = batch.row["cycle"]
        catalog = self.home.rows("SELECT * FROM positions WHERE cycle = ?", cycle)
        columns = ("credit_count", "credit_sum", "debit_count", "debit_sum")
        yield compare(
            "positions",
            f"cycle {cycle}",
            found,
            {row["participant"]: [row[c] for c in columns] for row in catalog},
        )
        table = pq.read_table(batch.folder / "positions.parquet").to_pylist()
        names = ("participant", "settled_by", *columns, "net")
        yield compare(
            "positions file",
            f"cycle {cycle}",
            [[row[n] for n in names] for row in table],
            [[row[n] for n in names] for row in catalog],
        )
        total = sum(row["net"] for row in table)
        yield Check("I2 positions sum to zero", f"cycle {cycle}", f"{total}" if total else "")
        postings = msgspec.json.decode((batch.folder / "postings.json").read_bytes())
        live = self.home.rows(
            "SELECT * FROM postings WHERE batch = ? ORDER BY seq", batch.row["seq"]
        )
        yield compare(
            "I1 postings",
            subject,
            postings,
            [[r["step"], r["debit"], r["credit"], r["amount"]] for r in live],
        )
        for _, debit, credit, amount in postings:
            if not debit.startswith("N."):
                self.balances[debit] = self.balances.get(debit, 0) - amount
                self.balances[credit] = self.balances.get(credit, 0) + amount
        left = self.balances.get(f"S.CLEARING[{cycle}]", 0)
        left = left or self.balances.get(f"S.RESERVE[{batch.name}]", 0)
        yield Check("I3 clearing account is zero", f"cycle {cycle}", f"{left}" if left else "")
        yield compare(
            "postings follow from lines",
            subject,
            _expected(batch.name, cycle, benefits, pairs, table),
            _moved(postings),
        )

    def _held(
        self,
        batch: _Batch,
        subject: str,
        moved: list[tuple[int, int]],
        waiting: list[tuple[int, int]],
    ) -> Iterator[Check]:
        unknown = [line for line in moved if line not in self.waiting]
        for line in moved:
            self.waiting.pop(line, None)
        self.waiting.update(dict.fromkeys(waiting))
        path = batch.folder / "held.parquet"
        stored = []
        if path.exists():
            table = pq.read_table(path, columns=["batch", "line_no"])
            stored = list(
                zip(table["batch"].to_pylist(), table["line_no"].to_pylist(), strict=True)
            )
        fault = "a line moved that did not wait" if unknown else ""
        if stored != list(self.waiting):
            fault = "the lines that wait are not those that were held and did not move"
        yield Check("held lines", subject, fault)

    def _paid_bits(self) -> Iterator[Check]:
        named = {row["path"] for row in self.home.rows("SELECT path FROM paid")}
        query = "SELECT path FROM files WHERE path LIKE 'registers/%.bits'"
        lost = {row["path"] for row in self.home.rows(query)} - named
        rows = self.home.rows("SELECT * FROM paid WHERE origin = 'cleared'")
        missing = self.cleared - {(row["benefit"], row["period"]) for row in rows}
        fault = f"{min(lost)} is not in use" if lost else ""
        if missing:
            fault = "no paid bits for {} {}".format(*min(missing))
        yield Check("I6 paid bits", "every entitlement has them", fault)
        for row in rows:
            key = (row["benefit"], row["period"])
            words = _words(self.home.path / row["path"])
            stored = np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)
            known = self._bits(key, len(stored))
            same = np.array_equal(known[: len(stored)], stored) and not known[len(stored) :].any()
            yield Check(
                "I6 paid bits", f"{key[0]} {key[1]}", "" if same else "differ from the lines"
            )


def _words(path: Path) -> Any:
    try:
        return paid.read(path)
    except OSError as error:
        raise VerificationFailed(f"{path} cannot be read: {error.strerror}") from error


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _row_groups(status_file: Path, lines_file: Path | None) -> Iterator[tuple[Any, Any]]:
    status = Groups(status_file)
    lines = status if lines_file is None else Groups(lines_file)
    if len(status) != len(lines):
        raise VerificationFailed(f"{status_file} and its lines differ in length")
    for group in range(len(status)):
        left = status.read(group)
        right = left if lines is status else lines.read(group)
        if left.num_rows != right.num_rows:
            raise VerificationFailed(f"{status_file} and its lines differ in length")
        yield left, _coded(right)


def _coded(table: Any) -> Any:
    for name in ("benefit", "debtor_agent"):
        index = table.schema.names.index(name)
        table = table.set_column(index, name, table[name].cast(pa.string()).dictionary_encode())
    return table


def _texts(column: Any) -> Any:
    return np.array(column.cast(pa.string()).to_pylist(), object)


def _count(tally: list[list[int]], reason: Any, amount: Any) -> None:
    for number in np.unique(reason):
        part = amount[reason == number]
        tally[number][0] += len(part)
        # Halves of 32 bits, so that no sum of refused amounts can leave 64 bits.
        tally[number][1] += (int((part >> 32).sum()) << 32) + int((part & 0xFFFFFFFF).sum())


def _held_numbers(reason: Any) -> Any:
    held = [n for n in range(REASONS_COUNT) if status_of(n) == "PDNG"]
    return np.isin(reason, held)


def _send(sent: dict[str, Any], status: Any, amount: Any, alive: Any) -> None:
    """Feed every receiver's hash with its lines' transfer ids and amounts, in order."""
    participant = status["participant"].cast(pa.string()).combine_chunks().dictionary_encode()
    index = np.asarray(participant.indices.fill_null(-1))
    for code, name in enumerate(participant.dictionary.to_pylist()):
        mine = np.flatnonzero(alive & (index == code))
        if len(mine):
            ids = status["transfer_id"].combine_chunks().take(pa.array(mine))
            state = sent.setdefault(name, [0, hashlib.sha256(), hashlib.sha256()])
            state[0] += len(mine)
            state[1].update("\n".join(ids.to_pylist()).encode() + b"\n")
            state[2].update(np.ascontiguousarray(amount[mine]))


def _digests(sent: dict[str, Any]) -> dict[str, tuple[int, str, str]]:
    return {name: (n, a.hexdigest(), b.hexdigest()) for name, (n, a, b) in sorted(sent.items())}


def _clearing(folder: Path) -> dict[str, tuple[int, str, str]]:
    sent: dict[str, Any] = {}
    for path in (folder / "clearing").iterdir():
        state = sent.setdefault(path.stem, [0, hashlib.sha256(), hashlib.sha256()])
        file = Groups(path)
        for group in range(len(file)):
            table = file.read(group, ["transfer_id", "amount"])
            state[0] += table.num_rows
            state[1].update("\n".join(table["transfer_id"].to_pylist()).encode() + b"\n")
            state[2].update(np.ascontiguousarray(table["amount"].to_numpy()))
    return _digests(sent)


def _pair(
    pairs: dict[tuple[str, str], list[int]], status: Any, lines: Any, amount: Any, alive: Any
) -> None:
    table = pa.table(
        {
            "debtor": lines["debtor_agent"].cast(pa.string()),
            "creditor": status["participant"].cast(pa.string()),
            "amount": amount,
        }
    ).filter(pa.array(alive))
    grouped = table.group_by(["debtor", "creditor"]).aggregate(
        [("amount", "sum"), ([], "count_all")]
    )
    for row in grouped.to_pylist():
        sums = pairs.setdefault((row["debtor"], row["creditor"]), [0, 0])
        sums[0] += row["count_all"]
        sums[1] += row["amount_sum"]


def _by_text(sums: dict[str, int], texts: Any, amount: Any, alive: Any) -> None:
    table = pa.table({"key": texts.cast(pa.string()), "amount": amount}).filter(pa.array(alive))
    for row in table.group_by("key").aggregate([("amount", "sum")]).to_pylist():
        sums[row["key"]] = sums.get(row["key"], 0) + row["amount_sum"]


def _expected(
    name: str,
    cycle: str,
    benefits: dict[str, int],
    pairs: dict[tuple[str, str], list[int]],
    positions: list[dict[str, Any]],
) -> dict[str, Any]:
    """What the postings of a batch must come to, from its lines."""
    settles = {row["participant"]: row["settled_by"] for row in positions}
    nets: dict[str, int] = {}
    for row in positions:
        nets[row["settled_by"]] = nets.get(row["settled_by"], 0) + row["net"]
    between: dict[str, int] = {}
    on_us: dict[str, int] = {}
    for (debtor, creditor), (_, sum_) in pairs.items():
        if debtor == creditor:
            on_us[f"B.CUSTOMER[{debtor}]"] = sum_
        else:
            for code, amount in ((settles[debtor], -sum_), (settles[creditor], sum_)):
                key = f"N.POSITION[{code}]"
                between[key] = between.get(key, 0) + amount
    return {
        "P1": {f"T.PAYABLE[{name}]": sum(benefits.values())} if benefits else {},
        "P3": {key: sum_ for key, sum_ in sorted(between.items()) if sum_},
        "P4": sorted(net for net in nets.values() if net),
        "P12": dict(sorted(on_us.items())),
    }


def _moved(postings: list[Any]) -> dict[str, Any]:
    by_step: dict[str, dict[str, int]] = {"P1": {}, "P3": {}, "P4": {}, "P12": {}}
    for step, debit, credit, amount in postings:
        for account, sign in ((debit, -amount), (credit, amount)):
            if step in by_step:
                by_step[step][account] = by_step[step].get(account, 0) + sign
    return {
        "P1": {k: v for k, v in by_step["P1"].items() if k.startswith("T.PAYABLE")},
        "P3": {k: v for k, v in sorted(by_step["P3"].items()) if v},
        "P4": sorted(v for k, v in by_step["P4"].items() if not k.startswith("S.CLEARING") and v),
        "P12": {k: v for k, v in sorted(by_step["P12"].items()) if k.startswith("B.CUSTOMER")},
    }


def verify(
    path: str | Path, *, checkpoint: str | Path | None = None, public_key: bytes | None = None
) -> list[Check]:
    """All checks of a home. Raises VerificationFailed with the faults, if there are any.

    checkpoint: a file of signed checkpoints that somebody kept, and public_key (PEM) what they were
    signed with: the history is proven to go on from them.
    """
    path = Path(path)
    signed = [] if checkpoint is None else _kept(Path(checkpoint), public_key)
    try:
        with Home(path, writing=False) as home:
            checks = list(Verifier(home).checks())
            if checkpoint is not None:
                links = [row["link"] for row in home.rows("SELECT link FROM audit ORDER BY seq")]
                about = f"{len(signed)} checkpoints"
                checks.append(Check("signed history", about, departure(links, signed)))
    except HomeLocked:
        raise
    except Exception as error:
        # A damaged catalog may fail as anything; that its bytes are others can be said for sure.
        if not (path / CATALOG).is_file() or not _differs(path):
            raise
        raise VerificationFailed(f"{path / CATALOG} was changed: restore it ({error})") from error
    faults = [check for check in checks if check.fault]
    if faults:
        shown = "; ".join(f"{c.name}, {c.subject}: {c.fault}" for c in faults[:SHOWN_MAX])
        raise VerificationFailed(f"{len(faults)} of {len(checks)} checks failed: {shown}")
    return checks


def _differs(path: Path) -> bool:
    return digest_of(path / CATALOG) != read_checkpoint(path).catalog


def _kept(checkpoint: Path, public_key: bytes | None) -> list[Signed]:
    if public_key is None:
        raise UsageError("a checkpoint is proven with the public key of the home that signed it")
    try:
        content = checkpoint.read_bytes()
    except OSError as error:
        raise UsageError(f"{checkpoint}: {error.strerror}") from error
    signed = read_checkpoints(content, str(checkpoint))
    if not signed:
        raise UsageError(f"{checkpoint} holds no checkpoint")
    require_signed(public_key, signed, str(checkpoint))
    return signed
