"""Replay: a committed batch derived again from its table, and compared row by row.

A home of its own is made in a temporary folder with the state before the batch, the engine runs the
table there, and both batches are compared by *logical* digests: a canonical encoding of rows, in
which neither Parquet nor its writer's version shows. State before:

    directory              as the audit chain records it
    settings, cycle        as the batch's manifest has them
    held lines             held.parquet of the batch before, or of what wrote it anew after it
    balances               opening balances and all postings before: of batches, liquidity, cycles
    cycles of a calendar   their states as the audit chain has them, positions of their batches
    who was paid           the lines of all batches before, without those that recasts took back,
                           not the paid bits that were stored
    register, history      the version that judged the batch: the current one, or a folder that was
                           kept elsewhere before it was replaced (its digests are in the chain)
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.arguments import checked
from switch.clearing.intake import OF_A_FILE, OF_MEMORY, Declared, Intake, declare
from switch.clearing.job import Job, Options
from switch.clearing.run import clear, room_for
from switch.engine import Engine
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.files import given, row_index
from switch.files.formats import CHUNK_ROWS
from switch.files.segment import FORMS, Groups, digest_of, read_segment
from switch.files.tables import TableLike, TableReader, open_table
from switch.home import paid_bits
from switch.home.batch import answered, batch_row
from switch.home.chain import Record
from switch.home.changes import AddBatch, AddFile, AddRegister, Change, PutCycle, PutRecord, SetPaid
from switch.home.create import create_home
from switch.home.history import CANCELLATION, EXPIRY, PAYMENTS, folders, queues, recasts, went_back
from switch.home.rows import BatchRow
from switch.home.store import CANCELLED, EXPIRED, Home
from switch.proof.chains import history_paths
from switch.reason import JOIN_CREDITS, RULE_SETS
from switch.registry.settings import Settings
from switch.schema import NOT_OF_HOUSEHOLDS, PAYMENT
from switch.settlement.calendar import Slot
from switch.settlement.netting import Position
from switch.settlement.postings import Posting, apply
from switch.settlement.standing import keep_balances, keep_positions, keep_postings


@checked
def replay(
    path: str | Path, batch: str, table: TableLike, *, register: str | Path | None = None
) -> dict[str, str]:
    """Logical digests of a batch's files, by name, after it was derived again with the same ones.

    table: the batch's own, as a path or an Arrow table. register: a folder kept of the register's
    version that judged the batch, where it is not the current one. Raises InputRefused for another
    table, UsageError where the state before the batch is gone, VerificationFailed where the batch
    derived differs from the one committed.
    """
    with Home(Path(path), writing=False) as home:
        row = batch_row(home, batch)
        if any(f.after < row.seq and f.detail.postings for f in folders(home)):
            raise UsageError(
                f"answers moved money before batch {batch!r} was run; replay derives batches from"
                " before the first refusal, return or disposition alone"
            )
        if any(kind == PAYMENTS for kind in _kinds_before(home, row.seq)):
            raise UsageError(
                f"fees moved money before batch {batch!r} was run; replay derives batches from"
                " before the first payment of a fee alone"
            )
        manifest = msgspec.json.decode(home.catalog.manifest(row.seq))
        if manifest["rule_set"] not in RULE_SETS:
            raise UsageError(
                f"batch {batch!r} was judged by {manifest['rule_set']!r}, which this version does"
                " not know: replay it with the version that ran it"
            )
        _require_its_table(table, row, batch)
        versions = _register_folders(home, manifest["register"], register)
        with tempfile.TemporaryDirectory(prefix="switch-replay-") as name:
            scratch = Path(name) / "home"
            _state_before(home, scratch, row, versions)
            stored = home.folder("batches", row.seq)
            with Engine(scratch) as engine:
                derived = _derived(engine, table, row, manifest, stored)
                if derived.digest != row.digest:
                    file = str(table) if isinstance(table, str | Path) else PAYMENT.name
                    raise _other_table(batch, file)
                for name in home.digests(stored):
                    home.proven(stored / name)
                return _compared(stored, engine.home.folder("batches", derived.seq), batch)


def _derived(
    engine: Engine, table: TableLike, row: BatchRow, manifest: dict[str, Any], stored: Path
) -> BatchRow:
    """The row of a batch that was run again, by its own settings into its own cycle: which one took
    it was decided by the calendar as it was then, packaged days off too, and by what had come by
    then."""
    said, closes = manifest["declared"], manifest.get("closes")
    declared = declare(
        table, row.source, row.batch_id, row.value_date, said["count"], int(said["sum"])
    )
    # Bounds for new tables are not those of its time.
    reader = _opened(engine, table, row, declared, manifest["rule_set"])
    with contextlib.closing(reader):
        job = Job(
            home=engine.home,
            directory=engine.directory,
            register=engine.open_register(),
            settings=Settings.stored(manifest["settings"]),
            declared=declared,
            reader=reader,
            seq=engine.home.catalog.next_batch(),
            at=row.at,
            slot=None if closes is None else Slot(manifest["cycle"], closes),
            rule_set=manifest["rule_set"],
            options=Options(next(f for f in FORMS if (stored / f"status.{f}").exists()), 1),
        )
        engine.home.require_room(room_for(engine.home, job.settings, table, declared))
        clear(job)
    made = engine.home.catalog.batch_of(declared.source, declared.batch_id)
    assert made is not None
    return made


def _opened(
    engine: Engine, table: TableLike, row: BatchRow, declared: Declared, rules: str
) -> TableReader:
    """The table, open, with the column of households or, where it was taken before there was such a
    one, without."""

    def opened(only: tuple[str, ...] | None = None) -> TableReader:
        place = engine.home.path
        return open_table(
            table, PAYMENT, sha256=declared.sha256, room=place, bounded=False, only=only
        )

    if rules in JOIN_CREDITS:
        return opened()
    if row.digest.startswith(OF_A_FILE):
        return opened(NOT_OF_HOUSEHOLDS)
    intake = Intake(engine.directory, digest=True)
    with contextlib.suppress(InputRefused), contextlib.closing(opened()) as reader:
        for _ in intake.lines(reader, declared, CHUNK_ROWS):
            pass
        if f"{OF_MEMORY}{intake.logical_digest}" == row.digest:
            return opened()
    return opened(NOT_OF_HOUSEHOLDS)


def _require_its_table(table: Any, row: BatchRow, batch: str) -> None:
    """A file that is not the batch's cannot derive it."""
    if not isinstance(table, str | Path):
        return
    if not row.digest.startswith(OF_A_FILE):
        raise UsageError(
            f"batch {batch!r} was run as a table in memory: give its table as one, with the"
            " library's replay"
        )
    hasher = hashlib.sha256()
    with given.opened(Path(table)) as (file, _):
        for block in given.blocks(file):
            hasher.update(block)
    if row.digest != f"{OF_A_FILE}{hasher.hexdigest()}":
        raise _other_table(batch, str(table))


