"""The job in DuckDB: SQL over tables in memory.

CASE asks its arms of fewer and fewer rows: the first takes what is plainly right, so the rules in
full cost next to nothing. Who counts for whom is settled when the register is loaded; the hash
join of lines and people is DuckDB's, made anew by every query. Distinct names only are normalised,
by Arrow and numpy (faster than strip_accents and regexp_replace here). Rows carry their line
number instead of standing in table order, except where files want the order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .job import (
    DUPLICATE,
    ISO_CODES,
    NO_CODE,
    NOT_GIVEN,
    PAID_BEFORE,
    SENTENCES,
    STATUSES,
    Answer,
    Job,
    Peer,
    engine_columns,
    engine_name_keys,
    fold_names,
    name_differs,
)
from .later import Later

PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
OTHER, UNUSABLE = 2**64 - 2, 0

SCREEN = """
CREATE OR REPLACE TEMP TABLE screened AS
SELECT l.line_no, l.debtor, l.amount, l.benefit, l.month, {carry}
    p.row AS row,
    CASE
        WHEN l.name_key = p.name_key AND l.amount BETWEEN 1 AND p.amount_max
            AND l.benefit <> {no_code} AND l.debtor <> {no_code} AND l.agent = {not_given}
            THEN CASE WHEN paid.person_id IS NULL THEN 0 ELSE {paid_before} END
        WHEN l.amount <= 0 THEN 1
        WHEN l.amount > {limit} THEN 2
        WHEN l.benefit = {no_code} THEN 3
        WHEN l.debtor = {no_code} THEN 4
        WHEN l.person_id >= 1000000000000 THEN 5
        WHEN l.name_key = 0 THEN 6
        WHEN p.person_id IS NULL THEN 7
        WHEN p.life = 1 THEN 8
        WHEN p.life = 2 THEN 9
        WHEN l.name_key <> p.name_key THEN 10
        WHEN l.agent = {not_given} AND p.participant = {not_given} THEN 11
        WHEN (CASE WHEN l.agent = {not_given} THEN p.participant ELSE l.agent END) = {no_code}
            THEN 12
        WHEN {suspended}[1 + (CASE WHEN l.agent = {not_given} THEN p.participant ELSE l.agent END)]
            THEN 13
        WHEN l.amount > {amount_max}[
            1 + (CASE WHEN l.agent = {not_given} THEN p.participant ELSE l.agent END)] THEN 14
        WHEN paid.person_id IS NOT NULL THEN {paid_before}
        ELSE 0
    END::UTINYINT AS reason,
    CASE WHEN l.agent = {not_given} THEN p.participant ELSE l.agent END AS participant
FROM {lines} l
LEFT JOIN people p ON l.person_id = p.person_id
LEFT JOIN (
    SELECT person_id, benefit, month FROM paid WHERE month IN (SELECT DISTINCT month FROM {lines})
) paid ON l.person_id = paid.person_id AND l.benefit = paid.benefit AND l.month = paid.month
"""

DUPLICATES = """
CREATE OR REPLACE TEMP TABLE again AS
WITH live AS (
    SELECT line_no, (row::UBIGINT << 32) | (benefit::UBIGINT << 16) | month::UBIGINT AS entitlement
    FROM screened WHERE reason = 0
), several AS (
    SELECT entitlement, min(line_no) AS first FROM live GROUP BY entitlement HAVING count(*) > 1
)
SELECT line_no FROM live JOIN several USING (entitlement) WHERE line_no > first
"""

LEFT_OVER = """
SELECT s.line_no, l.person_id, s.amount, EXISTS (
    SELECT 1 FROM paid
    WHERE paid.person_id = l.person_id AND paid.benefit = s.benefit AND paid.month = s.month)
