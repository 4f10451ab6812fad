"""What numpy and pandas share: registers as columns by person, lines from Parquet, files out.

All Arrow and numpy. A person's row is the place in the population register. `participant` is the
directory index of the account that counts on the value date, NO_CODE where the directory lacks it,
NOT_GIVEN where there is no account.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .job import (
    ISO_CODES,
    NO_CODE,
    NOT_GIVEN,
    SENTENCES,
    STATUSES,
    Answer,
    Job,
    encode,
    engine_name_keys,
    fold_names,
    name_differs,
)

MONTHS = 13200
NO_NAME = np.uint64(2**64 - 1)
"""Key of a register name that matches nothing."""
OTHER_NAME = np.uint64(2**64 - 2)
"""Key of a line's name that nobody in the register has."""
UNUSABLE = np.uint64(0)
ID_LIMIT = np.uint64(10**12)
DIFFERS = 10
ROUTED = (0, 13, 14, 15, 16)
"""Reasons of lines whose receiver is known."""


@dataclass
class People:
    """The population and account registers by row, as of the value date."""

    ids: Any
    """uint64"""
    life: Any
    """uint8: 0 paid as alive, 1 deceased, 2 missing or revoked"""
    key: Any
    """uint64 name key: 64-bit key of the engine's (memory), or 1 + place in `names`"""
    participant: Any
    """uint16"""
    account: Any
    """int32 place in account_texts, -1 for none"""
    account_texts: Any
    names: Any = None
    """Distinct canonical names (pa.StringArray)"""


def index_texts(values: list[str], dictionary: Any, unknown: int = NO_CODE) -> Any:
    """uint16 by place in a dictionary, unknown at the end for nulls."""
    index = {value: i for i, value in enumerate(values)}
    return np.array([*(index.get(v, unknown) for v in dictionary.to_pylist()), unknown], np.uint16)


def codes_of(column: Any, values: list[str], null: int = NO_CODE) -> Any:
    """uint16 place in values of a dictionary column's texts; NO_CODE unknown, null for nulls."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lookup = index_texts(values, array.dictionary)
    lookup[-1] = null
    indices = array.indices
    if indices.null_count:
        indices = pc.fill_null(indices, len(array.dictionary))
    return lookup[np.asarray(indices)]


def load_people(job: Job, form: str, threads: int, find: Any = None) -> People:
    """find(ids, wanted) -> int64 rows or -1, after the ids are known: the tool's own lookup."""
    table = pq.read_table(
        job.path("population"),
        columns=["person_id", "name", "status", "status_since"],
        use_threads=threads > 1,
    )
    ids = table["person_id"].to_numpy()
    status = table["status"].combine_chunks()
    kinds = ["alive", "deceased", "missing", "revoked"]
    life = index_texts(kinds, status.dictionary).astype(np.uint8)[np.asarray(status.indices)]
    life = np.minimum(life, 2)
    since = table["status_since"].combine_chunks().cast(pa.int32())
    later = np.asarray(pc.fill_null(since, -(2**31))) > job.value_day
    life[later] = 0
    names = table["name"]
    del table
    distinct = None
    if form == "memory":
        key = engine_name_keys(names)
        key[key == 0] = NO_NAME
    else:
        index, texts = encode(names)
        folded, bad = fold_names(texts)
        again = folded.dictionary_encode()
        lookup = np.asarray(again.indices).astype(np.uint64) + np.uint64(1)
        lookup[bad] = NO_NAME
        key = lookup[index]
        distinct = again.dictionary
        del index, texts, folded, again
    del names
    people = People(ids, life, key, None, None, None, distinct)
    find = find(people)
    _choose_accounts(job, people, find, threads)
    return people


