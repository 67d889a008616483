"""Which folders of a mailbox are read: those that are named, else one's own that hold mail."""

from contextlib import closing
from datetime import UTC

import pytest

from connectors.files import MAILDIR, MBOX
from connectors.graph import MAILBOX
from connectors.imap import KIND, namespaces
from crm_sync.core.errors import ConfigError, Refused
from crm_sync.ports import Surroundings
from crm_sync.settings import load
from crm_sync.testing.source_contract import Ledger, pull
from tests.connectors.imap_parts import a_mail, subjects
from tests.servers import archives
from tests.servers.archives import Maildir, Mbox
from tests.servers.dovecot import Dovecot, running

CONTRACT = ["\\Inbox", "\\Sent"]


def names(source):
    return [stream.name for stream in source.streams()]


def brought(source):
    """The subjects of all that a first pull brings, and what was refused."""
    items, refused = [], []
    for stream in source.streams():
        ledger = Ledger()
        try:
            pull(source, stream, ledger)
        except Refused as error:
            refused.append(error)
        items += ledger.items
    return sorted(subjects(items)), refused


# -- what is named and not there -----------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    """A folder with two mboxes, Inbox and Sent, of a mail each."""
    for number, name in enumerate(("Inbox", "Sent")):
        Mbox(tmp_path / name).append(archives.a_mail(number))
    return tmp_path


@pytest.fixture
def maildir(tmp_path):
    """A maildir with a folder Sent, of a mail each."""
    Maildir(tmp_path / "mail").deliver(archives.a_mail(0), "1.a.host")
    Maildir(tmp_path / "mail" / ".Sent").deliver(archives.a_mail(1), "1.a.host")
    return tmp_path / "mail"


@pytest.fixture
def graph_mailbox(account):
    account.deliver(0)
    account.deliver(1, folder="sentitems")
    return account.source


@pytest.fixture
def build_archive(clock):
    def build(kind, path, **options):
        where = Surroundings("karin/archive", clock, UTC)
        return kind.build(kind.options(path=path, **options), where)

    return build


@pytest.fixture(params=["mbox", "maildir", "microsoft365"])
def build(request, build_archive):
    """Makes sources of a mailbox whose inbox holds "item 0" and whose sent folder "item 1"."""
    if request.param == "microsoft365":
        return request.getfixturevalue("graph_mailbox")
    kind, place = {"mbox": (MBOX, "tree"), "maildir": (MAILDIR, "maildir")}[request.param]
    path = request.getfixturevalue(place)
    return lambda **options: build_archive(kind, path, **options)


def test_inbox_and_sent_are_known_by_their_use_whatever_they_are_called(build):
    assert brought(build(folders=CONTRACT)) == (["item 0", "item 1"], [])
    assert brought(build(folders=["\\sent"])) == (["item 1"], [])


def test_a_name_that_nothing_is_called_by_is_refused_and_stops_no_other(build):
    source = build(folders=["\\Inbox", "Snet"])
    read, (refused,) = brought(source)
    assert read == ["item 0"]
    assert refused.what == 'there is no folder "Snet"'
    assert refused.scope == "stream"


def test_a_name_that_nothing_is_called_by_holds_nothing_that_could_be_compared(build):
    (absent,) = build(folders=["Snet"]).streams()
    with pytest.raises(Refused, match="there is no folder"):
        list(build(folders=["Snet"]).held(absent, None))


def test_a_folder_that_is_named_comes_when_it_is_made(build_archive, maildir):
    source = build_archive(MAILDIR, maildir, folders=["Kunder"])
    assert brought(source)[1]
    Maildir(maildir / ".Kunder").deliver(archives.a_mail(7), "1.a.host")
    assert brought(source) == (["item 7"], [])


def test_each_use_is_a_well_known_folder_at_microsoft(account):
    uses = ["\\Archive", "\\Drafts", "\\Junk", "\\Trash"]
    chosen = names(account.source(folders=uses))
    assert sorted(chosen) == ["Arkiv", "Borttaget", "Skräppost", "Utkast"]


# -- `crm-sync check` ----------------------------------------------------------------------------

KINDS = {"imap": KIND, "mbox": MBOX, "maildir": MAILDIR, "microsoft365": MAILBOX}
KEYS = {
    "imap": 'host = "imap.acme.example"\nusername = "karin"\npassword = "x"',
    "mbox": 'path = "."',
    "maildir": 'path = "."',
    "microsoft365": 'username = "karin@acme.example"\ntenant = "acme.example"\nclient_id = "1"',
}


