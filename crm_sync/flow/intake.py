"""Import: customers from a file into the diary, and their past into the queue."""

from dataclasses import replace
from typing import Any

from crm_sync.core.customer_files import CustomerFile
from crm_sync.core.customer_rows import CustomerRow
from crm_sync.core.domains import is_freemail
from crm_sync.flow.setup import Setup
from crm_sync.store import directory, intake
from crm_sync.store.customers import name_key

_OF_THE_COMPANY = (
    *("owner", "source", "domains", "address", "website"),
    *("customer_since", "last_purchase"),
)


def take_in(setup: Setup, file: CustomerFile) -> dict[str, Any]:
    """Takes in a customers file; the counts of `import --json`, and warnings.

    One transaction: either all good rows are in, with their past queued, or none.
    """
    done = intake.Intake(today=setup.now().astimezone(setup.zone).date())
    warnings = list(file.warnings)
    rows = _agreed([_checked(setup, row, warnings) for row in file.rows], warnings)
    with setup.store.write() as tx:
        before = setup.directory.load(tx)
        intake.take_in(tx, rows, done)
        if done.created or done.updated:
            directory.touch(tx)
        after = setup.directory.load(tx)
        directory.recall_past(
            tx,
            setup.store.keys,
            addresses={a: k for a, k in after.addresses.items() if before.addresses.get(a) != k},
            domains={d: c for d, c in after.domains.items() if before.domains.get(d) != c},
        )
    rejected = sorted((*file.rejected, *done.rejected), key=lambda row: row.line)
    return {
        "created": done.created,
        "updated": done.updated,
        "unchanged": done.unchanged,
        "rejected": [{"line": row.line, "reason": row.reason} for row in rejected],
        "warnings": warnings,
    }


def _checked(setup: Setup, row: CustomerRow, warnings: list[str]) -> CustomerRow:
    """The row without what the team's own configuration contradicts, each with a warning."""
    changes: dict[str, Any] = {}
    if row.owner is not None:
        owner = setup.team.rep(row.owner.lower())
        changes["owner"] = owner
        if owner is None:
            warnings.append(
                f"line {row.line}: the owner {row.owner} is not one of [[reps]]; left out"
            )
    if row.domains is not None:
        usable = tuple(d for d in row.domains if _can_be_listed(setup, d))
        warnings.extend(
            f"line {row.line}: {domain} is a mail provider's or our own domain; left out"
            for domain in row.domains
            if domain not in usable
        )
        changes["domains"] = usable
    return _with(row, changes)


def _agreed(rows: list[CustomerRow], warnings: list[str]) -> list[CustomerRow]:
    """The rows with what belongs to their company alike: the last row wins.

    Settled before anything is stored, so that the same file changes nothing the second time.
    """
    said: dict[str, dict[str, Any]] = {}
    for row in rows:
        company = said.setdefault(name_key(row.company or ""), {})
        for name in _OF_THE_COMPANY if row.company else ():
            value = getattr(row, name)
            if value is not None and company.setdefault(name, value) != value:
                warnings.append(
                    f"line {row.line}: another row of this company gives another {name}; "
                    "this one is kept"
                )
                company[name] = value
    return [_with(row, said[name_key(row.company)]) if row.company else row for row in rows]


def _with(row: CustomerRow, said: dict[str, Any]) -> CustomerRow:
    """The row with other values where they are others; most rows stay as they are."""
    changes = {name: value for name, value in said.items() if getattr(row, name) != value}
    return replace(row, **changes) if changes else row


def _can_be_listed(setup: Setup, domain: str) -> bool:
    return not is_freemail(domain) and not setup.team.is_ours(f"x@{domain}")