def _choose_accounts(job: Job, people: People, find: Any, threads: int) -> None:
    """The account that counts: of those valid the first by priority, valid_from, participant,
    account. Only people with several valid ones are sorted."""
    table = pq.read_table(
        job.path("accounts"),
        columns=["person_id", "participant", "account", "priority", "valid_from", "valid_to"],
        use_threads=threads > 1,
    )
    day = job.value_day
    begins = np.asarray(pc.fill_null(table["valid_from"].cast(pa.int32()), -(2**31)))
    ends = np.asarray(pc.fill_null(table["valid_to"].cast(pa.int32()), 2**31 - 1))
    row = find(table["person_id"].to_numpy())
    valid = np.flatnonzero((begins <= day) & (ends >= day) & (row >= 0))
    row = row[valid]
    texts = table["account"].combine_chunks()
    chosen = np.full(len(people.ids), -1, np.int32)
    chosen[row] = valid
    several = np.flatnonzero(np.bincount(row, minlength=len(people.ids))[row] > 1)
    participant = table["participant"].combine_chunks()
    if len(several):
        at, who = valid[several], row[several]
        ranks = np.asarray(pc.rank(participant.dictionary, tiebreaker="dense"))
        account = np.asarray(pc.rank(texts.take(pa.array(at)), tiebreaker="dense"))
        order = np.lexsort(
            (
                account,
                ranks[np.asarray(participant.indices)[at]],
                begins[at],
                np.asarray(table["priority"])[at],
                who,
            )
        )
        who, at = who[order], at[order]
        first = np.ones(len(who), bool)
        first[1:] = who[1:] != who[:-1]
        chosen[who[first]] = at[first]
    by_account = codes_of(participant, job.participants)
    people.participant = np.where(chosen >= 0, by_account[chosen], np.uint16(NOT_GIVEN))
    people.account, people.account_texts = chosen, texts


def clean_people(job: Job, people: People) -> Any:
    """bool: people whose lines clear when name and amount are right."""
    known = people.participant < len(job.participants)
    active = np.append(~job.suspended, False)
    return (
        (people.life == 0) & known & active[np.minimum(people.participant, len(job.participants))]
    )


def load_paid(job: Job, threads: int) -> tuple[Any, Any, Any]:
    """(person_id, benefit, month) of the paid history; benefits that nobody knows left out."""
    table = pq.read_table(job.path("paid"), use_threads=threads > 1)
    benefit = codes_of(table["benefit"], job.benefits)
    known = benefit != NO_CODE
    month = months_of(table["period"].to_numpy())
    return table["person_id"].to_numpy()[known], benefit[known], month[known]


def months_of(period: Any) -> Any:
    """uint16 months since 1900-01 of yyyymm."""
    years = period // 100
    return ((years - 1900) * 12 + (period - years * 100) - 1).astype(np.uint16)


def limit_lookup(job: Job) -> Any:
    """int64[65536]: most that a line to a participant may have, by its code."""
    limits = np.full(1 << 16, job.clearing_limit, np.int64)
    limits[: len(job.participants)] = np.minimum(job.amount_max, job.clearing_limit)
    return limits


def read_lines(job: Job, people: People, threads: int) -> dict[str, Any]:
    """payday.parquet as the columns of engine_columns, names normalised to places in
    people.names, and what the clearing files carry through."""
    coded = ["benefit", "debtor_account", "creditor_agent"]
    table = pq.read_table(
        job.path("payday"),
        columns=[
            "line_no",
            "person_id",
            "person_name",
            "benefit",
            "period",
            "amount",
            "debtor_account",
            "creditor_agent",
            "creditor_account",
        ],
        read_dictionary=coded,
        use_threads=threads > 1,
    )
    name_index, name_texts = encode(table["person_name"])
    return {
        "line_no": table["line_no"].to_numpy(),
        "person_id": table["person_id"].to_numpy(),
        "amount": table["amount"].to_numpy(),
        "period": table["period"].to_numpy(),
        "month": months_of(table["period"].to_numpy()),
        "benefit": codes_of(table["benefit"], job.benefits),
        "debtor": codes_of(table["debtor_account"], job.debtors),
        "agent": codes_of(table["creditor_agent"], job.participants, NOT_GIVEN),
        "account_texts": table["creditor_account"],
        "name_index": name_index,
        "name_texts": name_texts,
    }


def name_codes(lines: dict[str, Any], people: People) -> Any:
    """uint64 name key of every line: 1 + place in people.names; names are normalised once each."""
    folded, bad = fold_names(lines["name_texts"])
    place = pc.index_in(folded, value_set=people.names)
    place = np.asarray(pc.fill_null(place, -1)).astype(np.int64)
    key = np.where(place >= 0, (place + 1).astype(np.uint64), OTHER_NAME)
    key[bad] = UNUSABLE
    lines["folded"] = folded
    return key[lines["name_index"]]


