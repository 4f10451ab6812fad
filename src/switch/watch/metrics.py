"""Metrics: numbers of a home for a monitor, in the text format of Prometheus.

Labels name institutions, states and reasons, and never a person, an account or a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from switch.errors import EnvironmentFailed
from switch.home.store import Home
from switch.results import Now
from switch.watch.alarms import RESOLVED, alarms
from switch.watch.conditions import Limits, rules
from switch.watch.sight import Sight, moment_of

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Gauge(NamedTuple):
    """A metric: its name, which ends in its unit, its labels, and what it says."""

    name: str
    labels: tuple[str, ...]
    text: str


GAUGES = (
    Gauge("switch_time_seconds", (), "Time of the home, as it was said last (Unix)."),
    Gauge("switch_audit_records", (), "Records of the audit chain."),
    Gauge("switch_register_version", (), "Version of the registers."),
    Gauge("switch_disk_free_bytes", (), "Free bytes on the disk of the home."),
    Gauge("switch_batches", ("state",), "Batches by state."),
    Gauge("switch_lines", ("state",), "Lines of all batches by where they stand now."),
    Gauge("switch_lines_dong", ("state",), "Their money."),
    Gauge("switch_reason_lines", ("status", "reason"), "Lines held or refused by their runs."),
    Gauge("switch_cycles", ("state",), "Cycles by state."),
    Gauge("switch_cycle_lines", ("cycle", "state"), "Lines of cycles that have not settled."),
    Gauge("switch_cycle_dong", ("cycle", "state"), "Their money."),
    Gauge("switch_cycle_closes_seconds", ("cycle",), "Their cut-off (Unix)."),
    Gauge("switch_owed_dong", ("participant", "cycle"), "Debits that have a cap or need funds."),
    Gauge("switch_room_dong", ("participant", "cycle"), "Money that may be owed besides."),
    Gauge("switch_awaited_lines", ("participant",), "Settled lines without an answer."),
    Gauge("switch_awaited_dong", ("participant",), "Their money."),
    Gauge("switch_overdue_lines", ("participant",), "Those beyond the deadline for answers."),
    Gauge("switch_awaited_since_seconds", ("participant",), "Settlement of the oldest (Unix)."),
    Gauge("switch_breaks", ("class", "severity"), "Open breaks that nobody has accepted."),
    Gauge("switch_breaks_dong", ("class", "severity"), "Money at stake in them."),
    Gauge("switch_budget_dong", ("programme", "part"), "Budgets, by what became of them."),
    Gauge("switch_closings_due", (), "Days that are not closed."),
    Gauge("switch_alarms", ("rule", "severity", "level", "state"), "Alarms that are there."),
)
"""All metrics, in their order."""

Sample = tuple[str, tuple[str, ...], float]
"""Name, values of the labels, value."""


def metrics(
    home: Home, at: str = "", *, limits: Limits | None = None, spool: str = "",
    sight: Sight | None = None,
) -> str:  # fmt: skip
    """The metrics of a home as text (`Watch.metrics`). sight: of it, where it was looked at. Raises
    EnvironmentFailed where prometheus-client is not installed."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.core import GaugeMetricFamily
    except ImportError as error:
        raise EnvironmentFailed(
            "metrics need prometheus-client: pip install 'payment-switch[http]'"
        ) from error
    seen = sight or Sight(home, at)
    found: dict[str, list[Sample]] = {gauge.name: [] for gauge in GAUGES}
    for sample in samples(seen, limits or Limits(), spool):
        found[sample[0]].append(sample)

    class Collector:
        def collect(self) -> Iterable[Metric]:
            for gauge in GAUGES:
                family = GaugeMetricFamily(gauge.name, gauge.text, labels=gauge.labels)
                for _, labels, value in found[gauge.name]:
                    family.add_metric(labels, value)
                yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return generate_latest(registry).decode()


