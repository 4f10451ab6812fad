"""The job in Polars: one left join of lines with people, an optimistic pass, every rule in full
only for the others.

Polars has no index that outlives a query: the join builds its hash table each time. Entitlements
are packed into 64 bits (person 40, benefit 10, month 14), so that `is_in` and `is_first_distinct`
hash integers. Distinct names only are normalised, by Arrow and numpy. POLARS_MAX_THREADS is set by
worker.py before the import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .columns import NO_NAME, OTHER_NAME, UNUSABLE, first_reason, limit_lookup
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
from .later import Later, Went

KEY = pl.UInt64


def entitlement() -> Any:
    """person 40 bits, benefit 10, month 14."""
    return (
        pl.col("person_id") * (1 << 24)
        + pl.col("benefit").cast(KEY) * (1 << 14)
        + pl.col("month").cast(KEY)
    )


def month_of(period: str) -> Any:
    years = pl.col(period) // 100
    return ((years - 1900) * 12 + pl.col(period) - years * 100 - 1).cast(pl.UInt16)


def codes_of(column: str, values: list[str], null: int = NO_CODE) -> Any:
    """UInt16 place in values; NO_CODE for other texts, null for nulls."""
    text = pl.col(column)
    known = text.cast(pl.Enum(values), strict=False).to_physical().cast(pl.UInt16)
    if null == NO_CODE:
        return known.fill_null(NO_CODE).alias(column)
    return pl.when(text.is_null()).then(null).otherwise(known.fill_null(NO_CODE)).cast(pl.UInt16)


def series(values: Any, dtype: Any = None) -> Any:
    return pl.Series("", values, dtype=dtype)


class ToolPeer(Peer):
    name = "polars"

    def __init__(self, job: Job, threads: int) -> None:
        super().__init__(job, threads)
        self.limits = limit_lookup(job)
        self.lines: Any = None
        self.result: dict[str, Any] = {}

    @staticmethod
    def version() -> str:
        return pl.__version__

    # --- the register ---------------------------------------------------------------------------

    def load_register(self, form: str) -> None:
        job = self.job
        self.later = Later(job)
        day = pl.lit(job.value_date)
        people = (
            pl.scan_parquet(job.path("population"))
            .select(
                "person_id",
                pl.when(
                    (pl.col("status").cast(pl.String) == "alive")
                    | (pl.col("status_since") > day).fill_null(False)
                )
                .then(0)
                .when(pl.col("status").cast(pl.String) == "deceased")
                .then(1)
                .otherwise(2)
                .cast(pl.UInt8)
                .alias("life"),
            )
            .collect()
        )
        people = people.with_columns(self._register_keys(form)).with_row_index("row")
        valid = (
            pl.scan_parquet(job.path("accounts"))
            .filter(
                (pl.col("valid_from") <= day).fill_null(True)
                & (pl.col("valid_to") >= day).fill_null(True)
            )
            .select(
                "person_id",
                pl.col("participant").cast(pl.String),
                "account",
                "priority",
                pl.col("valid_from").cast(pl.Int32).fill_null(-(2**31)),
            )
            .collect()
        )
        several = valid["person_id"].is_duplicated()
        rank = ["person_id", "priority", "valid_from", "participant", "account"]
        ranked = valid.filter(several).sort(rank).unique("person_id", keep="first")
        chosen = pl.concat([valid.filter(~several), ranked]).select(
            "person_id", codes_of("participant", job.participants), "account"
        )
        del valid, ranked
        people = people.join(chosen, on="person_id", how="left", maintain_order="left")
        limits = series(np.append(np.where(job.suspended, 0, job.amount_max), 0))
        known = pl.min_horizontal(pl.col("participant"), pl.lit(len(job.participants)))
        people = people.with_columns(pl.col("participant").fill_null(NOT_GIVEN)).with_columns(
            pl.when(pl.col("life") == 0)
            .then(pl.min_horizontal(pl.lit(limits).gather(known), job.clearing_limit))
            .otherwise(0)
            .alias("amount_max")
        )
        self.people = people.select("person_id", "row", "name_key", "amount_max", "participant")
        self.detail = people.select("life", "name_key")
        self.account = people["account"]
        paid = (
            pl.scan_parquet(job.path("paid"))
            .select(
                "person_id",
                codes_of("benefit", job.benefits),
                month_of("period").alias("month"),
            )
            .filter(pl.col("benefit") != NO_CODE)
            .select("month", entitlement().alias("entitlement"))
            .collect()
        )
        self.paid = {
            month: part["entitlement"]
            for (month,), part in paid.partition_by("month", as_dict=True).items()
        }

    def _register_keys(self, form: str) -> Any:
        if form == "memory":
            table = pq.read_table(self.job.path("population"), columns=["name"])
            key = engine_name_keys(table["name"])
            key[key == 0] = NO_NAME
            return series(key).alias("name_key")
        names = pl.read_parquet(self.job.path("population"), columns=["name"])["name"]
        index, texts = self._encode(names)
        folded, bad = fold_names(texts)
        again = folded.dictionary_encode()
        self.names = again.dictionary
        key = np.asarray(again.indices).astype(np.uint64) + np.uint64(1)
        key[bad] = NO_NAME
        return series(key).gather(index).alias("name_key")

    @staticmethod
    def _encode(names: Any) -> tuple[Any, Any]:
        """(place of each row's text among the distinct ones, those as pa.StringArray)."""
        # Arrow's dictionary encoding is faster than a cast to Categorical, or unique and a join.
        coded = names.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
        return pl.from_arrow(coded.indices), coded.dictionary.cast(pa.string())

    def _line_keys(self, texts: Any) -> Any:
        self.folded, bad = fold_names(texts)
        place = pc.fill_null(pc.index_in(self.folded, value_set=self.names), -1)
        place = np.asarray(place).astype(np.int64)
        key = np.where(place >= 0, (place + 1).astype(np.uint64), OTHER_NAME)
        key[bad] = UNUSABLE
        return series(key)

    # --- lines in memory ------------------------------------------------------------------------

    def load_lines(self, form: str) -> None:
        columns = engine_columns(self.job, keys=form == "memory")
        self.own_account = pl.from_arrow(columns.pop("account_texts"))
        self.texts = columns.pop("name_texts", None)
        self.lines = pl.DataFrame(columns)

    def prepare(self, form: str, out: Path) -> None:
        self.result = {}
        if form == "files":
            self.lines = None

    def screen(self, form: str) -> None:
        lines = self.lines
        if form == "names":
            key = self._line_keys(self.texts)
            lines = lines.with_columns(key.gather(lines["name_index"]).alias("name_key"))
        self._screen(lines)

    def _screen(self, lines: Any) -> None:
        job = self.job
        right = (
            (pl.col("name_key") == pl.col("name_key_right"))
            & (pl.col("amount") > 0)
            & (pl.col("amount") <= pl.col("amount_max"))
            & (pl.col("benefit") != NO_CODE)
            & (pl.col("debtor") != NO_CODE)
            & (pl.col("agent") == NOT_GIVEN)
        )
        frame = (
            lines.lazy()
            .select("person_id", "name_key", "amount", "benefit", "debtor", "agent", "month")
            .join(self.people.lazy(), on="person_id", how="left", maintain_order="left")
            .select(
                right.fill_null(False).alias("right"),
                "row",
                "participant",
                entitlement().alias("entitlement"),
            )
            .collect()
        )
        odd = frame["right"].not_().arg_true()
        went: Went = {}
        reason, participant = self._in_full(lines[odd], frame[odd], odd.to_numpy(), went)
        reason = pl.zeros(len(frame), pl.UInt8, eager=True).scatter(odd, reason)
        participant = frame["participant"].scatter(odd, participant)
        months = lines["month"].unique().to_list()
        paid = [self.paid[month] for month in months if month in self.paid]
        live = (reason == 0).arg_true()
        key = frame["entitlement"].gather(live)
        if paid:
            before = key.is_in(pl.concat(paid).implode()).arg_true()
            if len(before):
                reason = reason.scatter(live.gather(before), PAID_BEFORE)
                live = (reason == 0).arg_true()
                key = frame["entitlement"].gather(live)
        again = live.filter(~key.is_first_distinct())
        reason = reason.scatter(again, DUPLICATE)
        cleared = pl.DataFrame(
            {
                "debtor": lines["debtor"],
                "participant": participant,
                "amount": lines["amount"],
                "reason": reason,
            }
        )
        sums = (
            cleared.lazy()
            .filter(pl.col("reason") == 0)
            .group_by("debtor", "participant")
            .agg(pl.len().alias("count"), pl.col("amount").sum())
            .with_columns(pl.lit(series(job.debtor_agent)).gather(pl.col("debtor")).alias("agent"))
            .group_by("agent", "participant")
            .agg(pl.col("count").sum(), pl.col("amount").sum())
            .collect()
        )
        place = sums["agent"].to_numpy(), sums["participant"].to_numpy()
        self.result = {
            "reason": reason,
            "participant": participant,
            "went": went,
            "row": frame["row"],
            "pair_sum": job.pair_matrix(*place, sums["amount"].to_numpy()),
            "pair_count": job.pair_matrix(*place, sums["count"].to_numpy()),
        }

    def _in_full(self, lines: Any, found: Any, odd: Any, went: Went) -> tuple[Any, Any]:
        """Reason and receiver of the few lines that are not plainly right. odd: their numbers;
        went: takes those that go to a later account."""
        row = found["row"].fill_null(0)
        person = self.detail[row]
        reason, participant = first_reason(
            self.job,
            *(
                lines[n].to_numpy()
                for n in ("person_id", "name_key", "amount", "benefit", "debtor", "agent")
            ),
            found["row"].is_not_null().to_numpy(),
            person["life"].to_numpy(),
            person["name_key"].to_numpy(),
            found["participant"].fill_null(NOT_GIVEN).to_numpy(),
            self.limits,
        )
        ids, amount, agent = (lines[n].to_numpy() for n in ("person_id", "amount", "agent"))
        self.later.apply(went, odd, ids, amount, agent, reason, participant)
        return series(reason), series(participant)

    def answer(self, *, cleared: bool) -> Answer:
        reason = self.result["reason"].to_numpy()
        of_cleared = None
        if cleared:
            live = (self.result["reason"] == 0).arg_true()
            account = self._accounts(live, self.lines["agent"], self.own_account)
            of_cleared = (
                self.result["participant"].gather(live).to_numpy(),
                account.to_arrow().cast(pa.string()),
            )
        return self.job.answer(
            reason, self.result["pair_sum"], self.result["pair_count"], of_cleared
        )

    def _accounts(self, live: Any, agent: Any, own: Any) -> Any:
        registered = self.account.gather(self.result["row"].gather(live).fill_null(0))
        accounts = registered.zip_with(agent.gather(live) == NOT_GIVEN, own.gather(live))
        lines = self._went()
        places = live.search_sorted(series(lines, live.dtype)) if lines else []
        return accounts.scatter(places, [self.result["went"][line][0] for line in lines])

    def _went(self) -> list[int]:
        """Numbers of lines that cleared and went to a later account, ascending."""
        reason = self.result["reason"]
        return [line for line in sorted(self.result["went"]) if reason[line] == 0]

    # --- files ----------------------------------------------------------------------------------

    def run_files(self, out: Path) -> None:
        job = self.job
        lines = (
            pl.scan_parquet(job.path("payday"))
            .select(
                "line_no",
                "person_id",
                "person_name",
                "period",
                "amount",
                "creditor_account",
                codes_of("benefit", job.benefits),
                codes_of("debtor_account", job.debtors).alias("debtor"),
                codes_of("creditor_agent", job.participants, NOT_GIVEN).alias("agent"),
                month_of("period").alias("month"),
            )
            .collect()
        )
        index, texts = self._encode(lines["person_name"])
        lines = lines.with_columns(
            self._line_keys(texts).gather(index).alias("name_key"), index.alias("name_index")
        )
        self.lines = lines
        self._screen(lines)
        job.write_positions(
            out / "positions.parquet", self.result["pair_sum"], self.result["pair_count"]
        )
        self._write_status(out / "status.parquet", lines)
        self._write_clearing(out / "clearing", lines)

    def _write_status(self, path: Path, lines: Any) -> None:
        job, result = self.job, self.result
        reason = result["reason"]
        detail = series([None, *SENTENCES[1:]], pl.String).gather(reason)
        differs = (reason == 10).arg_true()
        if len(differs):
            said = self.folded.take(lines["name_index"].gather(differs).to_arrow()).to_pylist()
            key = self.detail["name_key"].gather(result["row"].gather(differs)).to_numpy()
            place = pa.array(key.astype(np.int64) - 1, mask=key == NO_NAME)
            known = self.names.take(place).to_pylist()
            texts = [name_differs(a, b or "") for a, b in zip(said, known, strict=True)]
            detail = detail.scatter(differs, texts)
        went = self._went()
        detail = detail.scatter(went, [result["went"][line][1] for line in went])
        cleared = pl.col("number") == 0
        routed = cleared | (pl.col("number") > 12)
        frame = pl.DataFrame(
            {
                "line_no": lines["line_no"],
                "number": reason,
                "reason_detail": detail,
                "receiver": result["participant"],
            }
        ).lazy()
        self._write(
            frame.select(
                "line_no",
                pl.lit(series(STATUSES)).gather(pl.col("number")).alias("status"),
                pl.lit(series(ISO_CODES, pl.String)).gather(pl.col("number")).alias("reason"),
                "reason_detail",
                pl.when(cleared).then(self._transfer()).alias("transfer_id"),
                pl.lit(series(job.participants))
                .gather(pl.when(routed).then(pl.col("receiver")))
                .alias("participant"),
                pl.when(cleared).then(pl.lit(job.cycle)).alias("cycle"),
            ).collect(),
            path,
        )

    def _transfer(self) -> Any:
        number = pl.col("line_no").cast(pl.String).str.zfill(10)
        return pl.concat_str(pl.lit(self.job.transfer_prefix), number)

    def _write_clearing(self, folder: Path, lines: Any) -> None:
        job = self.job
        folder.mkdir()
        live = (self.result["reason"] == 0).arg_true()
        account = self._accounts(live, lines["agent"], lines["creditor_account"])
        cleared = (
            lines.select("line_no", "person_name", "amount", "period", "benefit", "debtor")[live]
            .lazy()
            .select(
                pl.lit(self.result["participant"].gather(live)).alias("participant"),
                self._transfer().alias("transfer_id"),
                pl.lit(None, pl.String).alias("end_to_end_id"),
                pl.lit(account).alias("creditor_account"),
                pl.col("person_name").alias("creditor_name"),
                "amount",
                pl.lit(series(job.purposes)).gather(pl.col("benefit")).alias("purpose"),
                "period",
                pl.lit(series(job.debtors)).gather(pl.col("debtor")).alias("debtor_account"),
            )
            .collect()
        )
        parts = cleared.partition_by(
            "participant", maintain_order=True, include_key=False, as_dict=True
        )
        for (participant,), part in parts.items():
            self._write(part, folder / f"{job.participants[participant]}.parquet")

    @staticmethod
    def _write(frame: Any, path: Path) -> None:
        frame.write_parquet(path, compression="zstd", compression_level=1, statistics=False)
