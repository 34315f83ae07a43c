"""WS-Security: what a request says of itself in its header, and what is asked of an answer."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lxml import etree

from adapter_sdk.errors import ConfigError
from adaptors.soap.envelope import ADDRESSING, UnreadableError, header_of, parse_answer
from adaptors.soap.record import Answer
from adaptors.soap.security.names import DS, WSSE, WSU, WSU_ID
from adaptors.soap.security.tokens import add_timestamp, add_username_token
from adaptors.soap.settings import SoapSettings

if TYPE_CHECKING:
    from adaptors.soap.security.signature import Signer, Verifier

# How far the clocks of two machines may be apart. Seconds.
_SKEW = 300.0

_ID_NAMES = "local-name() = 'Id' or local-name() = 'ID' or local-name() = 'id'"


class Security:
    """What the settings ask for. For any number of threads. Raises ConfigError with every fault of keys and files."""

    def __init__(self, settings: SoapSettings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._clock = clock
        self._signer, self._verifier = _signature(settings)

    def secure(self, envelope: etree._Element) -> None:
        """Add the Security header to a request that is complete otherwise, if there is anything to say in it."""
        settings = self._settings
        if settings.wss_username is None and not settings.wss_timestamp and self._signer is None:
            return
        soap = etree.QName(envelope).namespace
        header = header_of(envelope)
        security = etree.SubElement(header, f"{{{WSSE}}}Security", nsmap={"wsse": WSSE, "wsu": WSU, "ds": DS})
        security.set(f"{{{soap}}}mustUnderstand", "1")
        now = self._clock()
        parts = {"body": list(envelope.iterchildren(f"{{{soap}}}Body"))}
        if settings.wss_timestamp:
            parts["timestamp"] = [add_timestamp(security, now, settings.wss_timestamp)]
        if settings.wss_username is not None:
            password = settings.wss_password.get_secret_value() if settings.wss_password else ""
            token = add_username_token(security, settings.wss_username, password, settings.wss_password_type, now)
            parts["username"] = [token]
        if self._signer is not None:
            token = self._signer.add_token(security)
            parts |= {"token": [token], "addressing": list(header.iterchildren(f"{{{ADDRESSING}}}*"))}
            signed = [element for part in settings.wss_signed for element in parts.get(part, ())]
            self._signer.sign(envelope, security, token, signed)

    def check(self, answer: Answer) -> None:
        """Raise UnreadableError unless the body of an answer that has just come is signed as the settings ask.

        A one-way operation is answered with nothing, which cannot be signed.
        """
        if self._verifier is None or not answer.body.strip():
            return
        envelope = parse_answer(answer.body, answer.content_type)
        soap = etree.QName(envelope).namespace
        place = f"{{{soap}}}Header/{{{WSSE}}}Security/"
        ids = self._verifier.signed_ids(envelope, f"./{place}")
        body = envelope.find(f"{{{soap}}}Body")
        if body is None or not _is_signed(body, ids):
            raise UnreadableError("its signature does not cover its body")
        for timestamp in envelope.iterfind(f"{place}{{{WSU}}}Timestamp"):
            if _is_signed(timestamp, ids):
                self._check_time(timestamp)

    def _check_time(self, timestamp: etree._Element) -> None:
        now = self._clock()
        for name, moment in _moments(timestamp):
            if name == "Expires" and moment < now - timedelta(seconds=_SKEW):
                raise UnreadableError(f"it has expired at {moment:%Y-%m-%dT%H:%M:%SZ}; is it an old answer?")
            if name == "Created" and moment > now + timedelta(seconds=_SKEW):
                raise UnreadableError(f"it was made at {moment:%Y-%m-%dT%H:%M:%SZ}, which is yet to come")


def _signature(settings: SoapSettings) -> "tuple[Signer | None, Verifier | None]":
    if settings.wss_cert is None and settings.wss_verify_cert is None:
        return None, None
    try:
        from adaptors.soap.security.signature import Signer, Verifier
    except ImportError as error:
        setting = "wss_verify_cert" if settings.wss_cert is None else "wss_cert"
        extra = "pip install 'legacy-event-adaptor-toolkit[soap-signature]'"
        raise ConfigError(f"{setting}: signatures need what is not installed ({error.name}): {extra}") from error
    password = settings.wss_key_password.get_secret_value() if settings.wss_key_password else None
    faults: list[str] = []
    signer = verifier = None
    if settings.wss_cert is not None:
        try:
            signer = Signer(settings.wss_cert, settings.wss_key or settings.wss_cert, password, settings.wss_digest)
        except ConfigError as error:
            faults += error.faults
    if settings.wss_verify_cert is not None:
        try:
            verifier = Verifier(settings.wss_verify_cert)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(*faults)
    return signer, verifier


def _is_signed(element: etree._Element, ids: frozenset[str]) -> bool:
    """Whether this very element is signed: its id is, and nothing else in the document has the same."""
    own = element.get(WSU_ID) or element.get("Id") or element.get("ID")
    if own not in ids:
        return False
    found = element.getroottree().xpath(f"//*[@*[{_ID_NAMES}] = $id]", id=own)
    return found == [element]


def _moments(timestamp: etree._Element) -> Iterator[tuple[str, datetime]]:
    for child in timestamp:
        try:
            moment = datetime.fromisoformat((child.text or "").strip())
        except ValueError as error:
            raise UnreadableError("its Timestamp is not one") from error
        yield etree.QName(child).localname, moment if moment.tzinfo else moment.replace(tzinfo=UTC)
