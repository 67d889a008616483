"""What `doctor` says beyond yes and no: what a server lacks, and where mails of ours are to lie."""

import base64
import json
from datetime import UTC, datetime

import pytest

from connectors.graph import permissions
from connectors.graph.options import MailboxOptions
from connectors.imap import KIND, capabilities
from connectors.memory.filing import MemoryFiling
from crm_sync.app import App, read_settings
from crm_sync.cli.configuration import examine_all
from crm_sync.core.records import Finding
from crm_sync.ports import Surroundings
from crm_sync.runtime import sending_domain
from crm_sync.runtime.doctor import examine_filing
from crm_sync.testing.clock import FixedClock
from tests.servers.graph import running
from tests.servers.graph_account import ACCOUNT, Account
from tests.servers.scripted_imap import FULL, PASSWORD, USER, ScriptedImap

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
KARIN = "karin@acme.example"
WHERE = Surroundings("karin/imap", FixedClock(NOW), UTC)
BARE = frozenset({"IMAP4rev1", "SASL-IR"})
CONFIGURATION = """
[team]
name = "Acme AB"
domains = ["acme.example"]

[[reps]]
email = "karin@acme.example"
name = "Karin Ek"

[[mailboxes]]
rep = "karin@acme.example"
connector = "imap"
host = "127.0.0.1"
port = {port}
security = "none"
username = "karin"
password = "{password}"

[sender]
connector = "smtp"
host = "127.0.0.1"
port = 1
security = "none"
from = "Acme <crm@acme.example>"

[[senders]]
rep = "karin@acme.example"
connector = "smtp"
host = "127.0.0.1"
port = 1
security = "none"
{filing}
[[greetings]]
occasion = "birthday"
customers = "{customers}"
"""


def imap_options(server, **more):
    return KIND.options(
        host=server.host, port=server.port, security="none", username=USER, password=PASSWORD, **more
    )  # fmt: skip


@pytest.fixture
def server():
    with ScriptedImap(FULL) as server:
        yield server
        assert server.violations == []


# -- what an IMAP server lacks -------------------------------------------------------------------


def problems(offered):
    return [finding.problem for finding in capabilities.notes(offered)]


def test_a_server_that_offers_only_what_it_must_is_told_of_and_nothing_is_wrong():
    found = list(capabilities.notes(BARE))
    assert all(finding.ok and finding.problem and finding.advice for finding in found)
    assert problems(BARE)[0] == "no IDLE: new mail is seen at the next poll"
    assert [f.name for f in found] == ["IDLE", "SPECIAL-USE", "NAMESPACE", "LIST-STATUS"]


def test_one_way_to_hear_of_new_mail_is_enough():
    rest = {"SPECIAL-USE", "NAMESPACE", "LIST-STATUS"}
    assert problems(rest | {"IDLE"}) == problems(rest | {"NOTIFY"}) == []
    assert len(problems(rest)) == 1


@pytest.mark.parametrize(
    ("offered", "notes"),
    [
        (BARE, {"IDLE", "SPECIAL-USE", "NAMESPACE", "LIST-STATUS"}),
        (FULL, {"NAMESPACE"}),
        (FULL | {"NAMESPACE"}, set()),
    ],
)
def test_the_probe_of_a_mailbox_notes_what_its_server_lacks(offered, notes):
    with ScriptedImap(offered) as server:
        source = KIND.build(imap_options(server), WHERE)
        found = list(source.probe())
        source.close()
    assert all(finding.ok for finding in found)
    assert {finding.name for finding in found if finding.problem} == notes


# -- folders for mails of ours -------------------------------------------------------------------


def test_folders_for_drafts_and_sent_mail_are_looked_for_and_not_written_to(server):
    server.make(b"Utkast", rb"\Drafts")
    server.make(b"Skickat", rb"\Sent")
    assert KIND.filing is not None
    found = examine_filing(KIND.filing(imap_options(server), WHERE), ("drafts", "sent"))
    assert [(f.name, f.ok) for f in found] == [
        ("folder for drafts: Utkast", True),
        ("folder for sent mail: Skickat", True),
    ]


def test_a_folder_that_is_not_there_is_told_with_what_to_do(server):
    server.make(b"Sent")
    assert KIND.filing is not None
    drafts, sent = examine_filing(KIND.filing(imap_options(server), WHERE), ("drafts", "sent"))
    assert (drafts.ok, sent.ok) == (False, True)
    assert drafts.problem == "the mailbox has no folder for drafts"
    assert "Make one" in drafts.advice


def test_a_server_that_is_away_is_told_and_nothing_raises(server):
    assert KIND.filing is not None
    filing = KIND.filing(imap_options(server), WHERE)
    server.__exit__()
    (finding,) = examine_filing(filing, ("sent",))
    assert not finding.ok
    assert finding.advice


def test_a_filing_that_can_not_be_tried_is_left_alone():
    assert examine_filing(MemoryFiling(), ("sent",)) == []


@pytest.fixture
def doctor(server, tmp_path, monkeypatch):
    """What `doctor` finds of accounts with these settings."""
    monkeypatch.setattr(sending_domain, "examine", lambda *_: [])

    def examine(*, filing="", customers="ask", password=PASSWORD):
        path = tmp_path / "crm-sync.toml"
        path.write_text(
            CONFIGURATION.format(
                port=server.port, filing=filing, customers=customers, password=password
            )
        )
        app = App(read_settings(path), FixedClock(NOW))
        try:
            found = examine_all(app, [])
        finally:
            app.close()
        return {f.name.partition(": ")[2]: f for f in found if f.name.startswith(f"{KARIN}/imap")}

    return examine


def folders_for(found: dict[str, Finding]) -> dict[str, bool]:
    return {name: f.ok for name, f in found.items() if name.startswith("folder for")}


