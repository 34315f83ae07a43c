"""The toolkit's own copies of the schemas that WSDLs name and do not bring.

Each is written for this toolkit from what its specification says, and holds what messages use; the annotations and the
parts that only schema authors meet are left out. A file of the same name in the WSDL's folder is preferred.
"""

from pathlib import Path

_XML = "http://www.w3.org/XML/1998/namespace"

_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity"

_FOLDER = Path(__file__).parent

_NAMES = {
    "soap-encoding.xsd": ("http://schemas.xmlsoap.org/soap/encoding",),
    "soap-envelope-11.xsd": ("http://schemas.xmlsoap.org/soap/envelope",),
    "soap-envelope-12.xsd": ("http://www.w3.org/2003/05/soap-envelope",),
    "swaref.xsd": ("http://ws-i.org/profiles/basic/1.1/xsd", "http://ws-i.org/profiles/basic/1.1/swaref.xsd"),
    "ws-addressing-2004.xsd": ("http://schemas.xmlsoap.org/ws/2004/08/addressing",),
    "ws-addressing-2005.xsd": (
        "http://www.w3.org/2005/08/addressing",
        "http://www.w3.org/2005/08/addressing/ws-addr.xsd",
        "http://www.w3.org/2006/03/addressing/ws-addr.xsd",
    ),
    "wss-secext.xsd": (f"{_WSS}-secext-1.0.xsd",),
    "wss-utility.xsd": (f"{_WSS}-utility-1.0.xsd",),
    "xml.xsd": (_XML, "http://www.w3.org/2001/xml.xsd", "http://www.w3.org/2001/03/xml.xsd"),
    "xmldsig.xsd": (
        "http://www.w3.org/2000/09/xmldsig",
        "http://www.w3.org/TR/xmldsig-core/xmldsig-core-schema.xsd",
        "http://www.w3.org/TR/2002/REC-xmldsig-core-20020212/xmldsig-core-schema.xsd",
    ),
    "xmlmime.xsd": ("http://www.w3.org/2005/05/xmlmime",),
    "xop-include.xsd": ("http://www.w3.org/2004/08/xop/include",),
    "xmlschema.xsd": ("http://www.w3.org/2001/XMLSchema", "http://www.w3.org/2001/XMLSchema.xsd"),
}


def find(name: str | None) -> Path | None:
    """The file for a location or a namespace, or None. http and https, and a closing `/` or `#`, are the same."""
    return _FILES.get(_plain(name)) if name else None


def usual_location(namespace: str | None) -> str | None:
    """Where zeep looks for the schema of a namespace that is imported without a location, if the catalog has it."""
    if namespace == _XML:
        return "https://www.w3.org/2001/xml.xsd"
    return namespace if find(namespace) else None


def _plain(name: str) -> str:
    return name.removeprefix("https://").removeprefix("http://").rstrip("/#")


_FILES = {_plain(name): _FOLDER / file for file, names in _NAMES.items() for name in names}
