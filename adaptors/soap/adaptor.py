"""SoapAdaptor: the base for adaptors in front of a SOAP service."""

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.errors import AdaptorError, ConfigError, InDoubt, PermanentError, TransientError
from adaptors.soap.family import SoapFamily
from adaptors.soap.service import SoapService
from adaptors.soap.settings import SoapSettings

_FAULT_NAME = re.compile(r"\{[^{}]+\}[^\s{}:]+|[1-5]\d\d|[A-Za-z_][\w.-]*")


class SoapAdaptor(Adaptor):
    """Stands in front of one SOAP service. Handlers have the form `(self, event, service: SoapService)`.

    `faults` says what a fault means, by the first of these that is there: the qualified name of its detail element,
    "{urn:erp}OrderRefused"; its code or subcode without prefix, "Server" or "Server.Busy", where "Server" also covers
    "Server.Busy"; or, for an answer that is not SOAP at all, the HTTP status, "503". The classes are Reject, Retry,
    Unavailable, InDoubt, or classes derived from an error of `adapter_sdk.errors`, made with one text.

    `queries` names the operations that only ask: a lost answer of theirs is no doubt, they are simply asked again.
    """

    faults: ClassVar[Mapping[str, type[AdaptorError]]] = {}
    queries: ClassVar[Collection[str]] = ()

    _handle_type = SoapService
    _settings_section = "soap"
    _settings_model = SoapSettings

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_faults(cls)

    @classmethod
    def _family(cls, settings: SoapSettings) -> SoapFamily:
        return SoapFamily(settings, cls.faults, cls.queries)


def _check_faults(cls: type[SoapAdaptor]) -> None:
    found = []
    place = f"{cls.__qualname__} ({cls.__module__}): faults"
    for name, kind in cls.faults.items():
        if not _FAULT_NAME.fullmatch(name):
            found.append(
                f'{place}: {name!r} is neither "{{namespace}}element", nor a code without prefix, nor an HTTP status'
            )
        if not (isinstance(kind, type) and issubclass(kind, PermanentError | TransientError | InDoubt)):
            found.append(f"{place}: {name!r} is mapped to {kind!r}; give Reject, Retry, Unavailable or InDoubt")
    if isinstance(cls.queries, str):
        found.append(f"{cls.__qualname__} ({cls.__module__}): queries is text; write {{{cls.queries!r}}}")
    if found:
        raise ConfigError(*found)
