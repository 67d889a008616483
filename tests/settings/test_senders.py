"""`[sender]` and `[[senders]]`: whose mailbox keeps what, and how many may leave."""

import pytest

from crm_sync.runtime import plugins
from crm_sync.settings import drafts_of, load, warnings

REPS = """
[[reps]]
email = "karin@acme.example"
name = "Karin Ek"
[[reps]]
email = "daniel@acme.example"
"""
MAILBOX = """
[[mailboxes]]
{rep}
connector = "imap"
host = "imap.acme.example"
username = "u"
password = "env:P"
"""
KARINS = MAILBOX.format(rep='rep = "karin@acme.example"')
DANIELS = MAILBOX.format(rep='rep = "daniel@acme.example"')
INFO = MAILBOX.format(rep='name = "info"')
CALENDAR = """
[[calendars]]
connector = "caldav"
url = "https://dav.acme.example/"
username = "u"
password = "env:P"
"""
SENDER = '[sender]\nconnector = "smtp"\nhost = "{host}"\nfrom = "crm@acme.example"\n'
TEAMS = SENDER.format(host="smtp.acme.example")
KARINS_SENDER = '[[senders]]\nrep = "karin@acme.example"\nconnector = "smtp"\nhost = "s.example"\n'
DRAFTS = '[[greetings]]\noccasion = "birthday"\ncustomers = "draft"\n'


@pytest.fixture
def read(workspace, team):
    def read(*parts):
        return load(
            workspace.write(team + "".join(parts)),
            environ={"P": "x"},
            source_kinds=plugins.source_kinds(),
            sender_kinds=plugins.sender_kinds(),
        )

    return read


@pytest.fixture
def problems(read):
    def problems(*parts):
        with pytest.raises(Exception) as caught:
            read(*parts)
        return [problem.sentence() for problem in caught.value.problems]

    return problems


def test_a_copy_in_sent_is_made_only_where_a_mailbox_is_named_for_it(read):
    assert read(REPS, INFO, TEAMS).sender.keeps_copy is False
    settings = read(REPS, INFO, TEAMS, 'filing = "INFO"\n')
    assert (settings.sender.keeps_copy, settings.sender.filing) == (True, "info")
    off = read(REPS, INFO, TEAMS, 'filing = "info"\nsent_copy = false\n')
    assert (off.sender.keeps_copy, off.sender.filing) == (False, "info")


@pytest.mark.parametrize(
    "host",
    ["smtp.gmail.com", "SMTP.office365.com.", "smtp-mail.outlook.com", "smtp.mail.me.com"],
)
def test_no_copy_is_made_where_the_provider_makes_one(read, host):
    mailbox = 'filing = "info"\n'
    settings = read(REPS, INFO, SENDER.format(host=host), mailbox)
    assert (settings.sender.keeps_copy, settings.sender.filing) == (False, "info")
    insisting = read(REPS, INFO, SENDER.format(host=host), mailbox, "sent_copy = true\n")
    assert insisting.sender.keeps_copy is True
    (warning,) = [w for w in warnings(insisting) if w.name == "team/sender"]
    assert "two in Sent" in warning.problem


def test_a_reps_copies_go_to_her_only_mailbox_when_she_wants_them(read, problems):
    wants = KARINS_SENDER + "sent_copy = true\n"
    settings = read(REPS, KARINS, DANIELS, TEAMS, wants)
    assert settings.senders[0].filing == "karin@acme.example/imap"
    assert settings.senders[0].keeps_copy is True
    second = KARINS.replace("rep =", 'name = "old"\nrep =')
    for mailboxes in (DANIELS, KARINS + second):
        (problem,) = problems(REPS, mailboxes, TEAMS, wants)
        assert problem.startswith("senders[karin@acme.example/smtp].sent_copy")
        assert "no mailbox is named for them" in problem


def test_a_mailbox_that_can_not_keep_mails_is_refused(problems):
    (unknown,) = problems(REPS, INFO, TEAMS, 'filing = "inf"\n')
    assert 'Did you mean "info"?' in unknown
    (calendar,) = problems(REPS, CALENDAR, TEAMS, 'filing = "team/caldav"\n')
    assert "is not the name of one of [[mailboxes]]" in calendar
    archive = '[[mailboxes]]\nname = "old"\nconnector = "mbox"\npath = "."\n'
    (read_only,) = problems(REPS, archive, TEAMS, 'filing = "old"\n')
    assert '"old" can only be read' in read_only


