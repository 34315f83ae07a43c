"""`[files]`: where files are dropped."""

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
    sync: Literal["auto", "files", "volume"] = Field(
        default="auto",
        description="volume: one sync of the whole volume per batch; files: one of each file; auto: the quicker one",
    )
