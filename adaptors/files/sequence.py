"""The sequence numbers of an adaptor's files: gap-free, taken in the commit that notes what bears them."""

from contextlib import suppress

from adapter_sdk.ledger.base import ClaimLost, Journal, JournalTransaction

SEQUENCE = "drop"
"""What the ledger calls them."""


def next_number(journal: Journal) -> int:
    """The number that the next file will have. It is taken when the file is noted."""
    number = 0
    with suppress(_NotTaken), journal.transaction() as transaction:
        number = transaction.next_number(SEQUENCE)
        raise _NotTaken
    return number


def take(number: int, transaction: JournalTransaction) -> None:
    """Take the number that was next when the file was made. Raises ClaimLost if another process has."""
    if transaction.next_number(SEQUENCE) != number:
        raise ClaimLost(f"the number {number} of its files is taken")


class _NotTaken(Exception):
    """Rolls a transaction back that only asked for the next number."""
