"""Customers in a CSV file (RFC 4180, and what spreadsheets make of it)."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from crm_sync.core.clean import clean
from crm_sync.core.customer_rows import COLUMNS, SEVERAL, CustomerRow, Rejected, check_row
from crm_sync.core.errors import UsageError

_SEPARATORS: Final = ",;\t"
_LONGEST_RECORD: Final = 250_000
_MOST_RECOVERIES: Final = 100
_LIKENESS: Final = 0.75
_HEADER_ADVICE: Final = f"The first line names the columns: {', '.join(COLUMNS)}."


class _Lines:
    """The lines of a file for the reader of csv, with the place it has come to."""

    def __init__(self, text: str) -> None:
        # unlike str.splitlines, which also splits at form feeds and the like
        self._lines = list(io.StringIO(text, newline=""))
        self.position = 0
        self.start = 0
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.position >= len(self._lines):
            raise StopIteration
        line = self._lines[self.position]
        self._length += len(line)
        if self._length > _LONGEST_RECORD:
            raise csv.Error
        self.position += 1
        return line

    def begin(self) -> None:
        """Notes that a record begins here."""
        self.start, self._length = self.position, 0

    def skip_one(self) -> None:
        """Leaves out the first line of the record, whatever the reader made of it."""
        self.position = self.start + 1


def read_csv(text: str) -> tuple[list[CustomerRow], list[Rejected], list[str]]:
    """The rows of a file with a header, those rejected, and warnings.

    Raises `UsageError` when there is no header, or one that can't be used.
    """
    lines = _Lines(text)
    separator = _separator(text)
    records = _records(lines, separator)
    first = next(records, None)
    if first is not None and not isinstance(first, Rejected) and first[1][0].startswith("sep="):
        first = next(records, None)  # Excel's own way to say which separator it used
    if first is None or isinstance(first, Rejected):
        raise UsageError("the file has no header row", advice=_HEADER_ADVICE)
    columns, warnings = _columns(first[1])
    rows: list[CustomerRow] = []
    rejected: list[Rejected] = []
    for record in records:
        result = record if isinstance(record, Rejected) else _row(*record, columns)
        (rejected if isinstance(result, Rejected) else rows).append(result)  # type: ignore[arg-type]
    return rows, rejected, warnings


def _records(lines: _Lines, separator: str) -> Iterator[tuple[int, list[str]] | Rejected]:
    """The records that are not empty, with the line each begins on."""
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    recoveries = 0
    while True:
        lines.begin()
        line = lines.start + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield Rejected(
                line, "can't be read: is a quotation mark not closed, or a cell far too long?"
            )
            # An unclosed quote swallows the lines behind it. They are read again, but not for ever.
            recoveries += 1
            if recoveries <= _MOST_RECOVERIES or lines.position == lines.start:
                lines.skip_one()
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells


def _separator(text: str) -> str:
    """The separator by which the header has most columns that we know."""
    for line in text[:100_000].splitlines()[:2]:
        known = {
            separator: sum(
                name.strip(' "').lower() in COLUMNS for name in line.lstrip("\n").split(separator)
            )
            for separator in _SEPARATORS
        }
        best = max(known, key=lambda separator: known[separator])
        if known[best]:
            return best
    return ","


def _columns(header: Sequence[str]) -> tuple[list[str], list[str]]:
    """The name of each column ("" where it has none), and warnings."""
    names = [clean(name).strip() for name in header]
    columns = [name.lower() if name.lower() in COLUMNS else name for name in names]
    if "name" not in columns and "emails" not in columns:
        problem = "the file has no header row with a column name or emails"
        raise UsageError(problem, advice=_HEADER_ADVICE)
    twice = {name for name in columns if name and columns.count(name) > 1}
    if twice:
        listed = ", ".join(sorted(twice))
        raise UsageError(f"the header names a column twice: {listed}", advice="Rename one.")
    warnings = []
    for name in columns:
        near = get_close_matches(name.lower(), COLUMNS, n=1, cutoff=_LIKENESS)
        if name and name not in COLUMNS and near:
            warnings.append(
                f'the column "{name}" is kept as a custom field; did you mean "{near[0]}"?'
            )
    if "" in columns:
        warnings.append("a column without a name is left out")
    return columns, warnings


def _row(line: int, record: Sequence[str], columns: Sequence[str]) -> CustomerRow | Rejected:
    if any(cell.strip() for cell in record[len(columns) :]):
        reason = f"has {len(record)} cells where the header has {len(columns)}"
        return Rejected(line, reason)
    written: Mapping[str, str] = dict(zip(columns, record, strict=False))
    cells = {
        column: tuple(cell.split("|")) if column in SEVERAL else (cell,)
        for column, cell in written.items()
        if column in COLUMNS
    }
    custom = {
        column: cell.strip()
        for column, cell in written.items()
        if column and column not in COLUMNS and cell.strip()
    }
    return check_row(line, cells, custom)