def check(folder, connector, folders):
    """The problems of a configuration with one mailbox."""
    path = folder / "crm-sync.toml"
    path.write_text(
        '[team]\nname = "Acme"\ndomains = ["acme.example"]\n\n[[reps]]\n'
        f'email = "karin@acme.example"\n\n[[mailboxes]]\nrep = "karin@acme.example"\n'
        f'connector = "{connector}"\n{KEYS[connector]}\nfolders = {folders}\n'
    )
    try:
        load(path, environ={}, source_kinds=KINDS, sender_kinds={})
    except ConfigError as error:
        return [f"{p.problem}. {p.advice}" for p in error.problems]
    return []


@pytest.mark.parametrize("connector", KINDS)
def test_a_misspelt_use_is_refused_with_the_nearest_name(tmp_path, connector):
    assert check(tmp_path, connector, r'["INBOX", "\\Sent", "Kunder"]') == []
    assert check(tmp_path, connector, r'["\\Inbx"]') == [
        r'"\\Inbx" is no special name of a folder. Perhaps "\\Inbox" is meant.'
    ]
    (problem,) = check(tmp_path, connector, r'["\\Sent", "\\Quarterly"]')
    assert problem.startswith(
        r'"\\Quarterly" is no special name of a folder. There are "\\Inbox", "\\Sent"'
    )


def test_imap_knows_the_uses_of_whole_mailboxes_too(tmp_path):
    assert check(tmp_path, "imap", r'["\\All", "\\Flagged"]') == []
    assert check(tmp_path, "mbox", r'["\\All"]') != []


# -- other people's folders ----------------------------------------------------------------------

PUBLIC = """
namespace public {
  type = public
  separator = /
  prefix = Public/
  location = maildir:%h/public
  list = yes
  subscriptions = no
}
"""


@pytest.fixture(scope="module")
def dovecot():
    """A Dovecot with public folders."""
    yield from running(Dovecot(extra=PUBLIC))


@pytest.fixture
def with_public_folders(dovecot, user):
    for folder in ("INBOX", "Kunder", "Public/Daniel", "Public/Daniel/Sent"):
        dovecot.append(user, folder, a_mail(folder.replace("/", ".")))


@pytest.fixture
def without_extensions(proxy):
    """As at Exchange: no LIST-STATUS, no SPECIAL-USE."""
    proxy.on_answer = lambda line: (
        line.replace(b" LIST-STATUS", b"").replace(b" SPECIAL-USE", b"") + b"\r\n"
    )


@pytest.mark.usefixtures("with_public_folders")
def test_public_folders_are_nobodys_own_mail(connect):
    assert brought(connect()) == (["INBOX", "Kunder"], [])


@pytest.mark.usefixtures("with_public_folders", "without_extensions")
def test_public_folders_are_left_out_where_a_server_knows_no_extensions(connect):
    assert brought(connect()) == (["INBOX", "Kunder"], [])


@pytest.mark.usefixtures("with_public_folders")
def test_a_public_folder_that_is_named_is_read(connect):
    source = connect(folders=["\\Inbox", "Public/Daniel"])
    for _ in range(3):
        assert names(source) == ["INBOX", "Public/Daniel"]
    assert brought(source) == (["INBOX", "Public.Daniel"], [])


@pytest.mark.usefixtures("with_public_folders")
def test_whose_folders_there_are_is_asked_only_with_all_folders(connect, proxy):
    source = connect()
    brought(source)
    assert proxy.verbs().count("NAMESPACE") == 1
    source.streams()
    proxy.forget()
    assert len(source.streams()) == 3
    assert proxy.verbs() == ["LIST"]
    assert proxy.round_trips == 1
    assert proxy.bytes_from_client + proxy.bytes_from_server < 450


@pytest.mark.usefixtures("with_public_folders")
@pytest.mark.parametrize("answer", [b"BAD What?", b"NO Not now"])
def test_a_server_that_only_says_it_knows_namespaces_is_read_all_the_same(connect, proxy, answer):
    proxy.on_command = lambda line: (
        line.split()[0] + b" " + answer + b"\r\n" if line.rstrip().endswith(b"NAMESPACE") else None
    )
    assert names(connect()) == ["INBOX", "Kunder", "Public/Daniel", "Public/Daniel/Sent", "Sent"]


