"""What may be wrong with the application's registration in Entra, and what is to be done about it.

Secrets and certificates end, and then all mailboxes stop at once: `findings` warns before,
`refusal` names the step that mends it after.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

from connectors.graph.answers import listed, text
from connectors.graph.certificate import read_certificate
from connectors.graph.options import GraphOptions
from crm_sync.core.errors import Refused
from crm_sync.core.records import Finding

SECRET_WARNING: Final = 30
CERTIFICATE_WARNING: Final = 14
"""Days before the end."""

_RENEW: Final = (
    "In Entra, App registrations, Certificates & secrets, make a new client secret; write its Value"
    " where client_secret is configured, and its end as secret_expires."
)
_REISSUE: Final = (
    "Make a new certificate, upload it in Entra, App registrations, Certificates & secrets, and put"
    " it with its private key into certificate_file."
)
_EXPIRED: Final = "the application's client secret has expired"
_KNOWN: Final[Mapping[int, tuple[str, str]]] = {
    7000222: (_EXPIRED, _RENEW),
    7000215: (
        "the client secret is not one of the application's",
        "Write the secret's Value, not its Secret ID; Entra shows it only when the secret is made.",
    ),
    700027: (
        "the certificate has expired or is not one of the application's",
        f"Upload the one in certificate_file. Has it expired? {_REISSUE}",
    ),
    700016: (
        "the tenant knows no such application",
        "Check tenant, and client_id (the Application ID in App registrations).",
    ),
    7000218: (
        "the application's registration lets no person sign in from a program like this",
        "In Entra, App registrations, Authentication, set Allow public client flows to Yes.",
    ),
}


def findings(options: GraphOptions, account: str, now: datetime) -> Iterator[Finding]:
    """Whether the secret or the certificate ends soon. Raises `Refused` for an unusable file."""
    if options.secret_expires is not None:
        days = (options.secret_expires - now.date()).days
        yield _finding("client_secret", options.secret_expires, days, SECRET_WARNING, _RENEW)
    if options.certificate_file is not None:
        end = read_certificate(options.certificate_file, account).ends_at
        days = (end - now).days
        yield _finding("certificate", end.date(), days, CERTIFICATE_WARNING, _REISSUE)


def _finding(name: str, end: date, days: int, warning: int, advice: str) -> Finding:
    """`days` are those that are left; below 0 it has expired."""
    title = f"{name} until {end}"
    if days > warning:
        return Finding(title, ok=True)
    problem = f"it expires on {end}" if days >= 0 else f"it expired on {end}"
    return Finding(title, ok=days >= 0, problem=problem, advice=advice)


def refusal(answer: Mapping[str, Any], options: GraphOptions, account: str, today: date) -> Refused:
    """The error for an OAuth answer by which Microsoft refuses the registration.

    Microsoft does not promise its numbers (`error_codes`) for ever: they choose words alone.
    """
    codes = {code for code in listed(answer.get("error_codes")) if type(code) is int}
    known = next((words for code, words in _KNOWN.items() if code in codes), None)
    if known is None and _is_over(options, today) and text(answer.get("error")) == "invalid_client":
        known = (_EXPIRED, _RENEW)
    what, advice = known or (
        "Microsoft refuses the application registration",
        "Check client_id, tenant and the secret or certificate, which may have expired.",
    )
    return Refused(what, where=account, advice=advice, kind="registration")


def _is_over(options: GraphOptions, today: date) -> bool:
    return options.secret_expires is not None and options.secret_expires < today
