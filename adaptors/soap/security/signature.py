"""Signatures of requests and of answers, by XML Signature with exclusive canonicalisation. The only door to signxml.

signxml does both on lxml and cryptography alone; python-xmlsec would have to be built against the very libxml2 that
lxml carries.
"""

import logging
import uuid
from base64 import b64encode
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree
from signxml.algorithms import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConstructionMethod,
    SignatureMethod,
)
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from adapter_sdk.errors import ConfigError
from adaptors.soap.envelope import UnreadableError
from adaptors.soap.security.names import BASE64, DS, WSSE, WSU_ID, X509, add

# On DEBUG it writes down all that it signs.
logging.getLogger("signxml").setLevel(logging.INFO)


class _Signer(XMLSigner):
    def check_deprecated_methods(self) -> None:
        """SHA-1 is a setting of whoever must talk to a server that knows nothing else."""


class Signer:
    """Signs with one key. `digest` is "sha256", "sha512" or "sha1". Raises ConfigError."""

    def __init__(self, certificate: Path, key: Path, password: str | None, digest: str) -> None:
        (self._certificate, *_) = certificates("wss_cert", certificate)
        self._key: Any = _private_key(key, password)
        if self._key.public_key() != self._certificate.public_key():
            raise ConfigError(f"wss_key: {key} is not the key of the certificate in {certificate}")
        kind = "RSA" if isinstance(self._key, rsa.RSAPrivateKey) else "ECDSA"
        self._signer = _Signer(
            SignatureConstructionMethod.detached,
            SignatureMethod[f"{kind}_{digest.upper()}"],
            DigestAlgorithm[digest.upper()],
            CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )

    def add_token(self, security: etree._Element) -> etree._Element:
        """Send our certificate along, for the server to know whose signature it is."""
        content = b64encode(self._certificate.public_bytes(Encoding.DER)).decode()
        return add(security, WSSE, "BinarySecurityToken", content, EncodingType=BASE64, ValueType=X509)

    def sign(
        self,
        envelope: etree._Element,
        security: etree._Element,
        token: etree._Element,
        parts: Collection[etree._Element],
    ) -> None:
        """Sign some elements of an envelope. Nothing in them may be changed afterwards."""
        # Not to be guessed, so that nothing in the event's own data can have the same id.
        salt = uuid.uuid4().hex
        for number, element in enumerate((token, *(part for part in parts if part is not token))):
            element.set(WSU_ID, f"id-{number}-{salt}")
        info = etree.Element(f"{{{DS}}}KeyInfo", nsmap={"ds": DS})
        reference = add(info, WSSE, "SecurityTokenReference")
        add(reference, WSSE, "Reference", URI=f"#{token.get(WSU_ID)}", ValueType=X509)
        ids = [str(part.get(WSU_ID)) for part in parts]
        security.append(self._signer.sign(envelope, key=self._key, key_info=info, reference_uri=ids))


class Verifier:
    """Believes what is signed with one of some certificates, whatever certificate an answer brings along."""

    def __init__(self, path: Path) -> None:
        self._certificates = certificates("wss_verify_cert", path)

    def signed_ids(self, envelope: etree._Element, location: str) -> frozenset[str]:
        """The ids of what is signed by the signature at `location`. Raises UnreadableError unless it is valid."""
        if envelope.find(f"{location}{{{DS}}}Signature") is None:
            raise UnreadableError("it is not signed, and `wss_verify_cert` asks for it")
        config = SignatureConfiguration(location=location, expect_references=True)
        faults = []
        for certificate in self._certificates:
            try:
                results: Any = XMLVerifier().verify(envelope, x509_cert=certificate, expect_config=config)
            except (SignXMLException, ValueError, KeyError, TypeError, etree.LxmlError) as error:
                faults.append(f"{type(error).__name__}: {error}")
                continue
            uris = [
                item.get("URI", "")
                for item in results[0].signature_xml.iterfind(f"{{{DS}}}SignedInfo/{{{DS}}}Reference")
            ]
            return frozenset(uri.removeprefix("#") for uri in uris)
        raise UnreadableError(f"its signature is not that of `wss_verify_cert`: {'; '.join(faults)}")


def certificates(setting: str, path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file. Raises ConfigError, naming the setting."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{setting}: {path} cannot be read as a certificate in PEM: {_why(error)}") from error


def _private_key(path: Path, password: str | None) -> Any:
    try:
        key = load_pem_private_key(path.read_bytes(), password.encode() if password else None)
    except (OSError, ValueError, TypeError) as error:
        hint = "; if it is encrypted, set wss_key_password" if password is None else "; is wss_key_password right?"
        raise ConfigError(f"wss_key: {path} cannot be read as a private key in PEM: {_why(error)}{hint}") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ConfigError(f"wss_key: {path} is neither an RSA nor an EC key")
    return key


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
