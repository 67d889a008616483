"""Which mailbox keeps a sender's drafts and its copies in Sent: `filing` and `sent_copy`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_sync.core.addresses import canonical
from crm_sync.ports import SourceKind
from crm_sync.settings import checks
from crm_sync.settings.connectors import tables_of
from crm_sync.settings.document import KeyPath
from crm_sync.settings.faults import Faults
from crm_sync.settings.model import AccountSettings, SenderSettings, Settings
from crm_sync.settings.references import account_name, reps_of


@dataclass(frozen=True, slots=True)
class _Mailbox:
    """A mailbox as it is written; `rep` is canonical."""

    name: str
    rep: str | None
    can_file: bool


def check_filings(
    data: Mapping[str, Any], source_kinds: Mapping[str, SourceKind], faults: Faults
) -> None:
    """Notes mailboxes that are named for copies and drafts and can't keep them."""
    mailboxes = _mailboxes(data, source_kinds)
    for section in ("sender", "senders"):
        for at, table in tables_of(data, section):
            rep = _canonical(table.get("rep"))
            if isinstance(table.get("filing"), str):
                _check_named((*at, "filing"), table["filing"], rep, mailboxes, faults)
            elif table.get("sent_copy") is True and not _only_own(rep, mailboxes):
                problem = "wants copies, and no mailbox is named for them"
                faults.add((*at, "sent_copy"), problem, 'Add filing = "…", one of [[mailboxes]].')


def _check_named(
    path: KeyPath, name: str, rep: str | None, mailboxes: Sequence[_Mailbox], faults: Faults
) -> None:
    found = next((box for box in mailboxes if box.name.lower() == name.lower()), None)
    if found is None:
        advice = checks.did_you_mean(name, [box.name for box in mailboxes])
        problem = f"{checks.quoted(name)} is not the name of one of [[mailboxes]]"
        faults.add(path, problem, advice or "A mailbox is named rep/connector, or by its `name`.")
    elif not found.can_file:
        problem = f"{checks.quoted(name)} can only be read"
        faults.add(path, problem, 'Mailboxes with connector "imap" or "gmail" can keep mails.')
    elif found.rep is not None and found.rep != rep:
        advice = "Name the rep's own mailbox, or one of the team."
        faults.add(path, f"{checks.quoted(name)} is the mailbox of another rep", advice)


def _mailboxes(data: Mapping[str, Any], source_kinds: Mapping[str, SourceKind]) -> list[_Mailbox]:
    return [
        _Mailbox(
            account_name(written),
            _canonical(written.get("rep")),
            _can_file(source_kinds.get(str(table.get("connector")))),
        )
        for _, table in tables_of(data, "mailboxes")
        for written in [{**table, "rep": rep} for rep in reps_of(table)] or [table]
    ]


def _can_file(kind: SourceKind | None) -> bool:
    return kind is not None and kind.filing is not None


def _only_own(rep: str | None, mailboxes: Sequence[_Mailbox]) -> bool:
    return rep is not None and sum(box.can_file and box.rep == rep for box in mailboxes) == 1


def _canonical(address: object) -> str | None:
    return canonical(address) if isinstance(address, str) else None


def filing_of(
    named: str | None, rep: str | None, accounts: Sequence[AccountSettings], *, wanted: bool
) -> str | None:
    """The name of a sender's mailbox: the one `named`, else, where `wanted`, the rep's own."""
    if named is not None:
        return next((a.name for a in accounts if a.name.lower() == named.lower()), None)
    own = own_mailbox(rep, accounts) if wanted and rep is not None else None
    return own.name if own else None


def own_mailbox(rep: str, accounts: Sequence[AccountSettings]) -> AccountSettings | None:
    """The one mailbox of a rep that can keep mails; None when there are none or several."""
    own = [account for account in accounts if account.can_file and account.rep == rep]
    return own[0] if len(own) == 1 else None


def drafts_of(settings: Settings, rep: str) -> AccountSettings | SenderSettings | None:
    """Where drafts for a rep are put: her sender's mailbox or the sender itself, else her mailbox.

    A sender keeps drafts where its options have `drafts = true`.
    """
    sender = next((one for one in settings.senders if one.rep == rep), None)
    if sender is not None and sender.filing is not None:
        return next(a for a in settings.accounts if a.name == sender.filing)
    if sender is not None and getattr(sender.options, "drafts", False) is True:
        return sender
    return own_mailbox(rep, settings.accounts)
