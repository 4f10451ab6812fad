"""The job in Polars: lazy frames over Parquet files, or frames in memory."""

from __future__ import annotations

from typing import Any

import polars as pl

from .generator import VALUE_DAY
from .job import ANSWER, FEES, Peer

DAY_US = 86_400_000_000
ID, ACCOUNT, AMOUNT = pl.col("transfer_id"), pl.col("account"), pl.col("amount")
R_ID, R_ACCOUNT, R_AMOUNT = pl.col("r_id"), pl.col("r_account"), pl.col("r_amount")
APART = (pl.col("r_day") - pl.col("day")).abs()
REFUSED = pl.col("status").fill_null("") == "RJCT"
VERDICT = (
    pl.when(pl.col("currency").fill_null("VND") != "VND").then(pl.lit("CURRENCY"))
    .when(REFUSED & (APART > 0)).then(pl.lit("STATUS"))
    .when((AMOUNT != R_AMOUNT) & (AMOUNT - R_AMOUNT).abs().is_in(FEES)).then(pl.lit("FEE"))
    .when(AMOUNT != R_AMOUNT).then(pl.lit("AMOUNT"))
    .when(((ID != R_ID) | (ACCOUNT != R_ACCOUNT)).fill_null(False)).then(pl.lit("REFERENCE"))
    .when((APART > 1) & ~REFUSED).then(pl.lit("TIMING"))
    .otherwise(pl.lit("MATCHED")).alias("verdict")
)  # fmt: skip
LINE, SAID = pl.col("row"), pl.col("r_row")


