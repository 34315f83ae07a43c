"""The SOAP family: an adaptor in front of a SOAP service, version 1.1 or 1.2.

A name is imported when it is first used: `adaptor --help` shows this family's command, and must not wait for zeep.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adaptors.soap.adaptor import SoapAdaptor
    from adaptors.soap.contract import UnknownOperation
    from adaptors.soap.faults import Reject, Retry, SoapFault, Unavailable
    from adaptors.soap.model import DeclaredFault, SoapModel, declared_faults
    from adaptors.soap.service import SoapService, connect
    from adaptors.soap.settings import SoapSettings
    from adaptors.soap.typed import soap_operation, typed_service, typed_view
else:
    _HOMES = {
        "adaptor": ("SoapAdaptor",),
        "contract": ("UnknownOperation",),
        "faults": ("Reject", "Retry", "SoapFault", "Unavailable"),
        "model": ("DeclaredFault", "SoapModel", "declared_faults"),
        "service": ("SoapService", "connect"),
        "settings": ("SoapSettings",),
        "typed": ("soap_operation", "typed_service", "typed_view"),
    }

    def __getattr__(name):
        for home, names in _HOMES.items():
            if name in names:
                found = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DeclaredFault",
    "Reject",
    "Retry",
    "SoapAdaptor",
    "SoapFault",
    "SoapModel",
    "SoapService",
    "SoapSettings",
    "Unavailable",
    "UnknownOperation",
    "connect",
    "declared_faults",
    "soap_operation",
    "typed_service",
    "typed_view",
]