def samples(seen: Sight, limits: Limits, spool: str = "") -> Iterator[Sample]:
    """All samples of a home; of one without batches those of the machine."""
    heads = seen.home.catalog.heads()
    yield "switch_audit_records", (), heads.seq
    yield "switch_register_version", (), seen.home.catalog.register_seq()
    yield "switch_disk_free_bytes", (), seen.free_bytes
    yield from _alarms(seen, limits, spool)
    if not seen.times.now:
        return
    yield "switch_time_seconds", (), moment_of(seen.times.now).timestamp()
    yield from _lines(seen)
    yield from _cycles(seen)
    yield from _awaited(seen)
    yield from _breaks(seen)
    for row in seen.status.budgets:
        for part in ("budget", "reserved", "consumed", "released", "available"):
            value = row[part]
            if value is not None:
                yield "switch_budget_dong", (row["programme"], part), value
    yield "switch_closings_due", (), len(seen.status.open["days"]["open"])


def _alarms(seen: Sight, limits: Limits, spool: str) -> Iterator[Sample]:
    """Every alarm that is there, also those that a storm stands for."""
    table = alarms(seen.home, limits=limits, spool=spool, sight=seen, rule=list(rules())).rows()
    keys = ("rule", "severity", "level", "state")
    counts = Counter(tuple(str(r[k]) for k in keys) for r in table if r["state"] != RESOLVED)
    for labels, count in sorted(counts.items()):
        yield "switch_alarms", labels, count


def _lines(seen: Sight) -> Iterator[Sample]:
    rows = seen.status.batches
    for state, count in sorted(Counter(row["state"] for row in rows).items()):
        yield "switch_batches", (state,), count
    for state in Now.__annotations__:
        totals = [row["now"][state] for row in rows]  # type: ignore[literal-required]
        yield "switch_lines", (state,), sum(total["count"] for total in totals)
        yield "switch_lines_dong", (state,), sum(total["sum"] for total in totals)
    reasons: Counter[tuple[str, str]] = Counter()
    for summary in seen.present.summaries.values():
        for one in summary["reasons"]:
            reasons[one["status"], one["reason"]] += one["count"]
    for labels, count in sorted(reasons.items()):
        yield "switch_reason_lines", labels, count


def _cycles(seen: Sight) -> Iterator[Sample]:
    for state, count in sorted(Counter(str(row["state"]) for row in seen.cycles).items()):
        yield "switch_cycles", (state,), count
    for row in seen.cycles:
        if row["state"] in ("OPEN", "CLOSED"):
            labels = row["cycle"], row["state"]
            yield "switch_cycle_lines", labels, row["lines"]
            yield "switch_cycle_dong", labels, row["sum"]
            yield "switch_cycle_closes_seconds", labels[:1], moment_of(row["closes"]).timestamp()
    for one in seen.owed:
        yield "switch_owed_dong", (one.participant, one.cycle), one.owes
        yield "switch_room_dong", (one.participant, one.cycle), one.room


def _awaited(seen: Sight) -> Iterator[Sample]:
    lines: Counter[str] = Counter()
    money: Counter[str] = Counter()
    overdue: Counter[str] = Counter()
    since: dict[str, float] = {}
    for row in seen.awaited:
        code, settled = row["participant"], moment_of(row["settled_at"]).timestamp()
        lines[code] += row["lines"]
        money[code] += row["sum"]
        overdue[code] += row["lines"] if row["overdue"] else 0
        since[code] = min(since.get(code, settled), settled)
    for name, values in (
        ("switch_awaited_lines", lines),
        ("switch_awaited_dong", money),
        ("switch_overdue_lines", overdue),
        ("switch_awaited_since_seconds", since),
    ):
        for code in sorted(lines):
            yield name, (code,), values[code]


def _breaks(seen: Sight) -> Iterator[Sample]:
    counts: Counter[tuple[str, str]] = Counter()
    money: Counter[tuple[str, str]] = Counter()
    for row in seen.breaks:
        counts[row["class"], row["severity"]] += 1
        money[row["class"], row["severity"]] += row["value"] or 0
    for name, values in (("switch_breaks", counts), ("switch_breaks_dong", money)):
        for labels in sorted(counts):
            yield name, labels, values[labels]
