"""The configuration file of the demo: what a team of three would write, and two odd values."""

from collections.abc import Iterator

from crm_sync.demo.people import REPS, TEAM_ADDRESS, Rep
from crm_sync.demo.servers import HOST, DemoServers

_HEAD = """\
# Written by `crm-sync demo`. Yours has TLS and a password for each; the rest looks like this.

[database]
url = "sqlite:///crm-sync.db"

[secrets]
dir = "secrets"

[team]
name = "Acme Furniture"
domains = ["acme.example"]
language = "en"
timezone = "Europe/Stockholm"
# The demo must work at any hour of any day. Yours says "Mon-Fri 08:00-17:00", and which country.
working_hours = "Mon-Sun 00:00-24:00"
"""

_SENDER = """\
[sender]
connector = "smtp"
host = "{host}"
port = {port}
security = "none"
from = "Acme Furniture <{address}>"

[matching]
domains = "inferred"

[sending]
customers = "ask"
digest_at = "00:00"

[[greetings]]
occasion = "birthday"
send_at = "00:00"
customers = "auto"                     # only to those who agreed: greeting_basis in customers.csv

[[reminders]]
kind = "unanswered"
after = "1 second"                     # nobody wants to wait here; yours says "2 business days"
"""

_REP = """\
[[reps]]
email = "{rep.email}"
name = "{rep.name}"
aliases = ["{rep.alias}"]
language = "{rep.language}"
"""

_MAILBOX = """\
[[mailboxes]]
{whose}
connector = "imap"
host = "{host}"
port = {port}
security = "none"
username = "{user}"
password = "secret:demo"
since = "90d"
"""

_CALENDAR = """\
[[calendars]]
rep = "{rep.email}"
connector = "caldav"
url = "{url}"
username = "{rep.user}"
password = "secret:demo"
since = "365d"
ahead = "120d"
"""


def configuration(servers: DemoServers) -> str:
    """The text of crm-sync.toml for the team on these servers."""
    return "\n".join(_parts(servers))


def _parts(servers: DemoServers) -> Iterator[str]:
    yield _HEAD
    for rep in REPS:
        yield _REP.format(rep=rep)
    for rep in REPS:
        yield _mailbox(servers, f'rep = "{rep.email}"', rep.user)
    yield _mailbox(servers, f'address = "{TEAM_ADDRESS}"', "crm")
    for rep in REPS:
        yield _calendar(servers, rep)
    yield _SENDER.format(host=HOST, port=servers.smtp_port, address=TEAM_ADDRESS)


def _mailbox(servers: DemoServers, whose: str, user: str) -> str:
    return _MAILBOX.format(whose=whose, host=HOST, port=servers.imap_port, user=user)


def _calendar(servers: DemoServers, rep: Rep) -> str:
    return _CALENDAR.format(rep=rep, url=servers.caldav_url(rep.user))
