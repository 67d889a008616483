"""Us, as the use cases know us."""

from crm_sync.core.addresses import canonical
from crm_sync.flow.setup import Person
from crm_sync.settings.model import AccountSettings, Settings


def people(settings: Settings) -> tuple[tuple[Person, ...], Person | None]:
    """The reps and the admin, who may be one of them."""
    team = settings.team
    reps = tuple(
        Person(r.email, r.name, r.language, r.timezone, r.timezone.key, r.manager)
        for r in settings.reps
    )
    declared = rep_addresses(settings)
    if team.admin is None:
        return reps, None
    admin = declared.get(canonical(team.admin) or "")
    one_of_us = (rep for rep in reps if rep.email == admin)
    zone = team.timezone
    return reps, next(one_of_us, Person(team.admin, "", team.language, zone, zone.key))


def rep_addresses(settings: Settings) -> dict[str, str]:
    """The address of each rep by all those she has or had: canonical -> as declared today."""
    return {
        canonical(address) or address: rep.email
        for rep in settings.reps
        for address in (rep.email, *rep.aliases)
    }


def team_address(account: AccountSettings, domain: str) -> str | None:
    """The own address of a team mailbox: as configured, else its user name, with our domain."""
    if account.kind != "mailbox" or account.rep is not None:
        return None
    user = str(getattr(account.options, "username", ""))
    if not account.address and user and "@" not in user:
        user = f"{user}@{domain}" if domain else ""
    return account.address or user or None
