"""Objects: the files of commits once more, in a store that other machines reach.

A file lies there under the SHA-256 of its bytes, so that no two contents ever want one name: to put
one again, after a crash or beside another writer, changes nothing, and whatever no commit names is
in nobody's way. All files of a commit are in the store before its transaction begins. The folder of
the home is then a copy: what is missing of it is fetched when the home is opened, and held to the
digest of its commit.

The store is any file system that Arrow knows: s3:// (also of S3-compatible servers), gs://,
file://.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa

from switch.errors import EnvironmentFailed, UsageError, VerificationFailed
from switch.files.segment import new_file, sync_file, sync_folder
from switch.home.rows import FileRow

PIECE_BYTES = 1 << 22
TOGETHER = 8
"""Files that are on their way at a time: each waits for the network most of its time."""


class Objects:
    """The store at an address. Raises UsageError for one that is none, or that has a password."""

    def __init__(self, address: str) -> None:
        from pyarrow import fs

        if urlsplit(address).username is not None:
            raise UsageError(
                "the address of a store has no key in it: give that by the environment"
                " (AWS_ACCESS_KEY_ID and the like), or by a file of the user's"
            )
        if "://" not in address:
            raise UsageError(
                f"{address} is no store of files: write s3://BUCKET/FOLDER or the like"
            )
        self.address = address
        try:
            self._files, self._root = fs.FileSystem.from_uri(address)
        except (pa.ArrowException, ValueError) as error:
            raise UsageError(f"{address} is no store of files: {error}") from error
        except OSError as error:
            raise self._failed(error) from error
        self._is_local = self._files.type_name == "local"

    def keep(self, folder: Path, files: Iterable[FileRow]) -> None:
        """Put files into the store, each unless it is there. files: by their names in the folder.
        Raises EnvironmentFailed where one cannot be put."""
        self._each(partial(self._put, folder / file.path, file) for file in files)

    def fetch(self, home: Path, files: Iterable[FileRow]) -> None:
        """Get files that the home lacks. files: by their names in it. Raises VerificationFailed
        where the store lacks one, too, or has another in its place."""
        missing = [file for file in files if not (home / file.path).exists()]
        self._each(partial(self._get, home, file) for file in missing)

    def try_out(self) -> None:
        """Put a file, and get it again. Raises EnvironmentFailed where that cannot be done."""
        content = secrets.token_bytes(32)
        name = self._name("try-" + secrets.token_hex(8))
        try:
            with self._files.open_output_stream(self._made(name)) as stream:
                stream.write(content)
            with self._files.open_input_stream(name) as stream:
                found = stream.read()
            self._files.delete_file(name)
        except OSError as error:
            raise self._failed(error) from error
        if found != content:
            raise EnvironmentFailed(f"the store of files {self.address} gives back other bytes")

    def _put(self, path: Path, file: FileRow) -> None:
        name = self._name(file.sha256)
        there = self._files.get_file_info(name)
        if there.is_file and there.size == file.bytes:
            return
        # An object is there whole or not at all; a file of a folder is, once it has its name.
        aside = f"{name}.{secrets.token_hex(8)}" if self._is_local else name
        with (
            path.open("rb", buffering=0) as source,
            self._files.open_output_stream(self._made(aside)) as sink,
        ):
            while piece := source.read(PIECE_BYTES):
                sink.write(piece)
        if self._is_local:
            sync_file(Path(aside))
            self._files.move(aside, name)
            sync_folder(Path(name).parent)

    def _get(self, home: Path, file: FileRow) -> None:
        path, found = home / file.path, hashlib.sha256()
        # What a crash leaves of it is in nobody's way there.
        aside = home / "quarantine" / f"fetched-{secrets.token_hex(8)}"
        for folder in (path.parent, aside.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with (
                self._files.open_input_stream(self._name(file.sha256)) as source,
                new_file(aside) as sink,
            ):
                while piece := source.read(PIECE_BYTES):
                    found.update(piece)
                    sink.write(piece)
        except FileNotFoundError as error:
            aside.unlink(missing_ok=True)
            what = f"{path} is gone, and the store of files {self.address} has none, either"
            raise VerificationFailed(f"{what}: restore it from a copy") from error
        if found.hexdigest() != file.sha256:
            aside.unlink()
            what = f"what the store of files {self.address} has of {path}"
            raise VerificationFailed(f"{what} is not as it was committed: restore it from a copy")
        sync_file(aside)
        aside.rename(path)
        sync_folder(path.parent)

    def _each(self, calls: Iterable[Callable[[], None]]) -> None:
        try:
            with ThreadPoolExecutor(TOGETHER, "switch-store") as pool:
                for done in [pool.submit(call) for call in calls]:
                    done.result()
        except (EnvironmentFailed, VerificationFailed):
            raise
        except OSError as error:
            raise self._failed(error) from error

    def _name(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"

    def _made(self, name: str) -> str:
        """The name, whose folder is there."""
        if self._is_local:
            os.makedirs(os.path.dirname(name), mode=0o700, exist_ok=True)
        return name

    def _failed(self, error: OSError) -> EnvironmentFailed:
        words = " ".join((error.strerror or str(error)).split())[:300]
        return EnvironmentFailed(f"the store of files {self.address}: {words}")
