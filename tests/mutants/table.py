"""The mutants: a file of src/switch, the text that is changed, the mistake, the test that sees it.

The text must stand exactly once in its file. Short texts live longest; where one moves, its line
here moves with it (tests/test_mutants.py says which).
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    file: str
    what: str
    old: str
    new: str
    test: str
    """FILE::TEST below tests/."""


RUN = "test_run.py::test_run__"
REGISTER = "test_run.py::test_register__"
BAD = "test_bad_inputs.py::test_bad_inputs__"
FORMED = "test_well_formed.py::test_"
NAMES = "test_names.py::test_names__"
GIVEN = "test_given.py::test_given__"
MATCH = "test_match.py::test_match__"
GROUPS = "test_row_groups.py::test_"
WRITER = "test_parquet.py::test_writer__"
KERNELS = "test_kernels.py::test_"
COMMIT = "test_commit.py::test_"
COVER = "test_cover.py::test_cover__"
CYCLES = "test_cycles.py::test_settle__"
ABORT = "test_abort.py::test_abort__"
BUDGET = "test_funding.py::test_budget__"
BACK = "test_funding_back.py::test_budget__"
LARGE = "test_liquidity.py::test_by_value__decides_payments_that_are_bigger_than_a_lack"
SCARCE = (
    "test_liquidity_scarce.py::test_by_value__of_few_payments_and_little_money_is_near_the_optimum"
)
CALENDAR = "test_cycles.py::test_calendar__a_time_has_its_cycle"
SYNCED = "test_commit.py::test_commit__everything_is_synced_before_it_has_its_name"
SECOND = "test_second_writer.py::test_"
SIMULATION = "test_simulation.py::test_"

SCREEN = [
    ("an amount of zero is paid", "if amount <= 0:", "if amount < 0:",
     BAD + "wrong_line_has_a_reason"),
    ("the clearing limit itself is refused", "> rules.clearing_limit", ">= rules.clearing_limit",
     RUN + "amount_at_the_limits_is_fine"),
    ("a participant's limit itself is refused", "> rules.amount_max[code]",
     ">= rules.amount_max[code]", RUN + "amount_at_the_limits_is_fine"),
    ("a participant's limit is skipped", "if amount > rules.amount_max[code]:", "if False:",
     RUN + "answers_are_the_generators_truth"),
    ("suspended participants receive", "if rules.suspended[code]:", "if False:",
     RUN + "held_line_clears_when_its_participant_is_active_again"),
    ("who died on the value date is alive", "rules.since[low].day <= rules.value_day",
     "rules.since[low].day < rules.value_day", KERNELS + "screen__status_holds_from_its_day_on"),
    ("the search for a day steps over an entry", "low = middle + 1", "low = middle + 2",
     KERNELS + "screen__status_holds_from_its_day_on"),
    ("a listed account ends a day early", "<= rules.value_day <= rules.lists[at].valid_to",
     "<= rules.value_day < rules.lists[at].valid_to",
     RUN + "account_that_counts_on_the_value_date"),
    ("an account counts before its first day", "rules.value_day < person.valid_from", "False",
     RUN + "account_that_counts_on_the_value_date"),
    ("the dead are said to be missing", "life == DECEASED", "life != DECEASED",
     RUN + "answers_are_the_generators_truth"),
    ("who has an account is a known person", "if person.word & KNOWN == 0:",
     "if person.word == 0:", KERNELS + "screen__an_account_makes_nobody_known"),
    ("accounts of the table by the wrong line", "lines.first + i,", "i,",
     KERNELS + "core__threads_change_no_given_account"),
    ("the first number of 13 digits is an id", "lines.person_id[i] < ID_LIMIT",
     "lines.person_id[i] <= ID_LIMIT", FORMED + "id__any_twelve_digits_are_an_id"),
    ("only the first account of a list is looked at", "        at += 1\n    return NULL",
     "        break\n    return NULL", RUN + "account_that_counts_on_the_value_date"),
    ("another person's accounts are searched", "rules.lists[at].row == person.row",
     "rules.lists[at].row >= person.row",
     KERNELS + "screen__nobody_is_paid_to_the_next_persons_account"),
    ("a plain line may be a dong over the limit", "- 1 >= rules.ceiling[person.participant]",
     "- 1 > rules.ceiling[person.participant]", RUN + "amount_at_the_limits_is_fine"),
    ("a wrong name is plain", "person.name_key != key or key == 0", "key == 0",
     RUN + "answers_are_the_generators_truth"),
]  # fmt: skip

LEDGER = [
    ("who was paid before is paid again", "if pair[0] & bit:", "if False:",
     RUN + "paid_history_is_not_paid_again"),
    ("a duplicate in the table is paid", "if pair[1] & bit:", "if False:",
     RUN + "of_equal_lines_the_first_clears"),
    ("a paid bit forgets its neighbours", "pair[1] |= bit", "pair[1] = bit",
     RUN + "another_table_is_refused_exactly_what_was_cleared_before"),
    ("a bit of half a word", "<uint64_t> 1 << (row & 63)", "<uint64_t> 1 << (row & 31)",
     RUN + "answers_are_the_generators_truth"),
    ("the history marks other rows", "bits[2 * <uint64_t> (rows[i] >> 6)]",
     "bits[2 * <uint64_t> (rows[i] >> 7)]", RUN + "answers_are_the_generators_truth"),
    ("payer and receiver are exchanged",
     "agent * sums.participants + participant", "participant * sums.participants + agent",
     RUN + "positions_are_the_sums_of_the_lines_and_sum_to_zero"),
    ("a cleared line is not counted", "sums.pair_count[pair] += 1", "pass",
     RUN + "positions_are_the_sums_of_the_lines_and_sum_to_zero"),
    ("a cleared amount is not added", "sums.pair_sum[pair] = by_pair", "pass",
     RUN + "positions_are_the_sums_of_the_lines_and_sum_to_zero"),
    ("what clears is not counted by its reason", "reason_count[NONE] += sign *",
     "reason_count[NONE] += 0 *",
     KERNELS + "ledger__posting_stops_at_a_key_without_bits"),
    ("what cleared before is counted again", "count_cleared(&sums, -1, reason_sum, reason_count)",
     "pass", KERNELS + "ledger__posting_stops_at_a_key_without_bits"),
    ("lines before a new key are not posted", "end = min(end, n)", "pass",
     KERNELS + "ledger__posting_stops_at_a_key_without_bits"),
    ("a sum of a pair wraps around",
     "add_overflows(sums.pair_sum[pair], amount, &by_pair)\n        or ",
     "(add_overflows(sums.pair_sum[pair], amount, &by_pair) and False)\n        or ",
     KERNELS + "ledger__a_sum_that_leaves_64_bits_stops"),
    ("a sum of a benefit wraps around",
     "or add_overflows(sums.benefit_sum[benefit], amount, &by_benefit)",
     "or (add_overflows(sums.benefit_sum[benefit], amount, &by_benefit) and False)",
     KERNELS + "ledger__a_sum_that_leaves_64_bits_stops"),
    ("a duplicate has no reason", "lines.reason[i] = claim(pair,", "claim(pair,",
     RUN + "of_equal_lines_the_first_clears"),
    ("a carry of refused money is lost", "* (1 << 62) + low", "* (1 << 61) + low",
     RUN + "sum_that_leaves_64_bits_only_on_the_way_is_fine"),
    ("refused money is cut to 64 bits", "cdef int128 wide = start", "cdef long long wide = start",
     KERNELS + "ledger__a_total_is_exact_or_refused"),
    ("a key too many", "if len(self._keep) == KEYS_MAX:", "if len(self._keep) > KEYS_MAX:",
     KERNELS + "ledger__takes_4096_keys_and_no_more"),
    ("a dong more than there is room for", "or amount <= cover.room[payer]",
     "or amount <= cover.room[payer] + 1", COVER + "a_bound_account_pays_to_its_last_dong"),
    ("room is not used up", "cover.room[payer] -= amount", "pass",
     COVER + "a_bound_account_pays_to_its_last_dong"),
    ("receipts make no room", "cover.room[payee] = more", "pass", COVER + "scene"),
    ("a class overtakes itself", "if priority >= cover.waits[agent]:",
     "if priority > cover.waits[agent]:", COVER + "a_held_line_goes_later"),
    ("nobody remembers who waits", "cover.waits[agent] = priority\n    return True",
     "return True", COVER + "scene"),
]  # fmt: skip

TABLE = [
    ("a growing table loses its records", "to[0] = self.slots[at]", "pass",
     REGISTER + "paid_bits_stay_true_while_the_register_grows"),
    ("two strangers get one row", "self.count += 1", "pass",
     REGISTER + "upsert_replaces_by_key_and_keeps_the_rest"),
    ("an upsert forgets that accounts are listed", "kept = person.word & (HAS_ACCOUNT | LISTED)",
     "kept = person.word & HAS_ACCOUNT", KERNELS + "table__people_keep_their_listed_accounts"),
    ("forgotten people stay known", "ID_MASK | USED | HAS_ACCOUNT | LISTED",
     "ID_MASK | USED | HAS_ACCOUNT | LISTED | KNOWN",
     REGISTER + "replace_swaps_the_whole_of_what_is_given"),
    ("an account that ends is for ever", "if entries[first].valid_to != DAY_MAX or (",
     "if (", RUN + "account_that_counts_on_the_value_date"),
    ("a second account is overlooked", "last - first > 1 or not 0 <", "last - first > 2 or not 0 <",
     RUN + "account_that_counts_on_the_value_date"),
    ("the last priority counts first", "return a.priority < b.priority",
     "return a.priority > b.priority", RUN + "account_that_counts_on_the_value_date"),
    ("the latest account counts first", "return a.valid_from < b.valid_from",
     "return a.valid_from > b.valid_from", RUN + "account_that_counts_on_the_value_date"),
    ("the longer of two texts comes first", "    return m < n", "    return m > n",
     RUN + "account_that_counts_on_the_value_date"),
    ("an account stays as it was", "                        target[k] = entry\n", "",
     REGISTER + "upsert_replaces_by_key_and_keeps_the_rest"),
    ("the first of a person's accounts is not sorted", "while k > kept and",
     "while k > kept + 1 and",
     RUN + "account_that_counts_on_the_value_date"),
    ("an account of 255 bytes is refused", "length > 255:", "length > 254:",
     RUN + "account_that_counts_on_the_value_date"),
    ("an account's text by the wrong place", "REFERENCE | (heap_start + used)", "REFERENCE | used",
     KERNELS + "register__texts_of_accounts_stay_when_others_come"),
]  # fmt: skip

SHAPES = [
    ("a search runs over the end of the table", "_table.pxd", "if home == &slots[capacity]:",
     "if False:", KERNELS + "table__ids_of_the_last_slot_go_on_at_the_first"),
    ("any digit is one", "_account.pxd", "if text[i] < 48 or text[i] > 57:", "if text[i] < 48:",
     KERNELS + "register__texts_of_accounts_stay_when_others_come"),
    ("leading zeros are lost", "_account.pxd", "length = word >> 57", "length = (word >> 57) - 1",
     RUN + "account_that_counts_on_the_value_date"),
    ("a page is not cleared", "_pages.pyx", "memset(self.at, 0, size)", "pass",
     KERNELS + "pages__are_zero_when_memory_is_used_again"),
    ("a page is a byte short", "_pages.pyx", "self.size = size", "self.size = size - 1",
     KERNELS + "pages__are_zero_when_memory_is_used_again"),
]  # fmt: skip

BACK_IN = [
    ("lines of other batches are the same", "_match.pyx", "leaf.at == NULL or leaf.batch != batch",
     "leaf.at == NULL", MATCH + "line_numbers_of_other_batches_are_other_places"),
    ("an id keeps the batch of the one before", "_transfer.pxd", "or batch != head.batch:", "or 0:",
     MATCH + "line_numbers_of_other_batches_are_other_places"),
    ("what is crowded has no answer", "_match.pyx", "(claim[i] >= CROWD) + (claim[i] == CROWD)",
     "claim[i] >= CROWD", "test_reconcile.py::test_returns__are_weighed_with_the_confirmations"),
    ("packed numbers lose what all have", "_decode.pyx", "total += (word & mask) + least",
     "total += word & mask", GROUPS + "decode__packed_numbers_are_read_back"),
    ("a code that no word has is taken", "_decode.pyx",
     "if b.broken or most >= <uint32_t> limit:", "if b.broken:",
     GROUPS + "decode__noise_is_refused_and_never_read_beyond"),
    ("a null is a value", "row_groups.py", "there == 1", "there == 0",
     GROUPS + "row_groups__common_files_are_read_natively"),
]  # fmt: skip

GIVEN_FILES = [
    ("batch.py", "the file itself is decoded, not its copy",
     "file = copied.enter_context(given.sealed(path, file, before.st_size, room))", "pass",
     GIVEN + "the_digest_is_that_of_what_was_decoded_while_another_writes"),
    ("given.py", "a copy that can still be written to", "seals | fcntl.F_SEAL_WRITE", "seals",
     GIVEN + "every_door_hands_over_a_sealed_copy"),
    ("given.py", "a copy that is too short", "if done < size:\n            raise",
     "if False:\n            raise",
     GIVEN + "a_file_that_became_shorter_is_refused"),
    ("replay.py", "another table is replayed",
     'if derived.summary["digest"] != row["digest"]:', "if False:",
     GIVEN + "a_replay_is_of_the_bytes_that_were_run"),
]  # fmt: skip

NAME_KEYS = [
    ("two words are one", "total += total > 0 and text[total - 1] != 32", "pass",
     NAMES + "other_names_have_other_keys"),
    ("a name of 140 characters is too long", "characters_of(data, length) > characters_max",
     "characters_of(data, length) >= characters_max", NAMES + "odd_but_usable_names_have_a_key"),
    ("control characters are names", "elif folded == UNUSABLE:\n            unusable = True",
     "elif folded == UNUSABLE:\n            pass", NAMES + "unusable_names_have_no_key"),
    ("a letter in three bytes too many", "if value < 0x800 or", "if value < 0x80 or",
     KERNELS + "names__are_the_utf8_that_python_takes"),
    ("a letter in two bytes too many", "if lead < 0xC2:", "if lead < 0xC0:",
     KERNELS + "names__are_the_utf8_that_python_takes"),
    ("a message shows the wrong letters", "text[i - 1] == 32", "text[i - 1] == 65",
     NAMES + "a_message_shows_initials_only"),
    ("a name is keyed without its end", "while i <= total:", "while i + 8 <= total:",
     KERNELS + "names__every_letter_counts"),
]  # fmt: skip

TEXT = [
    ("an amount one too large wraps around", "data[k] > 55", "data[k] > 56",
     KERNELS + "text__amounts_are_exact_to_the_last_dong"),
    ("a minus is lost", "-<int64_t> value if minus", "<int64_t> value if minus",
     KERNELS + "text__amounts_are_exact_to_the_last_dong"),
    ("an id of 13 digits is cut", "offsets[i + 1] - start != 12", "offsets[i + 1] - start < 12",
     BAD + "file_is_refused_whole"),
    ("a row may be narrower", "elif width != self.columns:", "elif width > self.columns:",
     BAD + "file_is_refused_whole"),
    ("surrogates are text", "self.high = 0x9F", "self.high = 0xBF",
     KERNELS + "text__csv_is_the_utf8_that_python_takes"),
    ("a quote that stays open", "            elif self.state == 2:\n                self.fault",
     "            elif self.state == 9:\n                self.fault",
     BAD + "file_is_refused_whole"),
]  # fmt: skip

WIRE = [
    ("a receiver's line is written over", "box.rows = row + 1", "box.rows = row",
     RUN + "clearing_files_hold_the_accepted_lines_in_table_order"),
    ("a transfer id lacks its first digit", "48 + line_no[i] // 1000000000", "48",
     KERNELS + "wire__transfer_ids_have_ten_digits"),
    ("an account of the table by the next line", "word & ~(REFERENCE | IN_TABLE))",
     "(word & ~(REFERENCE | IN_TABLE)) + 1)", RUN + "account_of_the_table_wins"),
    ("a text takes the length of its neighbour",
     "length = column.offsets[value + 1] - start",
     "length = column.offsets[value + 1] - start - 1",
     RUN + "clearing_file_carries_account_purpose_and_end_to_end_id"),
]  # fmt: skip

ENCODE = [
    ("nulls have codes of their own", "count += page.valid[i]\n            offsets = work",
     "count += 1\n            offsets = work", WRITER + "what_is_written_is_read"),
    ("the length of a null is written", "count += 1 if page.valid == NULL else page.valid[i]",
     "count += 1", WRITER + "what_is_written_is_read"),
    ("narrow values lose their eighth", "            at += width\n        return at",
     "            at += width - 1\n        return at", WRITER + "what_is_written_is_read"),
    ("a text shares what is not in it", "return min(same, most)", "return same",
     "test_parquet.py::test_shared__texts_that_share_beginnings_come_back"),
    ("a null that has text is let through",
     "if not page.valid[i] and offsets[i + 1] != offsets[i]:", "if False:",
     "test_parquet.py::test_texts__a_null_has_none"),
]  # fmt: skip

CORE = [
    ("a thread leaves its last line out", "min(n, at + step)", "min(n, at + step - 1)",
     RUN + "threads_and_chunks_change_no_byte"),
    ("cleared waiting lines are no payments before", "bits[0::2] |= bits[1::2]", "pass",
     KERNELS + "core__what_is_sealed_was_paid_before"),
    ("who was cleared is forgotten", "self._bits[key][1::2]", "self._bits[key][0::2]",
     RUN + "same_bytes_under_another_id_pay_nothing_twice"),
]  # fmt: skip

ROAD = [
    ("a segment is lost", '            "held.parquet": self.held,\n', "",
     RUN + "held_line_clears_when_an_account_appears"),
    ("a waiting line is dropped", "        self._hold(batch, lines, reason)\n", "",
     RUN + "held_lines_survive_many_runs_and_registers"),
    ("caps are not asked for",
     "            self.core.limit(*waiting.cover_of(self.directory, self.rooms))\n",
     "            pass\n", RUN + "a_line_above_the_net_debit_cap_waits"),
    ("late answers are not given",
     "            waiting.amend(draft / status, draft / \"lines.parquet\", own, self.columns,"
     " self.cycle)\n", "", COVER + "scene"),
]  # fmt: skip

CLOSING = [
    ("earlier paid bits are forgotten", "words[: len(before)] |= before", "pass",
     COMMIT + "paid__of_every_earlier_batch_is_remembered"),
    ("paid bits are not named", 'paid_rows.append((*key, f"batches/{name}/{file}"))', "pass",
     RUN + "same_bytes_under_another_id_pay_nothing_twice"),
    ("lost lines are not noticed", "        self._require_nothing_lost(summary)\n", "",
     COMMIT + "run__a_lost_line_stops_it"),
    ("a full clearing account is not noticed",
     "        settlement.require_settled(after, self.cycle)\n", "",
     COMMIT + "run__money_left_on_the_clearing_account_stops_it"),
    ("a batch is settled before its cycle", '"CLEARING" if self.slot else "SETTLED"', '"SETTLED"',
     CYCLES + "two_batches_settle_as_one_cycle"),
]  # fmt: skip

STORE = [
    ("files are not synced", "        _sync_files(paths)\n", "", SYNCED),
    ("the batch's folder is not synced", "        sync_folder(draft)\n", "", SYNCED),
    ("the renamed folder is not synced", "sync_folder(folder.parent)\n                        top",
     "top", SYNCED),
    ("the journal's name is not synced", "            sync_folder(catalog.parent)\n",
     "            pass\n",
     COMMIT + "transaction__the_journals_name_is_synced_before_the_commit"),
    ("a journal in memory", "journal_mode = TRUNCATE", "journal_mode = MEMORY",
     COMMIT + "catalog__is_opened_with_a_journal_on_disk"),
    ("commits that are not synced", "synchronous = EXTRA", "synchronous = OFF",
     COMMIT + "catalog__is_opened_with_a_journal_on_disk"),
    ("pages reach the catalog early", "cache_spill = OFF", "cache_spill = ON",
     COMMIT + "catalog__is_opened_with_a_journal_on_disk"),
    ("a batch may stand twice", "    UNIQUE (source, batch_id)) STRICT;", "    CHECK (1)) STRICT;",
     COMMIT + "catalog__takes_no_batch_twice"),
    ("no checkpoint after a commit",
     "                _write_checkpoint(self.path, self._db)\n                _sign(",
     "                _sign(",
     SIMULATION + "store__an_old_catalog_is_refused_and_nothing_moves"),
    ("an old catalog is taken", 'seq and [row["link"] for row in self.rows(query, seq)] != [link]',
     "not link",
     SIMULATION + "store__an_old_catalog_is_refused_and_nothing_moves"),
    ("leftovers stay where they are", "            source.rename(target)\n", "",
     "test_run.py::test_open__leftovers_of_a_crash_go_to_quarantine"),
    ("a lost folder is not missed", "if named - present:", "if False:",
     "test_run.py::test_open__lost_batch_folder_stops"),
    ("two writers at once", "fcntl.LOCK_EX if writing", "fcntl.LOCK_SH if writing",
     "test_run.py::test_command__locked_home_exits_4"),
    ("a broken commit is gone over", "        if self.stopped:\n", "        if False:\n",
     "crash/test_crash.py::test_commit__broken_off_stops_the_engine"),
    ("old history is committed on", "if heads(self._db) != self._began:", "if False:",
     SECOND + "commit__of_two_engines_that_race_one_is_refused"),
    ("a forked engine works", "        if os.getpid() != self._process:\n", "        if False:\n",
     SECOND + "engine__two_forked_children_and_their_parent_pay_once"),
    ("a forked close gives the lock back",
     "        if os.getpid() == self._process:\n            self._opened.close()",
     "        if True:\n            self._opened.close()",
     SECOND + "close__in_a_forked_process_leaves_the_lock_to_its_parent"),
    ("a lock lives on in a forked process", "fcntl.flock(handle, fcntl.LOCK_UN)", "pass",
     SECOND + "close__gives_the_lock_back_though_a_forked_process_lives"),
    ("a checkpoint of two catalogs", "Checkpoint(*said, digest)",
     "Checkpoint(*heads(db), digest)",
     SECOND + "checkpoint__tells_of_one_catalog_whoever_writes_meanwhile"),
    ("the audit chain is cut", "(seq, at, kind, text, previous, link_of(previous,",
     "(seq, at, kind, text, previous, link_of(GENESIS,",
     "test_run.py::test_verify__fresh_home_holds"),
    ("files are not named", '                        self._db.execute("INSERT INTO files',
     '                        str("INSERT INTO files',
     "test_run.py::test_verify__a_strange_file_is_found"),
]  # fmt: skip

AT_REST = [
    ("segment.py", "the last rows are not written",
     "        self._flush()\n        for end in self._ends:",
     "        for end in self._ends:", RUN + "answers_are_the_generators_truth"),
    ("segment.py", "a digest of less than the file", "self._hash.update(view)",
     "self._hash.update(view[:-1])", "test_run.py::test_verify__changes_nothing"),
    ("segment.py", "nothing is ever synced", "        os.fsync(handle)\n", "        pass\n",
     SYNCED),
    ("paid.py", "the last rows have no bit", "(rows + 63) // 64", "rows // 64",
     REGISTER + "paid_bits_stay_true_while_the_register_grows"),
    ("paid.py", "one history replaces another", "before[: len(part)] |= part",
     "before[: len(part)] = part", COMMIT + "paid__of_every_earlier_batch_is_remembered"),
    ("engine.py", "other content under an old id", 'if digest != known["digest"]:', "if False:",
     RUN + "same_id_with_other_content_is_refused"),
    ("disk.py", "a folder of copies reached through a link", "_FOLDER | os.O_NOFOLLOW", "_FOLDER",
     "test_links.py::test_copies__follow_no_link_at_any_name"),
    ("disk.py", "a planted .part that is not taken away",
     "with contextlib.suppress(FileNotFoundError):\n                os.unlink(part, dir_fd=folder)",
     "pass", "test_links.py::test_copies__follow_no_link_at_any_name"),
    ("disk.py", "copies among what was committed",
     'if place != mine or not real.is_relative_to(place / "out"):', "if False:",
     "test_links.py::test_copies__land_in_no_home"),
    ("disk.py", "keys of a home without its catalog made anew", "if was or (not aside",
     "if 0 and (not aside", "test_links.py::test_init__leaves_a_home_without_its_catalog_alone"),
    ("voice.py", "a full disk under stdout ends the work",
     "                self.lost = error.strerror or type(error).__name__\n",
     "                raise\n",
     "test_voice.py::test_run__does_all_tables_whatever_can_be_said"),
    ("intake.py", "another dossier is passed over",
     "if str(getattr(self, name)) != str(batch[column]):", "if False:",
     "test_days.py::test_run__again_with_another_declaration_is_refused"),
    ("days.py", "days run back", "< day_of(known.closed):\n        raise",
     "< day_of(\"1900-01-01\"):\n        raise", "test_days.py::test_days__do_not_run_back"),
    ("days.py", "a value date moves time", "> STEP_DAYS:", "> 10**9:",
     "test_days.py::test_now__a_far_value_date_moves_no_time"),
    ("days.py", "a slip of before counts", "> LEAP_DAYS and not row", "> 10**9 and not row",
     "test_days.py::test_days__a_slip_of_an_older_engine_does_not_stop_a_home"),
    ("signoff.py", "totals hold later batches", "if row[\"seq\"] not in self.later", "if True",
     "test_days.py::test_close__signs_nothing_of_later_days"),
    ("cli.py", "a rehearsal is always well",
     'if any("error" in table for table in told["tables"]):', "if False:",
     "test_rehearsal.py::test_command__a_rehearsal_exits_as_the_run_would"),
    ("disk.py", "a copy that never has its name",
     "                os.rename(part, target.name, src_dir_fd=folder, dst_dir_fd=folder)\n", "",
     RUN + "out_holds_copies_of_the_committed_files"),
    ("settlement.py", "a debit that adds", "after.get(posting.debit, 0) - posting.amount",
     "after.get(posting.debit, 0) + posting.amount",
     RUN + "guarded_account_pays_to_its_last_dong_and_no_further"),
    ("settlement.py", "a cap may not be reached", "p.net_debit_cap + nets.get(p.participant, 0)",
     "p.net_debit_cap + nets.get(p.participant, 0) - 1",
     COMMIT + "settlement__a_cap_may_be_reached_and_not_passed"),
    ("settlement.py", "the last dong stays", "limits.append(funds[p.participant])",
     "limits.append(funds[p.participant] - 1)",
     RUN + "guarded_account_pays_to_its_last_dong_and_no_further"),
    ("settling.py", "a balance is not kept", "for row in sorted(balances.items())",
     "for row in sorted(balances.items())[:0]",
     RUN + "guarded_account_pays_to_its_last_dong_and_no_further"),
    ("settling.py", "what is short is settled", "if not lacking:", "if True:",
     CYCLES + "waits_for_funds_and_is_tried_again"),
    ("settling.py", "positions of a cycle are those of one batch",
     "net = net + excluded.net", "net = excluded.net", CYCLES + "two_batches_settle_as_one_cycle"),
    ("settling.py", "an aborted cycle is settled again", "state IN ('OPEN', 'CLOSED')",
     "state != 'SETTLED'", ABORT + "says_why_and_tells_every_receiver"),
    ("settling.py", "batches of an aborted cycle are settled", '"HELD" if answer',
     '"SETTLED" if answer', ABORT + "everything_is_undone_and_all_lines_wait"),
    ("recasting.py", "on-us lines stay posted", "        *on_us,\n", "",
     ABORT + "everything_is_undone_and_all_lines_wait"),
    ("recasting.py", "on-us lines leave positions", 'if row["participant"] == row["debtor_agent"]:',
     "if False:", ABORT + "everything_is_undone_and_all_lines_wait"),
    ("recasting.py", "within one account something is taken back", "if pair[0] != pair[1]:",
     "if True:", ABORT + "within_one_settlement_account_nothing_was_posted"),
    ("funding.py", "the last dong of a budget stays", "if needed > left:", "if needed >= left:",
     BUDGET + "may_be_used_to_its_last_dong_and_no_further"),
    ("funding.py", "what is released is not free", "budget - stand.reserved + stand.released +",
     "budget - stand.reserved +",
     BUDGET + "what_a_waiting_line_releases_is_free_in_the_same_run"),
    ("funding.py", "what this run releases is not free", " + freed.get(benefit, 0)", "",
     BUDGET + "what_a_waiting_line_releases_is_free_in_the_same_run"),
    ("funding.py", "a cycle that has not settled uses up",
     'if row["state"] in SETTLED and row["cycle"] not in aborted:', "if True:",
     BUDGET + "is_used_up_when_the_cycle_settles_and_kept_when_it_is_aborted"),
    ("funding.py", "what a recast sends back is used up", "if recast.aborted else summed(went_back",
     "if True else summed(went_back", BUDGET + "a_recast_gives_back_what_its_lines_had_not_used"),
    ("funding.py", "what is refused in time is kept", "enter(key, released=amount)\n        for",
     "enter(key)\n        for", BACK + "what_a_receiver_refuses_in_time_is_released"),
    ("funding.py", "what is refused in time was used up", "[refused.filter(used), disposed]",
     "[disposed]", BACK + "what_a_receiver_refuses_in_time_is_released"),
    ("funding.py", "one account's part is the budget",
     "add(found, debtor.programme, debtor.budget)", "found[debtor.programme] = debtor.budget",
     BUDGET + "of_a_programme_is_the_sum_of_its_accounts_parts"),
    ("liquidity/by_value.py", "large payments are decided last", "if large else flow\n",
     "if False else flow\n", LARGE),
    ("liquidity/by_value.py", "the dearer way", "costs[0]) < (gone_need", "costs[0]) > (gone_need",
     LARGE),
    ("liquidity/by_value.py", "few payments are not searched again",
     "if lacking > bound // BRANCHED_SHARE", "if lacking > bound", SCARCE),
    ("_branch.pyx", "only twice as good a set is looked for", "search.hurdle >> GAIN_BITS",
     "search.hurdle", SCARCE),
    ("_branch.pyx", "what is decided brings its receiver nothing",
     "        search.left[search.receiver[k]] += search.amount[k]\n        search.decided_value +=",
     "        search.decided_value +=", SCARCE),
    ("_branch.pyx", "the cost of the other way", "    if settles:\n        return max(-sent",
     "    if not settles:\n        return max(-sent", SCARCE),
    ("_branch.pyx", "the same way twice", "decide(search, k, not open)",
     "decide(search, k, open)", SCARCE),
    ("cycles.py", "the cut-off itself is late", "if time <= cutoff and", "if time < cutoff and",
     CALENDAR),
    ("cycles.py", "a closed cycle takes lines", "and slot.cycle not in closed:", "and True:",
     CYCLES + "a_cycle_with_nothing_in_it_settles_as_nothing"),
    ("netting.py", "on-us lines enter positions", "    np.fill_diagonal(between_sum, 0)\n", "",
     RUN + "on_us_lines_are_sent_but_stand_in_no_position"),
    ("netting.py", "a position with the wrong sign", "credit_sum - debit_sum,",
     "debit_sum - credit_sum,", RUN + "positions_are_the_sums_of_the_lines_and_sum_to_zero"),
    ("netting.py", "wallets settle for themselves", "nets[position.settled_by] =",
     "nets[position.participant] =", RUN + "wallet_is_settled_by_its_bank"),
]  # fmt: skip


DATES = "test_dates.py::test_dates__"
TYPES = "test_types.py::test_"
DOORS = [
    ("columns.py", "a day before 1900", "(days < DAY_FIRST) | (days", "(days",
     DATES + "of_a_type_are_of_known_years"),
    ("columns.py", "a text of any year", "day is not None and is_in_years(day)", "day is not None",
     DATES + "of_a_text_are_exactly_written_and_of_known_years"),
    ("columns.py", "a date in any form of ISO 8601", "if _DAY_FORM.fullmatch(text) else None",
     "if text else None", DATES + "of_a_text_are_exactly_written_and_of_known_years"),
    ("intake.py", "a value date of any year", "if not is_in_years(self.value_date):", "if False:",
     DATES + "a_value_date_of_no_known_year_is_refused"),
    ("cycles.py", "a time of any year", "YEAR_MIN <= int(text[:4]) <= YEAR_MAX", "text",
     DATES + "of_a_time_are_of_known_years_at_every_door"),
    ("claims.py", "ids of years below 1000 are nobody's", "if width + _ID_MORE <= length",
     "if width == 8 and width + _ID_MORE <= length",
     DATES + "a_home_with_old_years_reconciles_closes_and_goes_on"),
    ("columns.py", "the upper word of a decimal is dropped", "(rest != (low >> 63)[:, None])",
     "(rest != rest)", TYPES + "numbers__of_a_decimal_are_exact_or_refused"),
    ("columns.py", "an id beyond 64 bits is cut", "np.where((rest == 0).all(axis=1), low",
     "np.where((rest == rest).all(axis=1), low", TYPES + "ids__of_a_decimal_are_exact"),
]  # fmt: skip


def _of(file: str, rows: list[tuple[str, str, str, str]]) -> list[Mutant]:
    return [Mutant(file, *row) for row in rows]


MUTANTS = [
    *_of("_screen.pyx", SCREEN),
    *_of("_ledger.pyx", LEDGER),
    *_of("_table.pyx", TABLE),
    *(Mutant(file, what, *rest) for what, file, *rest in SHAPES),
    *(Mutant(file, what, *rest) for what, file, *rest in BACK_IN),
    *_of("_names.pyx", NAME_KEYS),
    *_of("_text.pyx", TEXT),
    *_of("_wire.pyx", WIRE),
    *_of("_encode.pyx", ENCODE),
    *_of("_core.pyx", CORE),
    *(Mutant(*row) for row in GIVEN_FILES),
    *_of("road.py", ROAD),
    *_of("closing.py", CLOSING),
    *_of("store.py", STORE),
    *(Mutant(*row) for row in AT_REST),
    *(Mutant(*row) for row in DOORS),
]
