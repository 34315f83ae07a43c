"""TLS: whom we believe, and who we are to a server that asks."""

import ssl

from adapter_sdk.errors import ConfigError
from adaptors.soap.settings import SoapSettings

# Alerts of RFC 8446, section 6.2, about the client's certificate, as OpenSSL names them.
_REFUSALS = frozenset(
    {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA", "TLSV1_ALERT_ACCESS_DENIED"}
    | {f"SSLV3_ALERT_{why}" for why in ("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_UNKNOWN")}
    | {f"SSLV3_ALERT_{why}" for why in ("CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED")}
)


def tls_of(settings: SoapSettings) -> ssl.SSLContext:
    """What TLS 1.2 or later is spoken with; certificates and host names are always checked.

    Nothing comes from the environment but the system's own CAs, and those only without `ca_file`. Raises ConfigError.
    """
    faults = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        faults.append(f"ca_file: {settings.ca_file} cannot be used as a PEM file of CAs: {error}")
    if settings.client_cert is not None:
        secret = settings.client_key_password
        # Without a callable OpenSSL would ask at the terminal.
        password = secret.get_secret_value if secret else str
        try:
            context.load_cert_chain(settings.client_cert, settings.client_key, password)
        except (OSError, ssl.SSLError) as error:
            files = f"{settings.client_cert} with key {settings.client_key or 'in it'}"
            hint = "is client_key_password right" if secret else "does it need client_key_password"
            faults.append(f"client_cert: {files} cannot be used: {error}; are they PEM and of one pair, and {hint}?")
    if faults:
        raise ConfigError(*faults)
    return context


def is_refused(error: Exception) -> bool:
    """Whether a server has refused us for our certificate, or for want of one.

    With TLS 1.3 that is heard only after the first bytes have been sent, none of which the server has then looked at.
    """
    return isinstance(error, ssl.SSLError) and error.reason in _REFUSALS
