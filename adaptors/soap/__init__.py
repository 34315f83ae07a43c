"""The SOAP family: an adaptor in front of a SOAP service, version 1.1 or 1.2."""

from adaptors.soap.adaptor import SoapAdaptor
from adaptors.soap.contract import UnknownOperation
from adaptors.soap.faults import Reject, Retry, SoapFault, Unavailable
from adaptors.soap.service import SoapService, connect
from adaptors.soap.settings import SoapSettings
from adaptors.soap.typed import DeclaredFault, SoapModel, declared_faults, soap_operation, typed_service, typed_view

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