def _other_table(batch: str, file: str) -> InputRefused:
    what = f"the table is not the one that batch {batch!r} was run with"
    return InputRefused("FILE_HASH", what, file=file, remedy="give the table as it was sent")


def _register_folders(home: Home, version: int, given: str | Path | None) -> dict[int, Path]:
    """Folders by number of the versions that make one of the register, the whole one first, with
    every file as the audit chain has it. given: the folder of the last, beside which stand the
    others."""
    told: dict[int, dict[str, Any]] = {}
    for record in home.catalog.audit.records("register"):
        detail = msgspec.json.decode(record.detail)
        told[detail["version"]] = detail
    chain = [version]
    while "before" in told[chain[0]]:
        chain.insert(0, told[chain[0]]["before"])
    if given is None and version not in home.catalog.register_chain():
        later = min(seq for seq in told if seq > version and "before" not in told[seq])
        raise UsageError(
            f"the batch was judged with version {version} of the register, which was dropped when"
            f" version {later} was committed: give the folder registers/{version:06d} of a"
            " backup with --register"
        )
    top = home.path / "registers" if given is None else Path(given).parent
    folders = {seq: top / f"{seq:06d}" for seq in chain}
    if given is not None:
        folders[version] = Path(given)
    for seq, folder in folders.items():
        for path, sha256 in told[seq]["files"].items():
            name = Path(path).name
            if not (folder / name).is_file() or digest_of(folder / name) != sha256:
                raise VerificationFailed(f"{folder / name} is not version {seq} of the register")
    return folders


