"""`[files]`: where files are dropped."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, SecretStr, TypeAdapter, ValidationInfo, model_validator

from adapter_sdk.settings import ConfigPath, Section
from adaptors.files.location import Location

_PATH: TypeAdapter[Path] = TypeAdapter(ConfigPath)


def _place(value: Any, info: ValidationInfo) -> Path | Location:
    if isinstance(value, Location):
        return value
    if isinstance(value, str) and "://" in value:
        return Location.parse(value)
    return _PATH.validate_python(value, context=info.context)


def _beside_drop(value: Any, info: ValidationInfo) -> Path:
    """A path on the server, as it is; or one here."""
    on_server = isinstance(info.data.get("drop"), Location)
    return Path(str(value)) if on_server else _PATH.validate_python(value, context=info.context)


class FileSettings(Section):
    """`[files]`: the folder that the legacy system watches, and one of our own on the same volume or server.

    `staging` is by default a hidden folder beside the drop, `.<name of the drop>.staging`. On this host it is never
    within the drop, where a reader could see unfinished files. On a server it may be the drop itself, if nothing else
    can be written: then unfinished files lie there under names that begin with a dot.
    """

    drop: Annotated[Path | Location, PlainValidator(_place)] = Field(
        description="a path, or sftp://, ftp://, ftps:// or smb://user@host/folder; /~/ is where a login begins"
    )
    staging: Annotated[Path | None, PlainValidator(_beside_drop)] = Field(
        default=None, description="a path, on the server if the drop is there"
    )
    answers: Annotated[Path | None, PlainValidator(_beside_drop)] = Field(
        default=None, description="the folder in which the backend leaves answer files; on the server if the drop is"
    )
    done: Annotated[Path | None, PlainValidator(_beside_drop)] = Field(
        default=None, description="the folder for answer files that were taken; default: `done` in `answers`"
    )
    error: Annotated[Path | None, PlainValidator(_beside_drop)] = Field(
        default=None, description="the folder for bad answer files and their reports; default: `error` in `answers`"
    )
    done_files: Literal["keep", "delete"] = Field(
        default="keep", description="delete: an answer file is deleted in place of moved to `done`"
    )
    bad_records: Literal["file", "record"] = Field(
        default="file",
        description="file: nothing of a file with a bad record is taken; record: only the bad record is set aside",
    )
    stable: float = Field(
        default=10.0, gt=0, description="seconds without a change after which an answer file without marker is whole"
    )
    sync: Literal["auto", "files", "volume"] = Field(
        default="auto",
        description="on this host. volume: one sync of the whole volume per batch; files: one of each file; auto: the "
        "quicker one",
    )
    password: SecretStr | None = Field(default=None, description="of the user on the server")
    key_file: ConfigPath | None = Field(default=None, description="sftp: the user's private key")
    key_password: SecretStr | None = Field(default=None, description="sftp: of an encrypted key")
    known_hosts: ConfigPath = Field(
        default=Path("~/.ssh/known_hosts"), validate_default=True, description="sftp: the host keys that are trusted"
    )
    ca_file: ConfigPath | None = Field(
        default=None, description="ftps: PEM file of the CAs to trust; default: the system's"
    )
    timeout: float = Field(default=30.0, gt=0, description="seconds that a server may take for one answer")

    @model_validator(mode="after")
    def _known_how_to_log_in(self) -> Self:
        if isinstance(self.drop, Location):
            if self.drop.scheme in ("sftp", "smb") and self.drop.user is None:
                raise ValueError(f"drop names no user: {self.drop.scheme}://USER@{self.drop.host}")
            if self.drop.scheme == "sftp" and self.password is None and self.key_file is None:
                raise ValueError("give a key_file or a password for the user of drop")
            if self.drop.user is not None and self.drop.scheme != "sftp" and self.password is None:
                raise ValueError("give the password of the user of drop")
        return self
