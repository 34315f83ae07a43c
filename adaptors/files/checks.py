"""What must be true of the folders before anything is dropped: every fault at once, each a sentence with the remedy."""

import os
from pathlib import Path

from adaptors.files.folder import open_folder
from adaptors.files.settings import FileSettings
from adaptors.files.staging import probe


def folder_faults(settings: FileSettings) -> list[str]:
    """Look at the folders; the drop is only looked at, since whatever is written there would be read."""
    drop, staging = settings.drop, settings.staging_folder
    faults = _access_faults(drop, "drop")
    if settings.staging is None and not staging.exists():
        # Ours to make, when consuming starts.
        if not os.access(staging.parent, os.W_OK | os.X_OK):
            faults.append(f"[files] staging: {staging} does not exist and cannot be made in {staging.parent}")
        return faults
    faults += _access_faults(staging, "staging")
    if faults:
        return faults
    inside, outside = staging.resolve(), drop.resolve()
    if inside == outside or outside in inside.parents:
        faults.append(f"[files] staging: {staging} is within the drop {drop}, where unfinished files would be read")
    if staging.stat().st_dev != drop.stat().st_dev:
        faults.append(
            f"[files] staging: {staging} is on another volume than the drop {drop}; a rename needs one volume"
        )
    return faults + _sync_faults(staging)


def _access_faults(path: Path, setting: str) -> list[str]:
    place = f"[files] {setting}: {path}"
    if not path.exists():
        return [f"{place} does not exist; make it, or correct the setting"]
    if not path.is_dir():
        return [f"{place} is not a folder"]
    if not os.access(path, os.W_OK | os.X_OK):
        return [f"{place} is not writable for this user"]
    return []


def _sync_faults(staging: Path) -> list[str]:
    """Try to write, sync and delete a file in staging."""
    try:
        with open_folder(staging) as folder:
            probe(folder)
    except OSError as error:
        return [f"[files] staging: {staging} cannot be written and synced: {error.strerror}"]
    return []