def _state_before(home: Home, scratch: Path, row: BatchRow, versions: dict[int, Path]) -> None:
    """A home as it was before a batch: folders are links, the catalog is made anew. versions: those
    of the register by which it was judged."""
    seq = row.seq
    audited: dict[str, str] = {}
    for record, detail in _audited_before(home, seq):
        if record.kind in ("init", "directory"):
            beside = ("files", "correct", "said")
            audited |= {name: text for name, text in detail.items() if name not in beside}
    create_home(scratch, audited, "")
    for version, folder in versions.items():
        (scratch / "registers" / f"{version:06d}").symlink_to(folder.resolve())
    kept = [home.folder("batches", number) for number in range(1, seq)]
    kept += [home.path / queue.folder for queue in queues(home) if queue.after < seq]
    for committed in kept:
        link = scratch / committed.relative_to(home.path)
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(committed.resolve())
    with Home(scratch, writing=False, mending=True) as made:
        rows = _rows_before(home, scratch, seq, versions, audited)
        made.commit(at="", kind="state", detail={"before": seq}, changes=rows)


def _kinds_before(home: Home, seq: int) -> Iterator[str]:
    """Kinds of the audit records before that of a batch."""
    return (record.kind for record, _ in _audited_before(home, seq))


def _audited_before(home: Home, seq: int) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Audit records before that of a batch, with what they say."""
    records = ((row, msgspec.json.decode(row.detail)) for row in home.catalog.audit.records())
    return takewhile(lambda r: (r[0].kind, r[1].get("seq")) != ("batch", seq), records)


def _rows_before(
    home: Home, scratch: Path, seq: int, versions: dict[int, Path], audited: dict[str, str]
) -> Iterator[Change]:
    """Changes that fill the catalog of a home as it was before batch seq."""
    made = [row for row in home.catalog.registers() if row.seq in versions]
    yield from (AddRegister(*row) for row in made)
    for version, folder in versions.items():
        for path in sorted(folder.iterdir()):
            name = f"registers/{version:06d}/{path.name}"
            yield AddFile(name, digest_of(path), path.stat().st_size)
    for key, name in history_paths(made[-1]).items():
        yield SetPaid("history", *key, name)
    balances: dict[str, int] = msgspec.json.decode(audited["opening"])
    for record, detail in _audited_before(home, seq):
        number, postings = _postings_of(home, record.kind, detail)
        balances = apply(balances, postings)
        yield from keep_postings(number, detail.get("cycle", ""), postings)
        yield from _cycle_rows(home, record, detail)
    yield from keep_balances(balances)
    for batch in home.catalog.batches():
        if batch.seq < seq:
            summary = home.catalog.summary(batch.seq)
            yield AddBatch(*batch, home.catalog.manifest(batch.seq), summary)
    # Where the queue stands is told by the records of what wrote it anew, and who is bound by those
    # of funds.
    for record, detail in _audited_before(home, seq):
        is_recast = record.kind == "settlement" and "after" in detail
        if is_recast or record.kind in ("liquidity", CANCELLATION, EXPIRY):
            yield PutRecord(*record)
    for file in home.catalog.files():
        is_of_queue = file.path.endswith("/held.parquet") or file.path.startswith(
            (CANCELLED, EXPIRED)
        )
        # What accounts were sent in a month is told by clearing files.
        is_asked = is_of_queue or "/clearing/" in file.path
        if is_asked and (scratch / file.path).exists():
            yield AddFile(*file)
    for number, (key, cleared) in enumerate(sorted(_paid_before(home, seq).items())):
        bits = scratch / f"paid-{number:04d}.bits"
        paid_bits.write(bits, _words(cleared))
        yield AddFile(bits.name, digest_of(bits), bits.stat().st_size)
        yield SetPaid("cleared", *key, bits.name)


def _postings_of(home: Home, kind: str, detail: dict[str, Any]) -> tuple[int, list[Posting]]:
    """(batch or 0, postings) of an audit record. Those of a batch stand in the catalog alone."""
    if kind != "batch":
        return 0, [Posting(*posting) for posting in detail.get("postings", [])]
    posted = home.catalog.postings(detail["seq"])
    return detail["seq"], [Posting(*row[2:]) for row in posted]


def _cycle_rows(home: Home, record: Record, detail: dict[str, Any]) -> list[Change]:
    """Changes that an audit record made to a cycle of the calendar: its state, and positions of a
    batch."""
    if record.kind not in ("batch", "cycle", "settlement"):
        return []
    cycle = detail["cycle"]
    kept = home.catalog.cycle(cycle)
    if kept is None:
        return []  # The batch has settled at once.
    ended = detail["answer"]["state"] if record.kind == "settlement" else ""
    state = ended or {"batch": "OPEN", "cycle": "CLOSED"}[record.kind]
    changes: list[Change] = [PutCycle(cycle, kept.closes, state, record.at)]
    if record.kind == "batch":
        path = home.folder("batches", detail["seq"]) / "positions.parquet"
        positions = [Position(**row) for row in read_segment(path).to_pylist()]
        changes += keep_positions(cycle, positions)
    return changes


def _paid_before(home: Home, seq: int) -> dict[tuple[str, int], Any]:
    """Rows of the people who were cleared by the batches before one, and not taken back since, by
    (benefit, period)."""
    found: dict[tuple[str, int], list[Any]] = {}
    back = [(recast.after, went_back(home, recast)) for recast in recasts(home)]
    for number in range(1, seq):
        for _, path in answered(home.folder("batches", number)):
            groups = Groups(path)
            for group in range(len(groups)):
                lines = groups.read(group, ["row", "benefit", "period", "reason_number"])
                lines = lines.filter(pc.equal(lines["reason_number"], 0))
                for key, rows in _rows_by_key(lines):
                    found.setdefault(key, []).append(rows)
        for went in (lines for after, lines in back if after == number):
            for key, gone in _rows_by_key(went):
                rows = np.concatenate(found[key])
                found[key] = [rows[~np.isin(rows, gone)]]
    cleared = {key: np.concatenate(rows) for key, rows in found.items()}
    return {key: rows for key, rows in cleared.items() if len(rows)}


def _rows_by_key(lines: Any) -> Iterator[tuple[tuple[str, int], Any]]:
    """Rows of the people of some lines, by (benefit, period)."""
    keys = lines.select(["benefit", "period"]).group_by(["benefit", "period"])
    for key in keys.aggregate([]).to_pylist():
        mine = pc.and_(
            pc.equal(lines["benefit"], key["benefit"]), pc.equal(lines["period"], key["period"])
        )
        yield (key["benefit"], key["period"]), np.asarray(lines["row"].filter(mine))


def _words(rows: Any) -> Any:
    """Paid bits of rows, as words."""
    bits = np.zeros(64 * paid_bits.words_of(int(rows.max()) + 1), bool)
    bits[rows] = True
    return np.packbits(bits, bitorder="little").view("<u8")


def _compared(stored: Path, derived: Path, batch: str) -> dict[str, str]:
    """Logical digests of both; they must be equal."""
    left, right = logical_digests(stored), logical_digests(derived)
    if row_index.NAME not in left:
        right.pop(row_index.NAME)  # It is of before there were indexes.
    differ = sorted(name for name in {**left, **right} if left.get(name) != right.get(name))
    if differ:
        raise VerificationFailed(
            f"batch {batch!r} derived again is not the one committed: {', '.join(differ)} differ"
        )
    return left


def logical_digests(folder: Path) -> dict[str, str]:
    """The logical digest of every file of a batch, by name without suffix; of its manifest that of
    its postings alone, for the rest tells of its own home."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if path.name == row_index.NAME:
            found[path.name] = digest_of(path)
        elif path.suffix in (".parquet", ".arrow"):
            found[name] = logical_digest(read_segment(path))
        elif path.suffix == ".bits":
            found[name] = hashlib.sha256(np.trim_zeros(paid_bits.read(path), "b").data).hexdigest()
        else:
            document = msgspec.json.decode(path.read_bytes())
            if name == "manifest":
                name, document = "postings", document["postings"]
            content = msgspec.json.encode(document, order="deterministic")
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def logical_digest(table: Any) -> str:
    """SHA-256 over the rows of a table in canonical form: column by column in their order, its
    name, then every value as 8 bytes (integers) or as its length (-1 for null) and UTF-8."""
    whole = hashlib.sha256()
    for name, column in zip(table.schema.names, table.columns, strict=True):
        values = column.combine_chunks()
        whole.update(f"{name}\0{len(values)}\0".encode())
        if pa.types.is_integer(values.type):
            assert values.null_count == 0
            wide = pa.uint64() if pa.types.is_unsigned_integer(values.type) else pa.int64()
            whole.update(np.ascontiguousarray(np.asarray(values.cast(wide))).data)
            continue
        texts = values.cast(pa.large_string())
        filled = texts.fill_null("")
        _, offsets, data = filled.buffers()
        ends = np.frombuffer(offsets, np.int64, len(filled) + 1 + filled.offset)[filled.offset :]
        lengths = np.diff(ends)
        lengths[np.asarray(texts.is_null())] = -1
        whole.update(lengths.data)
        whole.update(memoryview(data or b"")[int(ends[0]) : int(ends[-1])] if len(ends) else b"")
    return whole.hexdigest()
