"""Putting files away into a folder where nothing is ever overwritten."""

import hashlib
from collections.abc import Iterator
from itertools import count, islice
from pathlib import PurePath

from adaptors.files.targets.base import WRITING, Folder, NewFile

_MOST = 10_000  # files of one name; whoever has more than that does not look into the folder


def names_like(name: str) -> Iterator[str]:
    """The name, then `NAME-2.DAT`, `NAME-3.DAT` and so on."""
    path = PurePath(name)
    yield name
    for number in islice(count(2), _MOST):
        yield f"{path.stem}-{number}{path.suffix}"


def free_name(folder: Folder, name: str) -> str:
    """The first name like this one that is not taken. Raises FileExistsError if none is left."""
    for candidate in names_like(name):
        if not folder.has(candidate):
            return candidate
    raise FileExistsError(f"{folder.place} holds {_MOST} files like {name}")


def move_away(folder: Folder, name: str, to: Folder, new_name: str) -> str:
    """Move a file into another folder, under a name like `new_name` that is free there: that name."""
    while True:
        candidate = free_name(to, new_name)
        try:
            folder.move(name, to, candidate, replace=False)
        except FileExistsError:
            continue
        return candidate


def keep(folder: Folder, name: str, data: bytes) -> str:
    """Write a file under a name like this one that is free: that name. If one holds just this already, it is that one.

    So what is written again after a crash is there once.
    """
    wanted = (len(data), hashlib.sha256(data).hexdigest())
    for candidate in names_like(name):
        if not folder.has(candidate):
            break
        if folder.digest(candidate) == wanted:
            return candidate
    fresh = f".{name}{WRITING}"  # always the same, so that what a crash left of it is replaced
    [error] = folder.put([NewFile(fresh, data)])
    if error is not None:
        raise error
    return move_away(folder, fresh, folder, name)
