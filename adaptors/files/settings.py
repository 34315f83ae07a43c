"""`[files]`: where files are dropped."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from adapter_sdk.settings import ConfigPath, Section


class FileSettings(Section):
    """`[files]`: the folder that the legacy system watches, and one of our own on the same volume.

    `staging` is by default a hidden folder beside the drop, `.<name of the drop>.staging`. It is never within the drop,
    where a reader could see unfinished files.
    """

    drop: ConfigPath
    staging: ConfigPath | None = None
    sync: Literal["files", "volume"] = Field(
        default="files", description="volume: one sync of the whole volume per batch; quicker on a volume of its own"
    )

    @property
    def staging_folder(self) -> Path:
        """Where files are made ready."""
        return self.staging or self.drop.parent / f".{self.drop.name}.staging"