def first_reason(
    job: Job,
    ids: Any,
    key: Any,
    amount: Any,
    benefit: Any,
    debtor: Any,
    agent: Any,
    found: Any,
    life: Any,
    known_key: Any,
    participant: Any,
    limits: Any,
) -> tuple[Any, Any]:
    """(reason uint8, participant uint16) of the lines that are not obviously right: every rule,
    the last in precedence written first. found, life, known_key, participant: the person's."""
    participant = np.where(agent == NOT_GIVEN, participant, agent)
    suspended = np.append(job.suspended, False)
    at = np.minimum(participant, len(job.participants))
    reason = np.zeros(len(ids), np.uint8)
    reason[amount > limits[participant]] = 14
    reason[suspended[at]] = 13
    reason[participant == NO_CODE] = 12
    reason[participant == NOT_GIVEN] = 11
    reason[key != known_key] = DIFFERS
    reason[life == 2] = 9
    reason[life == 1] = 8
    reason[~found] = 7
    reason[key == UNUSABLE] = 6
    reason[ids >= ID_LIMIT] = 5
    reason[debtor == NO_CODE] = 4
    reason[benefit == NO_CODE] = 3
    reason[amount > job.clearing_limit] = 2
    reason[amount <= 0] = 1
    return reason, participant


def cleared_accounts(people: People, lines: dict[str, Any], order: Any, result: Any) -> Any:
    """Account texts (pa.StringArray) of the lines in order: their own, else the register's."""
    place = people.account[result["row"][order]]
    given = lines["agent"][order] != NOT_GIVEN
    texts = people.account_texts.take(pa.array(np.where(given, 0, place)))
    if given.any():
        own = lines["account_texts"].take(pa.array(order[given]))
        texts = pc.replace_with_mask(texts, pa.array(given), pa.chunked_array(own).combine_chunks())
    went = np.isin(order, list(result["went"]))
    if went.any():
        later = pa.array([result["went"][line][0] for line in order[went].tolist()])
        texts = pc.replace_with_mask(texts, pa.array(went), later)
    return texts


def answer_of(
    job: Job, people: People, lines: dict[str, Any], result: dict[str, Any], *, cleared: bool
) -> Answer:
    """The canonical answer of a result: reason, row, participant, pair_sum, pair_count."""
    of_cleared = None
    if cleared:
        order = np.flatnonzero(result["reason"] == 0)
        accounts = cleared_accounts(people, lines, order, result)
        of_cleared = (result["participant"][order], accounts)
    return job.answer(result["reason"], result["pair_sum"], result["pair_count"], of_cleared)


def transfer_ids(prefix: str, line_no: Any) -> Any:
    """pa.StringArray of prefix + line number in ten digits: one fixed-width byte matrix."""
    count, head = len(line_no), len(prefix)
    text = np.empty((count, head + 10), np.uint8)
    text[:, :head] = np.frombuffer(prefix.encode(), np.uint8)
    # Five digits at a time by table: two lookups instead of ten divisions.
    low = line_no % np.uint32(100_000)
    text[:, head : head + 5] = _FIVE[line_no // np.uint32(100_000)]
    text[:, head + 5 :] = _FIVE[low]
    offsets = np.arange(0, (count + 1) * (head + 10), head + 10, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))


_FIVE = np.array([list(b"%05d" % n) for n in range(100_000)], np.uint8)


def dictionary(values: list[Any], index: Any, nulls: Any = None) -> Any:
    """A dictionary array over distinct texts; values that are None become nulls."""
    at = pa.array(index, pa.int32(), mask=nulls)
    return pa.DictionaryArray.from_arrays(at, pa.array(values, pa.string()))


def _distinct(values: list[Any]) -> tuple[list[Any], Any]:
    kept = sorted({v for v in values if v is not None})
    return kept, np.array([kept.index(v) if v is not None else 0 for v in values], np.int32)


CHUNK = 1 << 20


def write_files(
    job: Job, people: People, lines: dict[str, Any], result: dict[str, Any], out: Path, threads: int
) -> None:
    """All files of the job, in chunks of a million rows; two threads write status and clearing
    at once."""
    (out / "clearing").mkdir()
    job.write_positions(out / "positions.parquet", result["pair_sum"], result["pair_count"])
    parts = (_write_status, _write_clearing)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: part(job, people, lines, result, out), parts))
    else:
        for part in parts:
            part(job, people, lines, result, out)


def _writer(path: Path, schema: Any, coded: list[str], delta: tuple[str, ...] = ()) -> Any:
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=coded,
        column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED") or None,
        write_statistics=False,
        store_schema=False,
    )


