"""Targets: where files are staged and dropped, by the `drop` of the settings."""

from adaptors.files.settings import FileSettings
from adaptors.files.targets.base import Target
from adaptors.files.targets.local import LocalTarget


def target_of(settings: FileSettings) -> Target:
    """The target that the settings describe, not yet reached."""
    return LocalTarget(settings.drop, settings.staging, settings.sync)