def test_nobody_files_into_the_mailbox_of_another_rep(read, problems):
    sender = KARINS_SENDER + 'filing = "daniel@acme.example/imap"\n'
    (problem,) = problems(REPS, DANIELS, TEAMS, sender)
    assert "is the mailbox of another rep" in problem
    shared = read(REPS, INFO, TEAMS, KARINS_SENDER, 'filing = "info"\n')
    assert shared.senders[0].filing == "info"


def test_what_may_leave_is_below_each_providers_limit_and_can_be_set(read):
    assert (read(TEAMS).sender.per_minute, read(TEAMS).sender.per_day) == (20, 400)
    lower = read(TEAMS, "per_minute = 5\nper_day = 50\n").sender
    assert (lower.per_minute, lower.per_day) == (5, 50)
    graph = (
        '[sender]\nconnector = "microsoft365"\nfrom = "a@acme.example"\n'
        'username = "a@acme.example"\ntenant = "t"\nclient_id = "c"\n'
    )
    assert (read(graph).sender.per_minute, read(graph).sender.per_day) == (20, 4000)


def test_a_connector_without_limits_of_its_own_has_the_lowest(workspace, team):
    settings = workspace.load(team + TEAMS)
    assert (settings.sender.per_minute, settings.sender.per_day) == (20, 400)


def test_senders_that_sign_in_alike_are_one_account(read):
    signed_in = 'username = "crm"\npassword = "env:P"\n'
    own = KARINS_SENDER.replace("s.example", "smtp.acme.example")
    one = read(REPS, TEAMS, signed_in, own, signed_in)
    assert one.sender.account == one.senders[0].account
    other = read(REPS, TEAMS, signed_in, own, signed_in.replace("crm", "karin"))
    assert other.sender.account != other.senders[0].account
    open_relays = read(REPS, TEAMS, own)
    assert open_relays.sender.account != open_relays.senders[0].account


def test_drafts_go_to_the_senders_mailbox_else_to_the_reps_only_one(read):
    def place(*parts):
        found = drafts_of(read(REPS, *parts), "karin@acme.example")
        return found and found.name

    assert place(KARINS) == "karin@acme.example/imap"
    assert place(KARINS, INFO, TEAMS, KARINS_SENDER, 'filing = "info"\n') == "info"
    assert place(INFO, DANIELS) is None
    graph = KARINS_SENDER.replace("smtp", "microsoft365").replace('host = "s.example"\n', "")
    graph += 'username = "karin@acme.example"\ntenant = "t"\nclient_id = "c"\n'
    assert place(TEAMS, graph, "drafts = true\n") == "karin@acme.example/sender"
    assert place(TEAMS, graph) is None


def test_check_says_who_has_no_place_for_drafts(read):
    def told(*parts):
        return [
            w.problem for w in warnings(read(REPS, TEAMS, DRAFTS, *parts)) if "draft" in w.problem
        ]

    assert told(KARINS, DANIELS) == []
    assert told(KARINS) == ["no mailbox is known to put drafts into for daniel@acme.example"]


def test_check_has_no_complaint_about_a_reps_sender(read):
    found = warnings(read(REPS, KARINS, TEAMS, KARINS_SENDER))
    assert not [warning for warning in found if "senders" in warning.name + warning.problem]


def test_reps_senders_without_the_teams_are_told_of(read):
    found = warnings(read(REPS, KARINS, KARINS_SENDER))
    assert [w.problem for w in found if w.name == "sender"] == [
        "the reps' senders serve greetings only, and nothing leaves without [sender]"
    ]


def test_a_sent_copy_is_true_false_or_auto(problems):
    (problem,) = problems(REPS, INFO, TEAMS, 'sent_copy = "yes"\n')
    assert problem.startswith("sender.sent_copy")
    assert '"yes" is none of true, false or "auto"' in problem


def test_the_environment_can_say_it(workspace, team):
    text = workspace.write(team + INFO + TEAMS + 'filing = "info"\n')
    for said, expected in (("false", False), ("auto", True)):
        settings = load(
            text,
            environ={"P": "x", "CRM_SYNC_SENDER__SENT_COPY": said},
            source_kinds=plugins.source_kinds(),
            sender_kinds=plugins.sender_kinds(),
        )
        assert settings.sender.keeps_copy is expected