def test_doctor_tries_the_sent_folder_where_a_sender_has_a_filing(doctor, server):
    server.make(b"Sent", rb"\Sent")
    assert folders_for(doctor(filing=f'filing = "{KARIN}/imap"')) == {
        "folder for sent mail: Sent": True
    }


def test_doctor_tries_the_drafts_folder_where_greetings_become_drafts(doctor, server):
    assert folders_for(doctor(customers="draft")) == {"folder for drafts": False}
    server.make(b"Drafts", rb"\Drafts")
    assert folders_for(doctor(customers="draft")) == {"folder for drafts: Drafts": True}


def test_doctor_looks_for_no_folder_that_nothing_is_put_into(doctor):
    assert folders_for(doctor()) == {}


def test_doctor_does_not_show_a_refused_password_twice(doctor, server):
    found = doctor(filing=f'filing = "{KARIN}/imap"', password="wrong")
    assert not found["sign in"].ok
    assert folders_for(found) == {}
    assert sum(b" LOGIN " in line for line in server.history) == 1


# -- what a token of Microsoft's holds -----------------------------------------------------------


def token(claims):
    """An access token as Entra makes them (RFC 7519), unsigned."""
    parts = ({"typ": "JWT", "alg": "RS256"}, claims)
    encoded = (
        base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts
    )
    return ".".join([*encoded, "c2lnbmF0dXJl"])


@pytest.fixture
def account():
    with running() as graph:
        account = Account(graph)
        yield account
        account.close()


def gives(account, claims, allowed):
    """Entra gives a token with these claims, Graph allows what is in `allowed`."""
    given, entra = token(claims), account.graph.entra
    entra._good.add(given)
    entra._scopes[given] = set(allowed)
    answer = {"token_type": "Bearer", "expires_in": 3600, "access_token": given}
    entra.on_token = lambda _: (200, json.dumps(answer).encode(), {})


def of_permissions(opened):
    return next((f for f in opened.probe() if f.name == "permissions"), None)


def test_a_sender_without_the_right_to_send_is_found_before_a_mail_is(account):
    gives(account, {"roles": ["Mail.Read"]}, ["Mail.Read"])
    finding = of_permissions(account.sender())
    assert (finding.ok, finding.problem) == (False, "the token does not hold Mail.Send")
    assert "grant admin consent" in finding.advice
    assert "RBAC" not in finding.advice


def test_drafts_need_the_right_to_write(account):
    gives(account, {"roles": ["Mail.Send", "Mail.Read"]}, ["Mail.Read"])
    assert "Mail.ReadWrite" in of_permissions(account.sender(drafts=True)).problem


@pytest.mark.parametrize(
    "roles", [["Mail.Read"], ["Mail.ReadWrite"], ["mail.read", "User.Read.All"]]
)
def test_a_mailbox_that_may_be_read_is_well(account, roles):
    gives(account, {"roles": roles}, ["Mail.Read"])
    assert of_permissions(account.source()) == Finding("permissions", ok=True)


def test_a_mailbox_of_which_only_the_basics_may_be_read_is_not_well(account):
    gives(account, {"roles": ["Mail.ReadBasic.All"]}, ["Mail.Read"])
    finding = of_permissions(account.source())
    assert (finding.ok, finding.problem) == (False, "the token does not hold Mail.Read")


def test_a_right_that_exchange_itself_gives_does_not_show_and_is_no_fault(account):
    gives(account, {"aud": "https://graph.example"}, ["Mail.Read"])
    found = list(account.source().probe())
    assert all(finding.ok for finding in found)
    (finding,) = (f for f in found if f.name == "permissions")
    assert "RBAC for Applications" in finding.advice


def person(**options):
    options = {"username": KARIN, "tenant": "acme.example", "client_id": "c"} | options
    return MailboxOptions(**options)


@pytest.mark.parametrize(
    ("shared", "scopes", "missing"),
    [
        (False, "User.Read Mail.Read", None),
        (False, "Mail.ReadWrite", None),
        (False, "Mail.Read.Shared", None),
        (True, "Mail.Read.Shared", None),
        (True, "Mail.ReadWrite.Shared", None),
        (True, "Mail.Read", "Mail.Read.Shared"),
        (False, "Mail.Send", "Mail.Read"),
    ],
)
def test_what_a_person_has_given_is_told_apart(shared, scopes, missing):
    options = person(shared=shared)
    (finding,) = permissions.findings(options, token({"scp": scopes}), ACCOUNT)
    assert finding.ok is (missing is None)
    if missing:
        assert finding.problem == f"the token does not hold {missing}"
        assert f"crm-sync login {ACCOUNT}" in finding.advice


@pytest.mark.parametrize(
    "opaque",
    [
        "access-1",
        "a.b.c",
        "EwB4A8l6BAAU.",
        "a.é.c",
        "..",
        f"a.{base64.urlsafe_b64encode(b'[' * 40_000).decode()}.c",
        f"a.{base64.urlsafe_b64encode(b'[1, 2]').decode()}.c",
        f"a.{'A' * 70_000}.c",
    ],
)
def test_a_token_that_can_not_be_read_is_nobodys_business(opaque):
    assert list(permissions.findings(person(), opaque, ACCOUNT)) == []


@pytest.mark.parametrize("scp", [None, 5, ["Mail.Read"], {"Mail.Read": 1}])
def test_claims_of_another_shape_say_nothing_of_a_person(scp):
    assert list(permissions.findings(person(), token({"scp": scp}), ACCOUNT)) == []


def test_a_token_is_never_shown():
    given = token({"scp": "Mail.Send canary"})
    (finding,) = permissions.findings(person(), given, ACCOUNT)
    assert given.split(".")[1] not in repr(finding)
    assert "canary" not in repr(finding)
