"""The job in DuckDB: SQL over Parquet files, or over tables in memory."""

from __future__ import annotations

from typing import Any

import duckdb

from .generator import VALUE_DAY
from .job import ANSWER, FEES, Job, Peer

DAY_US = 86_400_000_000
PAIR = f"""
CASE WHEN coalesce(r.currency, 'VND') <> 'VND' THEN 'CURRENCY'
    WHEN coalesce(r.status, '') = 'RJCT' AND r.day <> l.day THEN 'STATUS'
    WHEN l.amount <> r.amount THEN
        CASE WHEN abs(l.amount - r.amount) IN {FEES} THEN 'FEE' ELSE 'AMOUNT' END
    WHEN l.transfer_id <> r.transfer_id OR l.account <> r.account THEN 'REFERENCE'
    WHEN abs(r.day - l.day) > 1 AND coalesce(r.status, '') <> 'RJCT' THEN 'TIMING'
    ELSE 'MATCHED' END
"""
# The first join keeps what its pairs need; then each step works on what the earlier ones left.
STEPS = f"""
CREATE OR REPLACE TEMP TABLE j AS
SELECT l.row AS lrow, r.row AS rrow, l.amount AS la, r.amount AS ra, r.stamp AS rat,
    l.account IS NOT DISTINCT FROM r.account AS same_account, {PAIR} AS verdict
FROM lines l JOIN answers r ON l.transfer_id = r.transfer_id;
CREATE OR REPLACE TEMP TABLE crowd AS
SELECT * FROM j WHERE lrow IN (SELECT lrow FROM j GROUP BY lrow HAVING count(*) > 1)
    OR rrow IN (SELECT rrow FROM j GROUP BY rrow HAVING count(*) > 1);
CREATE OR REPLACE TEMP TABLE v AS
SELECT 'lines' AS side, lrow AS row, verdict FROM j
    WHERE verdict <> 'MATCHED' AND lrow NOT IN (SELECT lrow FROM crowd)
UNION ALL SELECT 'answers', rrow, verdict FROM j
    WHERE verdict <> 'MATCHED' AND rrow NOT IN (SELECT rrow FROM crowd);
CREATE OR REPLACE TEMP TABLE best AS
SELECT *, least(count(*) OVER (PARTITION BY lrow), 2) AS answers_count,
    sum(ra) OVER (PARTITION BY lrow) AS sum_r, sum(la) OVER (PARTITION BY rrow) AS sum_l,
    row_number() OVER (PARTITION BY lrow ORDER BY (la = ra) DESC, same_account DESC, rat) AS nth_r,
    row_number() OVER (PARTITION BY rrow ORDER BY (la = ra) DESC, same_account DESC) AS nth_l
FROM crowd;
INSERT INTO v
SELECT 'answers', rrow, CASE WHEN sum_r = la THEN 'SPLIT' WHEN nth_r = 1 THEN verdict
    ELSE 'DUPLICATE' END FROM best WHERE answers_count = 2
UNION ALL SELECT DISTINCT 'lines', lrow, CASE WHEN sum_r = la THEN 'SPLIT' ELSE verdict END
    FROM best WHERE answers_count = 2 AND nth_r = 1
UNION ALL SELECT 'lines', lrow, CASE WHEN sum_l = ra THEN 'SPLIT' WHEN nth_l = 1 THEN verdict
    ELSE 'DUPLICATE' END FROM best WHERE answers_count = 1
UNION ALL SELECT 'answers', rrow, CASE WHEN sum_l = ra THEN 'SPLIT' ELSE verdict END
    FROM best WHERE answers_count = 1 AND nth_l = 1;
CREATE OR REPLACE TEMP TABLE l1 AS SELECT * FROM lines WHERE row NOT IN (SELECT lrow FROM j);
CREATE OR REPLACE TEMP TABLE r1 AS SELECT * FROM answers WHERE row NOT IN (SELECT rrow FROM j);
CREATE OR REPLACE TEMP TABLE j2 AS
SELECT l.row AS lrow, r.row AS rrow, {PAIR} AS verdict
FROM l1 l JOIN r1 r ON l.end_to_end_id = r.end_to_end_id;
CREATE OR REPLACE TEMP TABLE l2 AS SELECT * FROM l1 WHERE row NOT IN (SELECT lrow FROM j2);
CREATE OR REPLACE TEMP TABLE r2 AS SELECT * FROM r1 WHERE row NOT IN (SELECT rrow FROM j2);
CREATE OR REPLACE TEMP TABLE j3 AS
SELECT l.row AS lrow, r.row AS rrow, {PAIR} AS pair,
    count(*) OVER (PARTITION BY l.row) + count(*) OVER (PARTITION BY r.row) > 2 AS several,
    CASE WHEN several THEN 'AMBIGUOUS' ELSE pair END AS verdict
FROM l2 l JOIN r2 r ON l.account = r.account AND l.amount = r.amount AND abs(l.day - r.day) <= 1;
INSERT INTO v SELECT DISTINCT * FROM (
    SELECT 'lines', lrow, verdict FROM j2 UNION ALL SELECT 'answers', rrow, verdict FROM j2
    UNION ALL SELECT 'lines', lrow, verdict FROM j3
    UNION ALL SELECT 'answers', rrow, verdict FROM j3);
CREATE OR REPLACE TEMP TABLE l3 AS SELECT * FROM l2 WHERE row NOT IN (SELECT lrow FROM j3);
CREATE OR REPLACE TEMP TABLE r3 AS SELECT * FROM r2 WHERE row NOT IN (SELECT rrow FROM j3);
CREATE OR REPLACE TEMP TABLE sums AS
SELECT a.account FROM
    (SELECT account, count(*) AS n, sum(amount) AS s FROM l3 GROUP BY account) a
    JOIN (SELECT account, count(*) AS n, sum(amount) AS s FROM r3 GROUP BY account) b
    ON a.account = b.account AND a.s = b.s AND least(a.n, b.n) = 1 AND a.n + b.n > 2;
INSERT INTO v SELECT side, row,
    CASE WHEN account IN (SELECT account FROM sums) THEN 'SPLIT'
    WHEN {{as_of}} - day <= 1 THEN 'PENDING'
    WHEN transfer_id IS NULL AND abs(amount) IN {FEES} THEN 'FEE'
    WHEN coalesce(status, '') = 'RTRN' THEN 'RETURN_UNMATCHED'
    WHEN side = 'lines' AND transfer_id IN (SELECT transfer_id FROM returned) THEN 'MATCHED'
    ELSE 'MISSING' END
FROM (SELECT 'lines' AS side, row, account, day, transfer_id, amount, NULL AS status FROM l3
    UNION ALL SELECT 'answers', row, account, day, transfer_id, amount, status FROM r3);
"""
ANSWERS = """
SELECT v.side, t.transfer_id, t.account, t.amount, v.verdict
FROM v JOIN (SELECT 'lines' AS side, row, transfer_id, account, amount FROM {left}
    UNION ALL SELECT 'answers', row, transfer_id, account, amount FROM {right}) t
ON v.side = t.side AND v.row = t.row WHERE v.verdict <> 'MATCHED'
"""
TOTALS = """
UNION ALL SELECT 'totals', s.participant, NULL, d.amount, 'TOTAL_DRIFT'
FROM (SELECT participant, sum(amount) AS amount FROM lines GROUP BY participant) s
JOIN read_parquet('{totals}') d ON d.participant = s.participant
WHERE d.amount <> s.amount AND s.participant NOT IN (
    SELECT participant FROM lines WHERE row IN
        (SELECT row FROM v WHERE side = 'lines' AND verdict NOT IN ('MATCHED', 'PENDING'))
    UNION SELECT participant FROM answers WHERE row IN
        (SELECT row FROM v WHERE side = 'answers' AND verdict NOT IN ('MATCHED', 'PENDING')))
"""