FROM screened s JOIN lines l USING (line_no)
WHERE s.reason BETWEEN 12 AND 14 AND l.agent = {not_given}
"""

POSITIONS = """
SELECT d.agent, s.participant, sum(s.lines)::BIGINT AS lines, sum(s.amount)::BIGINT AS total
FROM (
    SELECT debtor, participant, count(*) AS lines, sum(amount) AS amount
    FROM screened WHERE reason = 0 GROUP BY debtor, participant
) s JOIN debtors d ON s.debtor = d.debtor
GROUP BY ALL
"""


def _list(texts: list[Any]) -> str:
    """A constant list of texts."""
    quoted = ("NULL" if t is None else "'" + t.replace("'", "''") + "'" for t in texts)
    return f"[{', '.join(quoted)}]"


class ToolPeer(Peer):
    name = "duckdb"

    def __init__(self, job: Job, threads: int) -> None:
        super().__init__(job, threads)
        self.db = duckdb.connect(":memory:", config={"threads": threads})
        # The first to probe stays the first: lines keep their order through the joins.
        self.db.execute("SET disabled_optimizers = 'build_side_probe_side,join_order'")
        self.pairs: Any = None
        participants = pa.table(
            {
                "participant": np.arange(len(job.participants), dtype=np.uint16),
                "code": job.participants,
                "suspended": job.suspended,
                "amount_max": np.minimum(job.amount_max, job.clearing_limit),
            }
        )
        self._table("participants", participants)
        self._table(
            "debtors",
            pa.table(
                {
                    "debtor": np.arange(len(job.debtors), dtype=np.uint16),
                    "account": job.debtors,
                    "agent": job.debtor_agent,
                }
            ),
        )
        self._table(
            "benefits",
            pa.table(
                {
                    "benefit": np.arange(len(job.benefits), dtype=np.uint16),
                    "code": job.benefits,
                    "purpose": job.purposes,
                }
            ),
        )
        number = np.arange(len(SENTENCES), dtype=np.uint8)
        self._table(
            "reasons",
            pa.table(
                {"reason": number, "iso": ISO_CODES, "status": STATUSES, "sentence": SENTENCES}
            ),
        )

    @staticmethod
    def version() -> str:
        return duckdb.__version__

    def _table(self, name: str, rows: Any) -> None:
        self.db.register("given", rows)
        self.db.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM given")
        self.db.unregister("given")

    # --- the register ---------------------------------------------------------------------------

    def load_register(self, form: str) -> None:
        job, db = self.job, self.db
        self.later = Later(job)
        day = f"DATE '{job.value_date}'"
        if form == "memory":
            key = self._register_keys(engine=True)
        else:
            key = self._register_keys(engine=False)
        db.execute(f"""
            CREATE OR REPLACE TEMP TABLE valid AS
            SELECT person_id, participant, account, priority, valid_from
            FROM '{job.path("accounts")}'
            WHERE (valid_from IS NULL OR valid_from <= {day})
                AND (valid_to IS NULL OR valid_to >= {day})""")
        # Most people have one valid account; only those of the others are ranked.
        db.execute("""
            CREATE OR REPLACE TEMP TABLE chosen AS
            WITH counted AS (SELECT person_id, count(*) AS n FROM valid GROUP BY person_id),
            several AS (
                SELECT person_id, unnest(arg_min(
                    {'participant': participant, 'account': account},
                    {'priority': priority, 'since': coalesce(valid_from, DATE '0001-01-01'),
                     'participant': participant, 'account': account}))
                FROM valid SEMI JOIN (SELECT person_id FROM counted WHERE n > 1) USING (person_id)
                GROUP BY person_id
            )
            SELECT person_id, participant, account
            FROM valid SEMI JOIN (SELECT person_id FROM counted WHERE n = 1) USING (person_id)
            UNION ALL SELECT person_id, participant, account FROM several""")
        clean = "p.life = 0 AND i.participant IS NOT NULL AND NOT i.suspended"
        db.execute(f"""
            CREATE OR REPLACE TABLE people AS
            SELECT p.person_id, p.name_key, p.row, p.life,
                CASE WHEN a.participant IS NULL THEN {NOT_GIVEN}
                    ELSE coalesce(i.participant, {NO_CODE}) END::USMALLINT AS participant,
                CASE WHEN {clean} THEN i.amount_max ELSE 0 END AS amount_max,
                a.account
            FROM (
                SELECT person_id, name_key, row,
                    CASE WHEN status = 'alive' OR status_since > {day} THEN 0
                        WHEN status = 'deceased' THEN 1 ELSE 2 END::UTINYINT AS life
                FROM ({key})
            ) p
            LEFT JOIN chosen a ON p.person_id = a.person_id
            LEFT JOIN participants i ON a.participant = i.code""")
        db.execute("DROP TABLE valid; DROP TABLE chosen; DROP TABLE IF EXISTS keyed")
        db.execute(f"""
            CREATE OR REPLACE TABLE paid AS
            SELECT DISTINCT person_id, b.benefit,
                ((period // 100 - 1900) * 12 + period % 100 - 1)::USMALLINT AS month
            FROM '{job.path("paid")}' h JOIN benefits b ON h.benefit = b.code""")

    def _register_keys(self, *, engine: bool) -> str:
        """A query of the population with name_key (and row), which is a 64-bit key of the engine's
        or the number of the canonical name."""
        path = self.job.path("population")
        if engine:
            columns = ["person_id", "name", "status", "status_since"]
            table = pq.read_table(path, columns=columns, use_threads=self.threads > 1)
            key = engine_name_keys(table["name"])
            key[key == 0] = 2**64 - 1
            row = np.arange(len(key), dtype=np.uint32)
            table = table.drop_columns(["name"])
            self._table(
                "keyed",
                table.append_column("name_key", pa.array(key)).append_column("row", pa.array(row)),
            )
            return "SELECT * FROM keyed"
        spelling = self.db.sql(f"SELECT DISTINCT name FROM '{path}'").to_arrow_table()["name"]
        spelling = spelling.combine_chunks()
        folded, bad = fold_names(spelling)
        encoded = folded.dictionary_encode()
        self.names = encoded.dictionary
        key = np.asarray(encoded.indices).astype(np.uint64) + np.uint64(1)
        key[bad] = 2**64 - 1
        self._table("spellings", pa.table({"name": spelling, "name_key": key}))
        return f"""
            SELECT p.person_id, p.status, p.status_since, s.name_key,
                p.file_row_number::UINTEGER AS row
            FROM read_parquet('{path}', file_row_number = true) p
            JOIN spellings s ON p.name = s.name"""

    # --- lines in memory ------------------------------------------------------------------------

    def load_lines(self, form: str) -> None:
        columns = engine_columns(self.job, keys=form == "memory")
        self.accounts = columns.pop("account_texts")
        self.texts = columns.pop("name_texts", None)
        columns["line_no"] = np.arange(1, self.job.lines + 1, dtype=np.uint32)
        self._table("lines", pa.table(columns))

    def prepare(self, form: str, out: Path) -> None:
        self.db.execute("DROP TABLE IF EXISTS screened; DROP TABLE IF EXISTS again")

    def screen(self, form: str) -> None:
        if form == "memory":
            self._screen("lines", "")
        else:
            self._name_table(self.texts)
            self._screen(
                "(SELECT l.*, n.name_key FROM lines l JOIN line_names n USING (name_index))", ""
            )

    def _name_table(self, texts: Any) -> Any:
        """line_names: key by place among the distinct names of the lines."""
        folded, bad = fold_names(texts)
        place = pc.fill_null(pc.index_in(folded, value_set=self.names), -1)
        place = np.asarray(place).astype(np.int64)
        key = np.where(place >= 0, (place + 1).astype(np.uint64), np.uint64(OTHER))
        key[bad] = UNUSABLE
        self.folded = folded
        index = np.arange(len(key), dtype=np.int32)
        self._table("line_names", pa.table({"name_index": index, "name_key": key}))
        return key

    def _screen(self, lines: str, carry: str) -> None:
        job, db = self.job, self.db
        db.execute(
            SCREEN.format(
                lines=lines,
                carry=carry,
                paid_before=PAID_BEFORE,
                no_code=NO_CODE,
                not_given=NOT_GIVEN,
                limit=job.clearing_limit,
                suspended=job.suspended.tolist(),
                amount_max=job.amount_max.tolist(),
            )
        )
        self._to_later()
        db.execute(DUPLICATES)
        db.execute(
            f"UPDATE screened SET reason = {DUPLICATE} WHERE line_no IN (SELECT line_no FROM again)"
        )
        rows = db.execute(POSITIONS).fetchnumpy()
        place = (rows["agent"], rows["participant"])
        self.pairs = [job.pair_matrix(*place, rows[n]) for n in ("total", "lines")]

    def _to_later(self) -> None:
        """Let lines go to later accounts of their people: a handful, out of SQL and back."""
        rows = self.db.execute(LEFT_OVER.format(not_given=NOT_GIVEN)).fetchall()
        self.went, updates = {}, []
        for line_no, person, amount, is_paid in rows:
            chosen = self.later.choose(person, amount)
            if chosen is not None:
                participant, *self.went[line_no] = chosen
                updates.append((line_no, PAID_BEFORE if is_paid else 0, participant))
        if updates:
            columns = [list(column) for column in zip(*updates, strict=True)]
            table = pa.table(dict(zip(("line_no", "reason", "participant"), columns, strict=True)))
            self.db.register("later", table)
            self.db.execute("""
                UPDATE screened SET reason = later.reason, participant = later.participant
                FROM later WHERE screened.line_no = later.line_no""")
            self.db.unregister("later")

    def answer(self, *, cleared: bool) -> Answer:
        rows = self.db.execute("SELECT line_no, reason FROM screened").fetchnumpy()
        reasons = np.empty(self.job.lines, np.uint8)
        reasons[rows["line_no"] - 1] = rows["reason"]
        of_cleared = None
        if cleared:
            of = self.db.sql(f"""
                SELECT s.line_no, s.participant,
                    CASE WHEN l.agent = {NOT_GIVEN} THEN p.account END AS account
                FROM screened s JOIN lines l USING (line_no) JOIN people p USING (row)
                WHERE s.reason = 0 ORDER BY line_no""").to_arrow_table()
            own = self.accounts.take(pc.subtract(of["line_no"], pa.scalar(1, pa.uint32())))
            texts = pc.coalesce(of["account"].cast(pa.string()), own.cast(pa.string()))
            texts = texts.combine_chunks()
            went = [line in self.went for line in of["line_no"].to_pylist()]
            later = [self.went[n][0] for n in of["line_no"].to_pylist() if n in self.went]
            texts = pc.replace_with_mask(texts, pa.array(went), pa.array(later, pa.string()))
            of_cleared = (of["participant"].to_numpy(), texts)
        return self.job.answer(reasons, *self.pairs, of_cleared)

    # --- files ----------------------------------------------------------------------------------

    def run_files(self, out: Path) -> None:
        job, db = self.job, self.db
        db.execute(f"""
            CREATE OR REPLACE TEMP TABLE lines AS
            SELECT t.line_no, t.person_id, t.amount, t.person_name, t.period,
                t.creditor_account AS own_account,
                coalesce(b.benefit, {NO_CODE})::USMALLINT AS benefit,
                coalesce(d.debtor, {NO_CODE})::USMALLINT AS debtor,
                CASE WHEN t.creditor_agent IS NULL THEN {NOT_GIVEN}
                    ELSE coalesce(i.participant, {NO_CODE}) END::USMALLINT AS agent,
                ((t.period // 100 - 1900) * 12 + t.period % 100 - 1)::USMALLINT AS month
            FROM '{job.path("payday")}' t
            LEFT JOIN benefits b ON t.benefit = b.code
            LEFT JOIN debtors d ON t.debtor_account = d.account
            LEFT JOIN participants i ON t.creditor_agent = i.code""")
        spelling = db.sql("SELECT DISTINCT person_name FROM lines").to_arrow_table()
        spelling = spelling["person_name"].combine_chunks()
        key = self._name_table(spelling)
        index = np.arange(len(key), dtype=np.int32)
        self._table(
            "line_names",
            pa.table({"person_name": spelling, "name_key": key, "name_index": index}),
        )
        self._screen(
            "(SELECT * FROM lines JOIN line_names USING (person_name))",
            "l.name_index, p.name_key AS register_key, p.account,",
        )
        self._put_in_order()
        self._details()
        job.write_positions(out / "positions.parquet", *self.pairs)
        transfer = f"'{job.transfer_prefix}' || lpad(line_no::VARCHAR, 10, '0')"
        # Constant lists instead of joins, so that rows stream in the order in which they stand.
        participants = _list([*job.participants])
        db.execute(f"""
            COPY (
                SELECT line_no, {_list(STATUSES)}[1 + reason] AS status,
                    {_list(ISO_CODES)}[1 + reason] AS reason,
                    CASE WHEN reason = 10 OR name_index < 0
                        THEN getvariable('details')[abs(name_index)]
                        ELSE {_list([None, *SENTENCES[1:]])}[1 + reason] END AS reason_detail,
                    CASE WHEN reason = 0 THEN {transfer} END AS transfer_id,
                    CASE WHEN reason = 0 OR reason > 12 THEN {participants}[1 + participant] END
                        AS participant,
                    CASE WHEN reason = 0 THEN '{job.cycle}' END AS cycle
                FROM screened
            ) TO '{out}/status.parquet' ({PARQUET})""")
        self._write_clearing(out, transfer)

    def _put_in_order(self) -> None:
        """screened as the lines stand: it does already, unless the join was turned round."""
        ordered = "SELECT bool_and(line_no = rowid + 1) FROM screened"
        if not self.db.execute(ordered).fetchone()[0]:
            self.db.execute(
                "CREATE OR REPLACE TEMP TABLE screened AS SELECT * FROM screened ORDER BY line_no"
            )

    def _details(self) -> None:
        """The text of each line whose name differs or that went to a later account: in a list, its
        place in name_index, below zero for the latter."""
        rows = self.db.execute(
            "SELECT line_no, name_index, register_key FROM screened WHERE reason = 10"
        ).fetchnumpy()
        said = self.folded.take(pa.array(rows["name_index"])).to_pylist()
        key = np.asarray(rows["register_key"], np.uint64)
        known = pa.array(key.astype(np.int64) - 1, mask=key == np.uint64(2**64 - 1))
        registered = self.names.take(known).to_pylist()
        texts = [name_differs(a, b or "") for a, b in zip(said, registered, strict=True)]
        place = np.arange(1, len(texts) + 1, dtype=np.int32)
        numbers = list(self.went) or [0]
        cleared = self.db.execute(
            f"SELECT line_no FROM screened WHERE reason = 0 AND line_no IN {(*numbers, 0)}"
        ).fetchall()
        went = [line_no for (line_no,) in cleared]
        later = -np.arange(len(texts) + 1, len(texts) + len(went) + 1, dtype=np.int32)
        texts += [self.went[line_no][1] for line_no in went]
        line_no = np.concatenate([rows["line_no"], np.array(went, np.uint32)])
        place = np.concatenate([place, later])
        accounts = [self.went[n][0] if n in self.went else None for n in line_no.tolist()]
        given = pa.table({"line_no": line_no, "place": place})
        self.db.register("given", given.append_column("account", pa.array(accounts, pa.string())))
        self.db.execute("""
            UPDATE screened SET name_index = given.place,
                account = coalesce(given.account, screened.account) FROM given
            WHERE screened.line_no = given.line_no""")
        self.db.unregister("given")
        self.db.execute("SET VARIABLE details = ?", [texts])

    def _write_clearing(self, out: Path, transfer: str) -> None:
        """Cleared lines once as they will be written, then a filter of them for each receiver:
        scans keep the order, and cost less than sorting wide rows. PARTITION_BY would mix lines."""
        db, folder = self.db, out / "clearing"
        folder.mkdir()
        db.execute(f"""
            CREATE OR REPLACE TEMP TABLE clearing AS
            SELECT s.participant, {transfer} AS transfer_id, NULL::VARCHAR AS end_to_end_id,
                CASE WHEN l.agent = {NOT_GIVEN} THEN s.account ELSE l.own_account END
                    AS creditor_account,
                l.person_name AS creditor_name, s.amount,
                {_list(self.job.purposes)}[1 + s.benefit] AS purpose, l.period,
                {_list(self.job.debtors)}[1 + s.debtor] AS debtor_account
            FROM (SELECT * FROM screened) s POSITIONAL JOIN (
                SELECT agent, own_account, person_name, period FROM lines) l
            WHERE s.reason = 0""")
        codes = db.execute("SELECT DISTINCT participant FROM clearing").fetchall()
        for (participant,) in codes:
            path = folder / f"{self.job.participants[participant]}.parquet"
            db.execute(f"""
                COPY (SELECT * EXCLUDE (participant) FROM clearing
                    WHERE participant = {participant}) TO '{path}' ({PARQUET})""")
        db.execute("DROP TABLE clearing")

    def close(self) -> None:
        self.db.close()
