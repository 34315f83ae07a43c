"""Names of WS-Security 1.0 and 1.1 (OASIS) and of XML Signature (W3C), and the making of their elements."""

from lxml import etree

_OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE = f"{_OASIS}wssecurity-secext-1.0.xsd"
WSU = f"{_OASIS}wssecurity-utility-1.0.xsd"
DS = "http://www.w3.org/2000/09/xmldsig#"
WSU_ID = f"{{{WSU}}}Id"
BASE64 = f"{_OASIS}soap-message-security-1.0#Base64Binary"
X509 = f"{_OASIS}x509-token-profile-1.0#X509v3"
PASSWORD_TEXT = f"{_OASIS}username-token-profile-1.0#PasswordText"
PASSWORD_DIGEST = f"{_OASIS}username-token-profile-1.0#PasswordDigest"


def add(
    parent: etree._Element, namespace: str, name: str, text: str | None = None, **attributes: str
) -> etree._Element:
    """Add an element, with attributes of no namespace."""
    child = etree.SubElement(parent, f"{{{namespace}}}{name}", attributes)
    child.text = text
    return child
