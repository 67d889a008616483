"""Files of customers that `import` takes: CSV and vCard."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from crm_sync.core.csv_customers import read_csv
from crm_sync.core.customer_rows import CustomerRow, Rejected
from crm_sync.core.errors import UsageError
from crm_sync.core.vcard_customers import read_vcards

__all__ = ["MOST_BYTES", "CustomerFile", "CustomerRow", "Rejected", "parse_customers"]

MOST_BYTES: Final = 50_000_000
"""Largest file that is taken; a caller need not read more than a byte beyond."""

_MOST_LINES: Final = 1_000_000
_READERS: Final = {".csv": read_csv, ".vcf": read_vcards}


@dataclass(frozen=True, slots=True)
class CustomerFile:
    """What a file says: the rows that can be stored, those that can't, and remarks on the whole."""

    rows: tuple[CustomerRow, ...]
    rejected: tuple[Rejected, ...]
    warnings: tuple[str, ...]


def parse_customers(data: bytes, suffix: str) -> CustomerFile:
    """The customers in a file's bytes; `suffix` is ".csv" or ".vcf", in any case.

    Judges each row by itself: whether an address belongs to another contact only the store knows.
    Raises `UsageError` when the file as a whole can't be taken.
    """
    read = _READERS.get(suffix.lower())
    if read is None:
        raise UsageError(
            f'"{PurePath(suffix).name}" is no kind of file that can be imported',
            advice="Name a file that ends in .csv or .vcf.",
        )
    if len(data) > MOST_BYTES or data.count(b"\n") + data.count(b"\r") > 2 * _MOST_LINES:
        raise UsageError("the file is larger than 50 MB or a million lines", advice="Split it.")
    rows, rejected, warnings = read(_decoded(data))
    return CustomerFile(
        tuple(rows), tuple(sorted(rejected, key=lambda part: part.line)), tuple(warnings)
    )


def _decoded(data: bytes) -> str:
    if not data.strip():
        raise UsageError("the file is empty")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _not_utf8(f"the file is not UTF-8 text: line {line} holds something else") from None
    if "\0" in text.partition("\n")[0]:
        raise _not_utf8("the file is not UTF-8 text, it may be UTF-16")
    return text


def _not_utf8(problem: str) -> UsageError:
    return UsageError(problem, advice='Save it as UTF-8; spreadsheets call it "CSV UTF-8".')
