"""Certificates for tests: one authority, and what it signs for servers, clients and signatures."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Identity:
    """Files in PEM: certificate, key, key encrypted with the password "sesame", and certificate and key in one."""

    cert: Path
    key: Path
    locked_key: Path
    both: Path


class Authority:
    """A certificate authority whose files are in `folder`; `cert` is its own certificate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {folder.name}")])
        self._made = self._certificate(self._name, self._key, is_authority=True)
        self.cert = folder / "ca.pem"
        self.cert.write_bytes(self._made.public_bytes(Encoding.PEM))

    def identity(self, name: str, *, curve: bool = False) -> Identity:
        """A certificate for 127.0.0.1 with a key of RSA, or of an elliptic curve."""
        key: Key = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65_537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        cert = self._certificate(subject, key, is_authority=False).public_bytes(Encoding.PEM)
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame"))
        made = Identity(*(self._folder / f"{name}.{part}.pem" for part in ("cert", "key", "locked", "both")))
        for path, content in zip(
            (made.cert, made.key, made.locked_key, made.both), (cert, plain, locked, cert + plain), strict=True
        ):
            path.write_bytes(content)
        return made

    def _certificate(self, subject: x509.Name, key: Key, *, is_authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if is_authority:
            usage = x509.KeyUsage(
                digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
            )  # fmt: skip
            builder = builder.add_extension(usage, critical=True)
        else:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, SHA256())
