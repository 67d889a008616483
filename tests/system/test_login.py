"""`login` as an admin meets it: a browser here or elsewhere, consent withdrawn, nothing lost after."""

import os
import subprocess
import threading
import uuid

import pytest

from tests.connectors.test_oauth_sign_in import landing_of, visit
from tests.servers.dovecot import MISSING, binary
from tests.servers.oauth_server import SECRET, OAuthServer
from tests.system.conftest import COMMAND, Result

ACCOUNT = "karin@acme.example/gmail"
MAIL = (
    b"From: Lena <lena@nordvik.example>\r\nTo: karin@acme.example\r\nSubject: Offer %d\r\n"
    b"Message-ID: <%d@nordvik.example>\r\n\r\ntext\r\n"
)
TOML = """
[database]
url = "sqlite:///crm-sync.db"
[team]
domains = ["acme.example"]
[[reps]]
email = "karin@acme.example"
name = "Karin Ek"
[[mailboxes]]
rep = "karin@acme.example"
connector = "gmail"
username = "{user}"
client_id = "{client_id}"
client_secret = "secret:google"
auth_url = "{auth_url}"
token_url = "{token_url}"
host = "127.0.0.1"
port = {port}
security = "none"
since = "all"
[[mailboxes]]
connector = "imap"
host = "127.0.0.1"
port = {port}
security = "none"
username = "team"
password = "pass"
"""


@pytest.fixture(scope="module")
def mail():
    if binary() is None:
        pytest.skip(MISSING)
    server = OAuthServer.dovecot()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def provider(mail):
    with OAuthServer(f"karin-{uuid.uuid4().hex[:8]}@acme.example") as provider:
        provider.lifetime = 60  # shorter than our margin: every command has to renew
        mail.add_user(provider.user)
        yield provider


@pytest.fixture
def office(installation, mail, provider):
    installation.environ["CRM_SYNC_SECRET_GOOGLE"] = SECRET
    installation.write(TOML.format(user=provider.user, port=mail.port, **provider.options))
    (installation.folder / "customers.csv").write_text("name,emails\nLena,lena@nordvik.example\n")
    installation.ok("import", "customers.csv")
    return installation


def log_in(office, browse, account=ACCOUNT):
    """Runs `login` and gives `browse` the process and the address it shows."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CRM_SYNC")}
    process = subprocess.Popen(
        [*COMMAND, "login", account],
        cwd=office.folder,
        env={**clean, **office.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    shown = []
    guard = threading.Timer(60, process.kill)
    guard.start()
    for line in process.stdout:
        shown.append(line)
        if line.startswith("http"):
            browse(process, line.strip())
    err = process.stderr.read()
    process.wait(30)
    guard.cancel()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    return Result(process.returncode, "".join(shown), err)


def lands(_process, address):
    visit(landing_of(address))


def pastes(process, address):
    process.stdin.write("is it this?\n" + landing_of(address) + "\n")
    process.stdin.flush()


def subjects(office):
    return sorted(entry["subject"] for entry in office.interactions())


@pytest.mark.parametrize("browse", [lands, pastes])
def test_after_a_login_mail_is_read(office, mail, provider, browse):
    mail.append(provider.user, "All Mail", MAIL % (1, 1))
    before = office.run("sync", "--account", ACCOUNT)
    assert before.status == 1
    assert "nobody has signed in yet. Run: crm-sync login karin@acme.example/gmail" in before.err

    done = log_in(office, browse)
    assert done.status == 0, done.err
    assert f"Signed in to {ACCOUNT}." in done.out

    office.ok("sync", "--account", ACCOUNT)
    assert subjects(office) == ["Offer 1"]


def test_a_withdrawn_consent_pauses_that_account_alone_and_a_new_login_leaves_no_gap(
    office, mail, provider
):
    mail.append(provider.user, "All Mail", MAIL % (1, 1))
    log_in(office, lands)
    office.ok("sync")
    provider.revoke()
    for number in (2, 3):
        mail.append(provider.user, "All Mail", MAIL % (number, number))

    refused = office.run("sync", "--json")
    assert refused.status == 1
    assert [a["error"] is None for a in refused.object()["accounts"]] == [False, True]
    assert "Run: crm-sync login karin@acme.example/gmail" in refused.err
    state = {a["name"]: a for a in office.run("status", "--json").object()["accounts"]}
    assert state[ACCOUNT]["state"] == "paused"
    assert "crm-sync login karin@acme.example/gmail" in state[ACCOUNT]["last_error"]
    assert state["team/imap"]["state"] == "ok"
    asked = len(provider.forms)
    office.run("sync")
    assert len(provider.forms) == asked

    assert log_in(office, lands).status == 0
    office.ok("sync")
    assert subjects(office) == ["Offer 1", "Offer 2", "Offer 3"]
    state = {a["name"]: a for a in office.run("status", "--json").object()["accounts"]}
    assert state[ACCOUNT]["state"] == "ok"


def test_a_person_who_declines_is_told_and_asked_for_nothing_more(office, provider):
    provider.consents = False
    done = log_in(office, lands)
    assert done.status == 1
    assert "declined" in done.err
    assert "Traceback" not in done.err


def test_a_person_who_signs_in_as_somebody_else_is_told(office, provider):
    provider.token_for = "daniel@acme.example"
    done = log_in(office, lands)
    assert done.status == 1
    assert "refused the sign-in of karin-" in done.err
    assert "Sign in as the address in username" in done.err


def test_accounts_that_need_no_login_and_names_that_are_none_are_told(office):
    for name, words in (
        ("team/imap", "signs in with its password"),
        ("karin/gmail", f"Configured: {ACCOUNT}, team/imap."),
    ):
        result = office.run("login", name)
        assert result.status == 2
        assert words in result.err


def test_doctor_tells_of_the_sign_in(office):
    result = office.run("doctor", "--json")
    found = {line["name"]: line for line in result.lines()}
    entry = found[f"{ACCOUNT}: sign-in by OAuth 2.0"]
    assert not entry["ok"]
    assert entry["advice"] == f"Run: crm-sync login {ACCOUNT}"
    log_in(office, lands)
    result = office.run("doctor", "--json")
    names = [line["name"] for line in result.lines() if line["ok"]]
    assert f"{ACCOUNT}: signed in, last renewed 0 days ago" in names
    assert f"{ACCOUNT}: folders All Mail" in names


def test_no_secret_is_said_or_stored(office, mail, provider):
    done = log_in(office, lands)
    said = [done.out, done.err]
    for words in (("sync",), ("doctor",), ("config", "show"), ("status", "--json")):
        result = office.run(*words)
        said += [result.out, result.err]
    provider.revoke()
    result = office.run("sync")
    said += [result.out, result.err]
    files = [f.read_bytes() for f in office.folder.iterdir() if "crm-sync.db" in f.name]
    everything = "".join(said).encode() + b"".join(files)
    assert b"canary" not in everything
    assert all(token.encode() not in everything for token in provider.issued)
