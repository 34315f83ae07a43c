"""Numbers as digits with an implied point, exactly: no float, no rounding, no decimal context."""

from decimal import Decimal

from adaptors.files.formats.record import shown


def digits_of(value: object, digits: int, decimals: int) -> tuple[bool, str]:
    """Whether the value is negative, and exactly `digits` digits of which the last `decimals` follow the point.

    Raises ValueError if the value is no int and no finite Decimal, needs more digits, or would lose decimals.
    A negative zero is a zero.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError(f"{shown(value)} is a {type(value).__name__}, not an int or a Decimal")  # noqa: TRY004  # as all misfits
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{value} is not a number")
    negative, text, exponent = _parts(value)
    shift = exponent + decimals
    # The size is judged before any zeros are written: 1E+999999999 is a short Decimal with a long expansion.
    if text and len(text) + shift > digits:
        room = f"{digits} digits" + (f", {decimals} of them decimals" if decimals else "")
        raise ValueError(f"{shown(value)} does not fit: the field holds {room}")
    if text and shift < 0:
        text, lost = text[:shift], text[shift:]
        if lost.strip("0"):
            raise ValueError(f"{shown(value)} has more decimals than the {decimals} that the field holds")
    elif text:
        text += "0" * shift
    return negative and bool(text), text.rjust(digits, "0")


def _parts(value: int | Decimal) -> tuple[bool, str, int]:
    """Sign, significant digits without leading zeros, and the power of ten of the last of them."""
    if isinstance(value, int):
        return value < 0, str(abs(value)).lstrip("0"), 0
    sign, figures, exponent = value.as_tuple()
    return bool(sign), "".join(map(str, figures)).lstrip("0"), int(exponent)


def number_of(negative: bool, digits: str, decimals: int) -> int | Decimal:
    """The number that these digits are: an int without decimals, else a Decimal with exactly that many."""
    if decimals <= 0:
        number = int(digits + "0" * -decimals)
        return -number if negative else number
    negative = negative and bool(digits.strip("0"))
    return Decimal(f"{'-' * negative}{digits}e-{decimals}")
