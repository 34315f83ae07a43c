"""Settings of the sql family: where the database is, and where the ledger may be."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo

from adapter_sdk.settings import Section


def _beside_the_file(url: SecretStr, info: ValidationInfo) -> SecretStr:
    """A relative SQLite path is taken from the folder of `adaptor.toml`, as every path of the settings is."""
    text = url.get_secret_value()
    scheme, slashes, path = text.partition(":///")
    if not (scheme.startswith("sqlite") and slashes) or path.startswith("/") or path in ("", ":memory:"):
        return url
    folder = (info.context or {}).get("folder") or Path()
    return SecretStr(f"{scheme}:///{folder / path}")


class SqlSettings(Section):
    """`[sql]`: the backend's database, as an SQLAlchemy URL such as `postgresql+psycopg://user:password@host/name`."""

    url: Annotated[SecretStr, AfterValidator(_beside_the_file)]
    timeout: float = Field(default=30.0, gt=0, description="seconds of one statement, where the database can limit it")
    ledger: Literal["backend", "local"] = Field(
        default="backend", description="local: no table is added to the database; the ledger is that of `[ledger]`"
    )