@pytest.mark.usefixtures("with_public_folders")
@pytest.mark.parametrize(
    "told",
    [
        b"* NAMESPACE NIL NIL NIL",
        b'* NAMESPACE (("" "/")) NIL NIL',
        b"* NAMESPACE NIL NIL ((",
        b"* NAMESPACE",
    ],
)
def test_where_nothing_is_said_of_others_all_folders_are_ones_own(connect, proxy, told):
    proxy.on_answer = lambda line: (
        told + b"\r\n" if line.startswith(b"* NAMESPACE") else line + b"\r\n"
    )
    assert "Public/Daniel" in names(connect())


@pytest.mark.parametrize(
    ("told", "own", "foreign"),
    [
        # Cyrus: all that is not below INBOX is shared
        (
            b'(("INBOX." ".")) (("user." ".")) (("" "."))',
            [b"INBOX", b"INBOX.Sent"],
            [b"user.daniel", b"user", b"news"],
        ),
        # Courier
        (
            b'(("INBOX." ".")) NIL (("#shared." ".")("shared." "."))',
            [b"INBOX.Kunder", b"shared-with-me"],
            [b"#shared.daniel", b"shared", b"shared.x"],
        ),
        # flat, and with an extension (RFC 2342 section 6)
        (
            b'(("" NIL)("#mh/" "/" "X-PARAM" ("FLAG1" "FLAG2"))) (("~" NIL)) NIL',
            [b"INBOX", b"Kunder", b"#mh/x"],
            [b"~daniel"],
        ),
        # a team mailbox that has nothing but what is for all
        (b'NIL NIL (("" "/"))', [b"INBOX", b"Sent"], []),
        (b'NIL (("Users/" "/")) (("" "/"))', [b"INBOX", b"Sent"], [b"Users/daniel"]),
        (b'(("" "/")) (("Other Users/" "/")) NIL', [b"Sent", b"Other"], [b"Other Users/d"]),
        (b'(("" "/")) ("/") ((("")))', [b"Sent"], []),
    ],
)
def test_the_longest_prefix_tells_whose_a_folder_is(told, own, foreign):
    found = namespaces.namespaces_in([(b"* OK hello",), (b"* NAMESPACE " + told,)])
    assert [raw for raw in own if not found.is_own(raw)] == []
    assert [raw for raw in foreign if found.is_own(raw)] == []


# -- what is no mail -----------------------------------------------------------------------------

OUTLOOK = {
    "en": "Outbox Calendar Contacts Tasks Notes Journal Sync_Issues Conversation_History Templates",
    "sv": "Utkorgen Kalender Kontakter Uppgifter Anteckningar Synkroniseringsproblem",
    "da": "Udbakke Kalender Kontaktpersoner Opgaver Noter",
    "fa": "تقویم مخاطبین",
    "vi": "Hộp_thư_đi Lịch Ghi_chú",
    "zh": "发件箱 日历 联系人 任务 同步问题",
    "de": "Postausgang Kalender Kontakte Aufgaben Notizen",
}


@pytest.mark.parametrize("language", OUTLOOK)
def test_what_outlook_keeps_beside_mail_is_not_read_as_mail(dovecot, user, connect, language):
    others = [name.replace("_", " ") for name in OUTLOOK[language].split()]
    dovecot.add_user(user, [*others, f"{others[0]}/Conflicts", "Kunder", "Kunder/Notes"])
    assert names(connect()) == ["INBOX", "Kunder", "Kunder/Notes", "Sent"]
    assert names(connect(folders=["\\Inbox", others[0]])) == ["INBOX", others[0]]


def test_thunderbirds_unsent_messages_and_templates_are_not_read(tree, build_archive):
    for name in ("Unsent Messages", "Templates", "Archives"):
        Mbox(tree / name).append(archives.a_mail(9))
    assert names(build_archive(MBOX, tree)) == ["Archives", "Inbox", "Sent"]
    assert names(build_archive(MBOX, tree, folders=["\\Archive"])) == ["Archives"]
    chosen = build_archive(MBOX, tree, folders=["Unsent Messages"])
    assert brought(chosen) == (["item 9"], [])


def test_a_mail_with_the_label_notes_is_a_mail(tree, build_archive):
    Mbox(tree / "Takeout.mbox").append(archives.a_mail(5, header="X-Gmail-Labels: Inbox,Notes\n"))
    with closing(build_archive(MBOX, tree, folders=["Takeout"])) as source:
        assert brought(source) == (["item 5"], [])