def _details(job: Job, people: People, lines: dict[str, Any], result: dict[str, Any]) -> Any:
    """(texts, index) of reason_detail: the sentences, then one text a line whose name differs or
    that went to a later account."""
    reason = result["reason"]
    at = reason.astype(np.int32)
    differs = np.flatnonzero(reason == DIFFERS)
    texts: list[Any] = list(SENTENCES)
    if len(differs):
        said = lines["folded"].take(pa.array(lines["name_index"][differs])).to_pylist()
        known = people.key[result["row"][differs]]
        known = people.names.take(
            pa.array(known.astype(np.int64) - 1, mask=known == NO_NAME)
        ).to_pylist()
        texts += [name_differs(a, b or "") for a, b in zip(said, known, strict=True)]
        at[differs] = np.arange(len(SENTENCES), len(SENTENCES) + len(differs))
    went = went_to_later(result)
    at[went] = np.arange(len(texts), len(texts) + len(went))
    texts += [result["went"][line][1] for line in went.tolist()]
    if len(texts) > len(SENTENCES):
        # A dictionary's values are distinct.
        texts, places = _distinct(texts)
        at = places[at]
    return texts, at


def went_to_later(result: dict[str, Any]) -> Any:
    """Numbers of lines that cleared and went to a later account, ascending."""
    went = np.array(sorted(result["went"]), np.int64)
    return went[result["reason"][went] == 0]


def _write_status(
    job: Job, people: People, lines: dict[str, Any], result: dict[str, Any], out: Path
) -> None:
    reason, participant = result["reason"], result["participant"]
    statuses, status_of = _distinct(STATUSES)
    codes, code_of = _distinct(ISO_CODES)
    details, detail = _details(job, people, lines, result)
    silent = reason == 0
    silent[went_to_later(result)] = False
    routed = np.zeros(len(SENTENCES), bool)
    routed[list(ROUTED)] = True
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [
            ("line_no", pa.uint32()),
            ("status", text),
            ("reason", text),
            ("reason_detail", text),
            ("transfer_id", pa.string()),
            ("participant", text),
            ("cycle", text),
        ]
    )
    coded = ["status", "reason", "reason_detail", "participant", "cycle"]
    with _writer(out / "status.parquet", schema, coded, ("line_no",)) as writer:
        for start in range(0, len(reason), CHUNK):
            part = slice(start, start + CHUNK)
            r, line_no = reason[part], lines["line_no"][part]
            refused = r != 0
            place = np.cumsum(~refused, dtype=np.int32) - 1
            ids = transfer_ids(job.transfer_prefix, line_no[~refused])
            writer.write_table(
                pa.Table.from_arrays(
                    [
                        pa.array(line_no),
                        dictionary(statuses, status_of[r]),
                        dictionary(codes, code_of[r], ~refused),
                        dictionary(details, detail[part], silent[part]),
                        ids.take(pa.array(place, mask=refused)),
                        dictionary(job.participants, participant[part], ~routed[r]),
                        dictionary([job.cycle], np.zeros(len(r), np.int32), refused),
                    ],
                    schema=schema,
                )
            )


def _write_clearing(
    job: Job, people: People, lines: dict[str, Any], result: dict[str, Any], out: Path
) -> None:
    participant = result["participant"]
    cleared = np.flatnonzero(result["reason"] == 0)
    # A stable sort of 16-bit numbers is a radix sort.
    order = cleared[np.argsort(participant[cleared], kind="stable")]
    ends = np.cumsum(np.bincount(participant[order], minlength=len(job.participants)))
    purposes, purpose_of = _distinct(job.purposes)
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [
            ("transfer_id", pa.string()),
            ("end_to_end_id", pa.string()),
            ("creditor_account", pa.string()),
            ("creditor_name", pa.string()),
            ("amount", pa.int64()),
            ("purpose", text),
            ("period", pa.int32()),
            ("debtor_account", text),
        ]
    )
    coded = ["amount", "purpose", "period", "debtor_account"]
    start = 0
    for i, end in enumerate(ends.tolist()):
        if start == end:
            continue
        path = out / "clearing" / f"{job.participants[i]}.parquet"
        with _writer(path, schema, coded) as writer:
            for at in range(start, end, CHUNK):
                rows = order[at : min(at + CHUNK, end)]
                names = lines["name_texts"].take(pa.array(lines["name_index"][rows]))
                writer.write_table(
                    pa.Table.from_arrays(
                        [
                            transfer_ids(job.transfer_prefix, lines["line_no"][rows]),
                            pa.nulls(len(rows), pa.string()),
                            cleared_accounts(people, lines, rows, result),
                            names,
                            pa.array(lines["amount"][rows]),
                            dictionary(purposes, purpose_of[lines["benefit"][rows]]),
                            pa.array(lines["period"][rows]),
                            dictionary(job.debtors, lines["debtor"][rows]),
                        ],
                        schema=schema,
                    )
                )
        start = end
