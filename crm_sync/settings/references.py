"""Names that must be there, and names that must not be there twice.

Works on the tables as they are written, so that one bad value does not hide another.
"""

from collections.abc import Mapping
from typing import Any

from crm_sync.core.addresses import canonical
from crm_sync.settings import checks
from crm_sync.settings.connectors import ACCOUNT_SECTIONS, tables_of
from crm_sync.settings.document import KeyPath
from crm_sync.settings.faults import Faults

# addresses of one domain are all rather alike
_SAME_DOMAIN = 0.85


def check_references(data: Mapping[str, Any], faults: Faults) -> None:
    """Notes undeclared reps, and addresses, names and rules that are given twice."""
    owners = _owners(data, faults)
    _check_managers(data, owners, faults)
    for section in (*ACCOUNT_SECTIONS, "senders"):
        for at, table in tables_of(data, section):
            _check_declared((*at, "rep"), table.get("rep"), owners, faults)
            for rep in reps_of(table):
                _check_declared((*at, "reps"), rep, owners, faults)
    _check_account_names(data, faults)
    for section, key in (("senders", "rep"), ("greetings", "occasion"), ("reminders", "kind")):
        _check_once(data, section, key, faults)


def _owners(data: Mapping[str, Any], faults: Faults) -> dict[str, str]:
    """Canonical address -> declared address of the rep it belongs to."""
    first: dict[str, tuple[KeyPath, str]] = {}
    for at, rep in tables_of(data, "reps"):
        email, aliases = rep.get("email"), rep.get("aliases")
        if not isinstance(email, str):
            continue
        others = aliases if isinstance(aliases, list) else []
        for key, address in (("email", email), *(("aliases", alias) for alias in others)):
            form = canonical(address) if isinstance(address, str) else None
            if form is None:
                continue
            taken, owner = first.setdefault(form, (at, email))
            if taken != at:
                problem = f'{checks.quoted(address)} belongs to the rep "{owner}" already'
                faults.add((*at, key), problem, "An address belongs to one rep.")
    return {form: owner for form, (_, owner) in first.items()}


def _check_managers(data: Mapping[str, Any], owners: Mapping[str, str], faults: Faults) -> None:
    for at, rep in tables_of(data, "reps"):
        manager, email = rep.get("manager"), rep.get("email")
        _check_declared((*at, "manager"), manager, owners, faults)
        if isinstance(manager, str) and isinstance(email, str):
            form = canonical(manager)
            if form is not None and form == canonical(email):
                advice = "Name somebody else, or nobody."
                faults.add((*at, "manager"), "is the rep's own address", advice)


def _check_declared(path: KeyPath, rep: object, owners: Mapping[str, str], faults: Faults) -> None:
    form = canonical(rep) if isinstance(rep, str) else None
    owner = owners.get(form) if form else None
    if form is None or (owner is not None and canonical(owner) == form):
        return
    problem = f"{checks.quoted(str(rep))} is not declared as a rep"
    if owner is not None:
        faults.add(path, problem, f'It is an alias of "{owner}": write that.')
    else:
        near = checks.nearest(str(rep), set(owners.values()), likeness=_SAME_DOMAIN)
        faults.add(path, problem, f'Did you mean "{near}"?' if near else "Add it under [[reps]].")


def account_name(table: Mapping[str, Any]) -> str:
    """The name of an account or sender: its own, else rep/connector, or team/connector."""
    return str(table.get("name") or f"{table.get('rep') or 'team'}/{table.get('connector')}")


def _check_account_names(data: Mapping[str, Any], faults: Faults) -> None:
    """Names are compared without case: they are typed on command lines."""
    first: dict[str, KeyPath] = {}
    for section in ACCOUNT_SECTIONS:
        for at, table in tables_of(data, section):
            tables = [{**table, "rep": rep} for rep in reps_of(table)] or [table]
            for name in map(account_name, tables):
                taken = first.setdefault(name.lower(), at)
                if taken != at:
                    other = f"{taken[0]} number {int(taken[1]) + 1}"
                    problem = f"{checks.quoted(name)} is the name of {other} already"
                    faults.add((*at, "name"), problem, "Give one of them a `name` of its own.")


def reps_of(table: Mapping[str, Any]) -> list[object]:
    """The reps for each of whom a table stands, as written."""
    reps = table.get("reps")
    return (
        list(dict.fromkeys(r for r in reps if isinstance(r, str))) if isinstance(reps, list) else []
    )


def _check_once(data: Mapping[str, Any], section: str, key: str, faults: Faults) -> None:
    seen: set[str] = set()
    for at, table in tables_of(data, section):
        value = table.get(key)
        if isinstance(value, str):
            if value.lower() in seen:
                advice = f"Keep one [[{section}]] for it."
                faults.add((*at, key), f"{checks.quoted(value)} is listed twice", advice)
            seen.add(value.lower())