class ToolPeer(Peer):
    name = "polars"
    loaded: dict[str, pl.DataFrame] | None = None

    @staticmethod
    def version() -> str:
        return pl.__version__

    def _sources(self) -> dict[str, pl.LazyFrame]:
        job = self.job
        lines, answers = pl.scan_parquet(job.lines), pl.scan_parquet(job.answers)
        if job.payday:
            lines = lines.select(
                "transfer_id", "end_to_end_id", "amount", account="creditor_account",
                at=pl.lit(VALUE_DAY * DAY_US),
            )  # fmt: skip
            answers = answers.select(
                "transfer_id", "amount", end_to_end_id=pl.lit(None, pl.String),
                account="creditor_account", at=pl.col("booked_at").dt.epoch("us"),
                currency=pl.lit(None, pl.String), status=pl.col("status").cast(pl.String),
            )  # fmt: skip
        else:
            lines = lines.drop("currency", "status")
        day = (pl.col("at") // DAY_US).alias("day")
        short = {"transfer_id": "r_id", "end_to_end_id": "r_e2e"}
        names = {c: f"r_{c}" for c in ("row", "account", "amount", "day", "at")} | short
        return {
            "lines": lines.with_columns(day).with_row_index("row"),
            "answers": answers.with_columns(day).with_row_index("row").rename(names),
            "returned": pl.scan_parquet(job.returns).select("transfer_id")
            if job.payday
            else pl.LazyFrame({"transfer_id": pl.Series([], dtype=pl.String)}),
        }

    def load(self) -> None:
        self.loaded = {name: frame.collect() for name, frame in self._sources().items()}

    def solve(self) -> Any:
        frames = self.loaded or {n: frame.collect() for n, frame in self._sources().items()}
        lines, answers = frames["lines"], frames["answers"]
        found: list[tuple[str, pl.DataFrame]] = []

        def tell(side: str, rows: pl.DataFrame, key: str) -> None:
            told = rows.select(row=pl.col(key), verdict="verdict")
            found.append((side, told.filter(pl.col("verdict") != "MATCHED")))

        def both(pairs: pl.DataFrame) -> None:
            tell("lines", pairs.unique("row"), "row")
            tell("answers", pairs.unique("r_row"), "r_row")

        pairs = lines.join(answers, left_on="transfer_id", right_on="r_id", coalesce=False)
        pairs = pairs.with_columns(VERDICT)
        crowded = pairs["row"].is_duplicated() | pairs["r_row"].is_duplicated()
        both(pairs.filter(~crowded))
        self._crowd(pairs.filter(crowded), tell)
        left = lines.join(pairs, on="row", how="anti")
        right = answers.join(pairs, on="r_row", how="anti")
        named = left.join(right, left_on="end_to_end_id", right_on="r_e2e").with_columns(VERDICT)
        both(named)
        left, right = (
            left.join(named, on="row", how="anti"),
            right.join(named, on="r_row", how="anti"),
        )
        near = left.join(
            right, left_on=["account", "amount"], right_on=["r_account", "r_amount"], coalesce=False
        ).filter(APART <= 1).with_columns(VERDICT)  # fmt: skip
        several = (pl.len().over("row") > 1) | (pl.len().over("r_row") > 1)
        both(near.with_columns(
            pl.when(several).then(pl.lit("AMBIGUOUS")).otherwise("verdict").alias("verdict")
        ))  # fmt: skip
        left, right = (
            left.join(near, on="row", how="anti"),
            right.join(near, on="r_row", how="anti"),
        )
        sums = left.group_by("account").agg(pl.len().alias("n"), pl.sum("amount")).join(
            right.group_by("r_account").agg(pl.len().alias("r_n"), pl.sum("r_amount")),
            left_on=["account", "amount"], right_on=["r_account", "r_amount"],
        )  # fmt: skip
        sums = sums.filter((pl.min_horizontal("n", "r_n") == 1) & (pl.col("n") + pl.col("r_n") > 2))
        right = right.rename({"r_row": "row", "r_id": "transfer_id", "r_account": "account",
                              "r_amount": "amount", "r_day": "day"})  # fmt: skip
        back = frames["returned"]["transfer_id"].implode()
        for side, rest in (("lines", left), ("answers", right)):
            status = pl.col("status") if side == "answers" else pl.lit(None, pl.String)
            verdict = (
                pl.when(ACCOUNT.is_in(sums["account"].implode()).fill_null(False))
                .then(pl.lit("SPLIT"))
                .when(self.job.as_of - pl.col("day") <= 1).then(pl.lit("PENDING"))
                .when(ID.is_null() & AMOUNT.abs().is_in(FEES)).then(pl.lit("FEE"))
                .when(status == "RTRN").then(pl.lit("RETURN_UNMATCHED"))
                .when((pl.lit(side) == "lines") & ID.is_in(back)).then(pl.lit("MATCHED"))
                .otherwise(pl.lit("MISSING")).alias("verdict")
            )  # fmt: skip
            tell(side, rest.with_columns(verdict), "row")
        return self._answer(lines, answers, found)

    def _crowd(self, crowd: pl.DataFrame, tell: Any) -> None:
        """Ids that stand twice on one side: a split, or the best pair and a duplicate."""
        better = [AMOUNT == R_AMOUNT, ACCOUNT.eq_missing(R_ACCOUNT)]
        crowd = crowd.sort([*better, "r_at"], descending=[True, True, False]).with_columns(
            several=pl.len().over("row") > 1
        )
        for one, many, of_one, of_many, part in (
            ("row", "r_row", "lines", "answers", crowd.filter(pl.col("several"))),
            ("r_row", "row", "answers", "lines", crowd.filter(~pl.col("several"))),
        ):
            mine, theirs = ("amount", "r_amount") if one == "row" else ("r_amount", "amount")
            split = pl.col(theirs).sum().over(one) == pl.col(mine)
            first = pl.int_range(pl.len()).over(one) == 0
            told = part.with_columns(
                pl.when(split).then(pl.lit("SPLIT")).when(first).then("verdict")
                .otherwise(pl.lit("DUPLICATE")).alias("verdict")
            )  # fmt: skip
            tell(of_many, told, many)
            tell(of_one, told.filter(first), one)

    def _answer(self, lines: Any, answers: Any, found: list[Any]) -> Any:
        parts, broken = [], []
        answers = answers.rename({"r_row": "row", "r_id": "transfer_id",
                                  "r_account": "account", "r_amount": "amount"})  # fmt: skip
        for side, table in (("lines", lines), ("answers", answers)):
            told = pl.concat([t for name, t in found if name == side])
            rows = table.join(told, on="row")
            if "participant" in rows.columns:
                broken.append(rows.filter(pl.col("verdict") != "PENDING")["participant"])
            parts.append(rows.select(
                pl.lit(side).alias("side"), "transfer_id", "account", "amount", "verdict"
            ))  # fmt: skip
        if not self.job.payday:
            declared = pl.read_parquet(self.job.folder / "totals.parquet")
            sums = lines.group_by("participant").agg(pl.sum("amount").alias("sum"))
            drift = declared.join(sums, on="participant").filter(
                (AMOUNT != pl.col("sum"))
                & ~pl.col("participant").is_in(pl.concat(broken).implode())
            )
            parts.append(drift.select(
                pl.lit("totals").alias("side"), transfer_id="participant",
                account=pl.lit(None, pl.String), amount="amount", verdict=pl.lit("TOTAL_DRIFT"),
            ))  # fmt: skip
        return pl.concat(parts).to_arrow().cast(ANSWER)