class ToolPeer(Peer):
    name = "duckdb"
    loaded = False

    def __init__(self, job: Job, threads: int) -> None:
        super().__init__(job, threads)
        self.db = duckdb.connect(":memory:", config={"threads": threads})

    @staticmethod
    def version() -> str:
        return duckdb.__version__

    def _sources(self) -> dict[str, str]:
        job = self.job
        head = "SELECT row_number() OVER () AS row, transfer_id, amount"
        if not job.payday:
            rest = f"""participant, account, end_to_end_id, "at" AS stamp,
                "at" // {DAY_US} AS day"""
            return {
                "lines": f"{head}, {rest} FROM read_parquet({job.lines})",
                "answers": f"{head}, {rest}, currency, status FROM read_parquet({job.answers})",
                "returned": "SELECT NULL::VARCHAR AS transfer_id",
            }
        stamp = "epoch_us(booked_at)"
        return {
            "lines": f"""{head}, creditor_account AS account, end_to_end_id,
                {VALUE_DAY} AS day FROM read_parquet({job.lines})""",
            "answers": f"""{head}, creditor_account AS account, NULL::VARCHAR AS end_to_end_id,
                {stamp} AS stamp, {stamp} // {DAY_US} AS day, NULL::VARCHAR AS currency, status
                FROM read_parquet({job.answers})""",
            "returned": f"SELECT transfer_id FROM read_parquet({job.returns})",
        }

    def load(self) -> None:
        for name, query in self._sources().items():
            self.db.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")
        self.loaded = True

    def solve(self) -> Any:
        if not self.loaded:
            self.load()
            self.loaded = False
        self.db.execute(STEPS.replace("{as_of}", str(self.job.as_of)))
        query = ANSWERS.format(left="lines", right="answers")
        if not self.job.payday:
            query += TOTALS.format(totals=self.job.folder / "totals.parquet")
        return self.db.sql(query).to_arrow_table().cast(ANSWER)
