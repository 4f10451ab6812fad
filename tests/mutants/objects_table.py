"""Mutants of files in a store: the mistake, the file, the text, its change, and the test."""

from __future__ import annotations

_OBJECTS = "home/objects.py"
_TESTS = "home/test_objects.py::"
_BACK = _TESTS + "test_store__gives_a_home_back_whose_folders_are_gone"
_BEFORE = _TESTS + "test_store__has_the_files_of_each_commit_before_it"
_LOST = _TESTS + "test_store__that_lost_a_file_is_named"
_KILLED = _TESTS + "test_store__killed_at_each_call_ends_as_if_nothing_was"

OBJECTS = [
    (
        "files of a commit stay out of the store",
        "home/commit.py",
        "if self._objects is not None and commit.draft is not None:",
        "if False:",
        _BACK,
    ),
    (
        "what the store gives back is taken for what was committed",
        _OBJECTS,
        "if found.hexdigest() != file.sha256:",
        "if False:",
        _LOST,
    ),
    (
        "a failure of the store is none of the commit's",
        _OBJECTS,
        "                    done.result()\n",
        "                    done.exception()\n",
        _BEFORE,
    ),
    (
        "a file of which a part is there counts as there",
        _OBJECTS,
        'aside = f"{name}.{secrets.token_hex(8)}" if self._is_local else name',
        "aside = name",
        _TESTS + "test_store__that_got_a_part_of_a_file_gets_it_whole",
    ),
    (
        "what was fetched in part lies among what is committed",
        _OBJECTS,
        'aside = home / "quarantine" / f"fetched-{secrets.token_hex(8)}"',
        'aside = path.with_name(f".fetched-{secrets.token_hex(8)}")',
        _KILLED,
    ),
    (
        "an engine that knows no store may open the home",
        "home/create.py",
        "made = str(FORMAT_OBJECTS if OBJECTS in meta else FORMAT)",
        "made = str(FORMAT)",
        _TESTS + "test_home__with_a_store_has_a_format_of_its_own",
    ),
    (
        "keys may stand in the address",
        _OBJECTS,
        "if urlsplit(address).username is not None:",
        "if False:",
        _TESTS + "test_init__refuses_what_is_no_store",
    ),
]
