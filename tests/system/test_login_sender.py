"""A rep's own Microsoft 365 sender signs in by itself: its own name, permissions and tokens."""

import shlex
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.connectors.test_oauth_sign_in import visit
from tests.servers.entra import CLIENT, TENANT
from tests.servers.graph import USER, running
from tests.system.test_login import log_in

MAILBOX, SENDER = f"{USER}/microsoft365", f"{USER}/sender"
CONFIGURATION = """
[team]
name = "Acme AB"
domains = ["acme.example"]
timezone = "{zone}"

[[reps]]
email = "{user}"
name = "Karin Ek"

[[mailboxes]]
rep = "{user}"
connector = "microsoft365"
{graph}

[sender]
connector = "smtp"
host = "127.0.0.1"
port = {smtp}
security = "none"
from = "Acme <crm@acme.example>"

[[senders]]
rep = "{user}"
connector = "microsoft365"
look_in_sent = false
{graph}

[[greetings]]
occasion = "birthday"
send_at = "00:00"
customers = "auto"
"""


@pytest.fixture
def graph():
    with running() as graph:
        graph.entra.lifetime = 60  # shorter than MSAL's margin: every command has to renew
        yield graph


@pytest.fixture
def office(installation, graph, smtp):
    """Karin, and Lena, whose birthday it is; it is noon, so that no day ends meanwhile."""
    now = datetime.now(UTC)  # noqa: TID251  # the command's own clock
    ahead = 12 - now.hour
    today = (now + timedelta(hours=ahead)).date()
    keys = {
        "username": USER,
        "tenant": TENANT,
        "client_id": CLIENT,
        "base_url": graph.root,
        "authority": graph.origin,
        "ca_file": graph.ca_file,
    }
    installation.write(
        CONFIGURATION.format(
            zone=f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT",
            user=USER,
            graph="\n".join(f'{key} = "{value}"' for key, value in keys.items()),
            smtp=smtp.port,
        )
    )
    (installation.folder / "c.csv").write_text(
        "name,company,emails,birthday,greeting_basis,owner\n"
        f"Lena Vik,Nordvik AB,lena@nordvik.example,--{today:%m-%d},consent,{USER}\n"
    )
    installation.ok("import", "c.csv")
    return installation


def _permissions(scope):
    names = {one.rpartition("/")[2] for one in scope.split()}
    return tuple(sorted(names - {"openid", "profile", "offline_access"}))


class Browser:
    """Signs in wherever it is sent, and notes which permissions were asked for."""

    def __init__(self, graph):
        self.graph = graph
        self.asked = set()

    def __call__(self, _process, address):
        (scope,) = parse_qs(urlsplit(address).query)["scope"]
        self.asked = set(_permissions(scope))
        visit(self.graph.entra.approve(address))


def sign_in(office, graph, name):
    """The permissions that a person was asked for at that name."""
    browser = Browser(graph)
    done = log_in(office, browser, name)
    assert done.status == 0, done.err
    return browser.asked


def faults(office):
    """What `doctor` finds wrong with the mailbox, and with its rep's sender."""
    lines = office.run("doctor", "--json").lines()
    found = [
        [line for line in lines if line["name"].startswith(f"{name}: ")]
        for name in (MAILBOX, f"sender of {USER}")
    ]
    assert all(found)
    return tuple([line for line in mine if not line["ok"]] for mine in found)


def test_the_command_that_doctor_names_signs_the_sender_in_and_a_greeting_leaves_by_it(
    office, graph, smtp
):
    graph.entra.consented = set()
    assert sign_in(office, graph, MAILBOX) == {"Mail.Read"}

    mailbox, (sender,) = faults(office)
    assert mailbox == []
    assert sender["advice"] == f"Run: crm-sync login {SENDER}"
    office.run("run", "--once")
    (row,) = office.ok("outbox", "--json").lines()
    assert row["state"] == "queued"
    assert row["error"].endswith(sender["advice"])

    _, _, name = shlex.split(sender["advice"].removeprefix("Run: "))
    assert sign_in(office, graph, name) == {"Mail.Send"}

    assert faults(office) == ([], [])
    office.ok("run", "--once")
    (mailed,) = graph.mailed
    assert mailed.recipients == ("lena@nordvik.example",)
    assert f"From: Karin Ek <{USER}>".encode() in mailed.data
    assert smtp.messages == []


def test_each_of_the_two_renews_with_its_own_permissions_and_spares_the_other(office, graph):
    graph.entra.consented = set()
    for name in (MAILBOX, SENDER):
        sign_in(office, graph, name)
    graph.entra.requests.clear()
    for _ in range(2):
        assert faults(office) == ([], [])
    asked = {_permissions(form["scope"]) for form in graph.entra.requests}
    assert asked == {("Mail.Read",), ("Mail.Send",)}


def test_one_sign_in_serves_both_where_the_tenant_allows_all(office, graph):
    """As before the sender had a name of its own, so that an upgrade asks nobody to sign in."""
    sign_in(office, graph, MAILBOX)
    office.ok("run", "--once")
    assert len(graph.mailed) == 1
    assert faults(office) == ([], [])
    office.ok("sync")


def test_a_wrong_name_lists_those_of_accounts_and_senders(office):
    result = office.run("login", "karin")
    assert result.status == 2
    assert f"Configured: {MAILBOX}, team/sender, {SENDER}." in result.err


def test_a_sender_is_known_by_its_earlier_name_where_no_account_has_it(office):
    result = office.run("login", "team/smtp")
    assert result.status == 2
    assert "team/sender signs in with" in result.err
