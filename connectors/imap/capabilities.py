"""What `doctor` says of a server that lacks an extension: nothing is wrong, something is slower."""

from collections.abc import Collection, Iterator
from typing import Final

from crm_sync.core.records import Finding

_NOTES: Final = (
    (
        ("NOTIFY", "IDLE"),
        "no IDLE: new mail is seen at the next poll",
        "Nothing is lost. Where it has to be sooner, shorten [daemon] poll_interval.",
    ),
    (
        ("SPECIAL-USE",),
        "no SPECIAL-USE: folders for sent mail, drafts, junk and trash are known by their names",
        "Name in `folders` what has a name of its own.",
    ),
    (
        ("NAMESPACE",),
        "no NAMESPACE: folders that others share can't be told from the account's own",
        "Name in `folders` what is to be read, should there be any.",
    ),
    (
        ("LIST-STATUS",),
        "no LIST-STATUS: each poll asks for every folder by itself",
        "Where there are very many, name in `folders` those that matter.",
    ),
)
"""Extensions of which any will do (RFC 5465 and 2177, 6154, 2342, 5819); what their lack means.

Without UNSELECT, ESEARCH or SASL-IR nobody notices anything.
"""


def notes(capabilities: Collection[str]) -> Iterator[Finding]:
    """A note for each extension that a signed-in server does not announce, of those that matter."""
    for wanted, problem, advice in _NOTES:
        if not any(name in capabilities for name in wanted):
            yield Finding(wanted[-1], ok=True, problem=problem, advice=advice)
