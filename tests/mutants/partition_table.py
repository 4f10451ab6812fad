"""Mutants of runs in shares: the mistake, the file, the text, its change, and the test."""

from __future__ import annotations

_PARTITION = "clearing/partition.py"
_PARTITIONED = "clearing/partitioned.py"
_REDUCED = "clearing/reduced.py"
_VERSIONS = "registry/versions.py"
_CLUSTER = "spark/cluster.py"
_TASK = "spark/task.py"
_TASKS = "spark/test_tasks.py::"
_TESTS = "clearing/test_partitioned.py::"
_SAME = _TESTS + "test_partitioned__any_number_of_shares_writes_the_same_bytes"
_PAIRS = _TESTS + "test_partitioned__who_was_paid_by_an_id_of_before_is_not_paid_again"
_REFUSED = _TESTS + "test_partitioned__settings_that_join_persons_are_refused_by_name"
_KILLED = _TESTS + "test_partitioned__a_process_that_is_killed_changes_nothing"
_RANGE = _TESTS + "test_reduced__sums_that_leave_64_bits_together_are_refused"
_FIND = _TESTS + "test_shares__have_each_person_once_and_find_what_the_whole_register_finds"

PARTITION = [
    (
        "lines are parted by the id that stands in the table",
        _PARTITIONED,
        "shares_of(self._replaced.of(lines.person_id), len(self._workers))",
        "shares_of(lines.person_id, len(self._workers))",
        _PAIRS,
    ),
    (
        "a share does not know the rows of ids of before",
        "registry/register.py",
        "self._pairs = chain.rows_of_pairs()",
        "self._pairs = None",
        _PAIRS,
    ),
    (
        "an account that a line names is looked for among all lines of the chunk",
        _PARTITIONED,
        '_named(np.asarray(answer.column("account")), places)',
        'np.asarray(answer.column("account"))',
        _SAME,
    ),
    (
        "words about a line are lost",
        _PARTITIONED,
        "words.update(zip(places[said].tolist(), texts, strict=True))",
        "pass",
        _SAME,
    ),
    (
        "a search ends where its share ends",
        _VERSIONS,
        'is_through = at - first, not slots["word"][at - 1]',
        "is_through = at - first, True",
        _FIND,
    ),
    (
        "the last hash of a share is that of the next",
        _VERSIONS,
        "((last - 1) * capacity >> 64) + 1",
        "(last - 1) * capacity >> 64",
        _FIND,
    ),
    (
        "a worker judges by whatever history it finds",
        _PARTITION,
        "if self._home.catalog.heads().link != task.link:",
        "if False:",
        _TESTS + "test_partitioned__a_home_that_moved_on_is_not_judged_by_its_past",
    ),
    (
        "a cap does not keep lines in one place",
        _PARTITION,
        "    if rooms:\n",
        "    if False:\n",
        _REFUSED,
    ),
    (
        "persons of an account are counted share by share",
        _PARTITION,
        "elif job.settings.accounts_shared_max is not msgspec.UNSET:",
        "elif False:",
        _REFUSED,
    ),
    (
        "a limit of a month is kept share by share",
        _PARTITION,
        "        if limited:\n",
        "        if False:\n",
        _REFUSED,
    ),
    (
        "sums of all shares may leave 64 bits",
        _REDUCED,
        "if max([0, *sums.values(), *benefits]) > INT64_MAX:",
        "if False:",
        _RANGE,
    ),
    (
        "who was cleared in a share takes the place of who was in another",
        _REDUCED,
        "bits |= found[benefit, month]",
        "pass",
        _TESTS + "test_reduced__joins_everyone_cleared_and_bounds_the_keys",
    ),
    (
        "the oldest rules of all shares are named",
        _REDUCED,
        "min((share.rule_set for share in shares)",
        "max((share.rule_set for share in shares)",
        _TESTS + "test_reduced__names_the_newest_rules_that_some_share_needs",
    ),
    (
        "a table is not cleared again where a process was lost",
        "clearing/payday.py",
        "tries = TRIES if isinstance(table, str | Path) else 1",
        "tries = 1",
        _KILLED,
    ),
    (
        "lines that had waited do not count as paid before for the table's own",
        _PARTITIONED,
        "[worker.seal() for worker in self._workers]",
        "[]",
        _TESTS + "test_partitioned__what_had_waited_counts_as_paid_before",
    ),
    (
        "a part counts whatever its bytes are",
        _CLUSTER,
        "if digest_of(path) != made.sha256:",
        "if False:",
        _TASKS + "test_part__that_was_changed_is_found",
    ),
    (
        "answers count whatever rows they are for",
        _CLUSTER,
        "if not found.select(ROWS.names).equals(rows):",
        "if False:",
        _TASKS + "test_part__of_other_rows_is_none_of_the_table",
    ),
    (
        "rows that were judged beyond those of the table are passed over",
        _CLUSTER,
        "raise _changed()\n        return known(self._made.before)",
        "pass\n        return known(self._made.before)",
        _TASKS + "test_part__of_other_rows_is_none_of_the_table",
    ),
    (
        "lines that wait are no share's",
        _TASK,
        "for batch in _waiting(task):",
        "for batch in ():",
        _TASKS + "test_tasks__make_what_one_process_makes",
    ),
    (
        "lines that wait are every share's",
        _TASK,
        "chosen = np.flatnonzero(share == task.number)",
        "chosen = np.flatnonzero(share >= 0)",
        _TASKS + "test_tasks__make_what_one_process_makes",
    ),
    (
        "a part has its name before it is whole",
        _TASK,
        'aside = folder / f".{task.name}-{os.getpid()}-{os.urandom(4).hex()}"',
        "aside = folder / task.name",
        _TASKS + "test_part__of_a_task_that_dies_has_no_name",
    ),
    (
        "a part is named by its run and share alone",
        _PARTITION,
        'whole = hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()',
        'whole = "0" * 64',
        _TASKS + "test_task__of_other_circumstances_has_another_name",
    ),
]
