"""What goes over the wire: reading commands only, as few and as small as can be."""

import threading
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest

from crm_sync.core.records import Locator
from crm_sync.core.text import read_message
from crm_sync.testing.source_contract import Ledger, locate, pull
from tests.connectors.imap_parts import a_mail, inbox_of, subjects

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_pulling_and_reading_everything_changes_no_flag(dovecot, user, connect, proxy):
    for number in range(5):
        flags = [b"\\Seen"] if number % 2 else [b"\\Flagged"]
        dovecot.append(user, "INBOX", a_mail(f"m{number}"), NOW, flags)
    before = dovecot.flags(user, "INBOX")
    source, ledger = connect(), Ledger()
    inbox = inbox_of(source)
    pull(source, inbox, ledger)
    bodies = list(source.read(ledger.locators(inbox), items=True))
    assert [b.text for b in bodies] == ["Hello"] * 5
    kept = {uid: set(flags) - {b"\\Recent"} for uid, flags in before.items()}
    after = {u: set(f) - {b"\\Recent"} for u, f in dovecot.flags(user, "INBOX").items()}
    assert after == kept
    assert "SELECT" not in proxy.verbs()


def test_junk_trash_and_drafts_are_not_pulled(connect):
    assert [s.name for s in connect().streams()] == ["INBOX", "Sent"]


def test_folders_are_chosen_by_special_use(connect):
    source = connect(folders=["\\Sent", "\\Trash"])
    assert [s.name for s in source.streams()] == ["Sent", "Trash"]


def test_the_first_pull_reaches_back_by_the_date_of_arrival(dovecot, user, connect):
    for days in (200, 91, 89, 1):
        dovecot.append(user, "INBOX", a_mail(f"{days} days"), NOW - timedelta(days=days))
    source, ledger = connect(since="90d"), Ledger()
    pull(source, inbox_of(source), ledger)
    assert subjects(ledger.items) == ["89 days", "1 days"]


def test_all_reaches_back_for_ever(dovecot, user, connect):
    dovecot.append(user, "INBOX", a_mail("old"), NOW - timedelta(days=9000))
    source, ledger = connect(since="all"), Ledger()
    pull(source, inbox_of(source), ledger)
    assert subjects(ledger.items) == ["old"]


def test_old_mail_that_is_moved_in_later_comes_all_the_same(dovecot, user, connect):
    old = dovecot.append(user, "Archive", a_mail("old"), NOW - timedelta(days=500))
    source, ledger = connect(since="90d", folders=["INBOX"]), Ledger()
    pull(source, inbox_of(source), ledger)
    dovecot.move(user, [old], "Archive", "INBOX")
    pull(source, inbox_of(source), ledger)
    assert subjects(ledger.items) == ["old"]


def test_a_first_pull_that_was_stopped_keeps_its_reach(dovecot, user, connect, clock):
    for number in range(4):
        arrived = NOW - timedelta(days=300 if number == 2 else 1)
        dovecot.append(user, "INBOX", a_mail(f"m{number}"), arrived)
    source, ledger = connect(since="90d", page_size=1), Ledger()
    inbox = inbox_of(source)
    ledger.store(next(source.pull(inbox, None, dict)))
    clock.advance(timedelta(days=2))
    pull(source, inbox, ledger)
    assert subjects(ledger.items) == ["m3", "m1", "m0"]


def test_a_mail_that_vanishes_between_search_and_fetch_is_no_error(dovecot, user, connect, proxy):
    uids = [dovecot.append(user, "INBOX", a_mail(f"m{n}"), NOW) for n in range(3)]
    source, ledger = connect(), Ledger()
    inbox = inbox_of(source)

    def vanish(line):
        if b"UID FETCH" in line:
            proxy.on_command = None
            dovecot.expunge(user, "INBOX", uids[1:2])

    proxy.on_command = vanish
    pull(source, inbox, ledger)
    assert subjects(ledger.items) == ["m0", "m2"]
    assert pull(source, inbox_of(source), ledger) == []


def test_nested_texts_read_as_the_whole_message_would(dovecot, user, connect):
    raws = [*a_collection()]
    for raw in raws:
        dovecot.append(user, "INBOX", raw, NOW)
    source, ledger = connect(), Ledger()
    inbox = inbox_of(source)
    pull(source, inbox, ledger)
    bodies = {b.locator.key: b for b in source.read(ledger.locators(inbox))}
    for item, raw in zip(ledger.items, raws, strict=True):
        body, whole = bodies[item.key], read_message(raw)
        assert body.text == whole.text
        assert [(a.name, a.media_type) for a in body.attachments] == [
            (a.name, a.media_type) for a in whole.attachments
        ]
        for ours, real in zip(body.attachments, whole.attachments, strict=True):
            assert ours.size == pytest.approx(real.size, rel=0.05, abs=5)


def a_collection():
    yield a_mail("plain", "Hallå där\n")
    html = EmailMessage()
    html["From"], html["Subject"] = "lena@nordvik.example", "html alone"
    html.set_content("<p>Vi <b>ses</b> på måndag</p>", subtype="html", charset="iso-8859-1")
    yield html.as_bytes()
    for plain in ("Vi ses på måndag", " "):
        both = EmailMessage()
        both["From"], both["Subject"] = "lena@nordvik.example", "alternatives"
        both.set_content(plain, cte="base64")
        both.add_alternative("<p>Vi ses på <i>tisdag</i></p>", subtype="html")
        both.add_attachment(b"%PDF" * 5000, "application", "pdf", filename="offert å.pdf")
        both.add_attachment("a,b\n", subtype="csv", filename="lista.csv")
        both.add_attachment(EmailMessage(), filename="forwarded.eml")
        yield both.as_bytes()
    bare = EmailMessage()
    bare["From"], bare["Subject"] = "lena@nordvik.example", "nothing but a picture"
    bare.add_attachment(b"PNG" * 100, "image", "png")
    yield bare.as_bytes()


def test_attachments_are_never_downloaded(dovecot, user, connect, proxy):
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "lena@nordvik.example", "large"
    mail.set_content("small text")
    mail.add_attachment(b"x" * 3_000_000, "application", "octet-stream", filename="a.bin")
    dovecot.append(user, "INBOX", mail.as_bytes(), NOW)
    source, ledger = connect(), Ledger()
    inbox = inbox_of(source)
    pull(source, inbox, ledger)
    (body,) = source.read(ledger.locators(inbox))
    assert body.text == "small text"
    assert body.attachments[0].size == pytest.approx(3_000_000, rel=0.01)
    assert proxy.bytes_from_server < 20_000


def test_of_an_endless_text_only_the_beginning_is_read(dovecot, user, connect, proxy):
    dovecot.append(user, "INBOX", a_mail("long", "lorem ipsum\n" * 100_000), NOW)
    source, ledger = connect(), Ledger()
    inbox = inbox_of(source)
    pull(source, inbox, ledger)
    (body,) = source.read(ledger.locators(inbox))
    assert 200_000 < len(body.text) < 270_000
    assert proxy.bytes_from_server < 400_000


def test_many_plain_texts_are_read_with_one_fetch(dovecot, user, connect, proxy):
    dovecot.seed(user, "INBOX", ((a_mail(f"m{n}"), NOW) for n in range(120)))
    source, ledger = connect(), Ledger()
    inbox = inbox_of(source)
    pull(source, inbox, ledger)
    proxy.forget()
    assert len(list(source.read(ledger.locators(inbox)))) == 120
    assert proxy.verbs() == ["EXAMINE", "FETCH"]


def test_the_next_pages_are_asked_for_before_the_first_is_taken(dovecot, user, connect, proxy):
    dovecot.seed(user, "INBOX", ((a_mail(f"m{n}"), NOW) for n in range(40)))
    source = connect(page_size=5)
    inbox = inbox_of(source)
    pages = source.pull(inbox, None, dict)
    first = next(pages)
    assert len(first.items) == 5
    for _ in range(100):  # what was sent reaches the proxy in its own time
        if proxy.verbs().count("FETCH") >= 3:
            break
        threading.Event().wait(0.05)
    assert proxy.verbs().count("FETCH") == 3
    rest = [item for page in pages for item in page.items]
    assert len({i.key for i in rest} | {i.key for i in first.items}) == 40


def test_reading_in_the_middle_of_a_pull_disturbs_neither(dovecot, user, connect):
    for folder in ("INBOX", "Sent"):
        dovecot.seed(user, folder, ((a_mail(f"{folder}{n}"), NOW) for n in range(9)))
    source, ledger, read = connect(page_size=2), Ledger(), []
    inbox, sent = source.streams()
    other = Ledger()
    pull(source, sent, other)
    for page in source.pull(inbox, None, dict):
        ledger.store(page)
        here = [locate(inbox, item) for item in page.items]
        read += list(source.read([*here, *other.locators(sent)[:1]]))
    assert len({i.key for i in ledger.items}) == 9
    assert {b.text for b in read} == {"Hello"}
    assert not any(b.gone or b.problem for b in read)


@pytest.mark.parametrize("hostile", ["a\r\nX1 STORE 1:* +FLAGS (\\Deleted)\r\nX2 EXPUNGE", "a\0b"])
def test_hostile_locators_put_no_second_command_on_the_wire(dovecot, user, connect, proxy, hostile):
    dovecot.append(user, "INBOX", a_mail("one"), NOW)
    source, ledger = connect(), Ledger()
    pull(source, inbox_of(source), ledger)
    key = ledger.items[0].key
    strange = [
        Locator(hostile, key),
        Locator("INBOX", hostile),
        Locator("INBOX", key.partition(":")[0] + ":" + hostile),
        Locator("INBOX", key, hostile),
    ]
    bodies = list(source.read(strange))
    assert sorted(b.gone for b in bodies) == [False, True, True, True]
    assert not any(b"EXPUNGE" in line or b"STORE" in line for line in proxy.commands)


def test_hostile_headers_never_come_back_as_commands(dovecot, user, connect, proxy):
    hostile = b"=?utf-8?Q?x=0D=0AX1_STORE_1=3A*_+FLAGS_(=5CDeleted)=0D=0A?="
    raw = b"From: a@nordvik.example\r\nSubject: %b\r\nMessage-ID: <%b>\r\n\r\ntext\r\n"
    dovecot.append(user, "INBOX", raw % (hostile, hostile), NOW)
    source, ledger = connect(), Ledger()
    inbox = inbox_of(source)
    pull(source, inbox, ledger)
    assert [b.text for b in source.read(ledger.locators(inbox), items=True)] == ["text"]
    assert not any(b"STORE" in line for line in proxy.commands)


def test_folder_names_of_all_languages_are_pulled(dovecot, user, connect):
    names = ["Förfrågningar", "R&D", "مشتریان", "客户", "Khách hàng", 'a "quoted" \\ name', " lead"]
    for name in names:
        dovecot.append(user, name, a_mail("one"), NOW)
    source = connect(folders=names)
    for stream in source.streams():
        ledger = Ledger()
        pull(source, stream, ledger)
        assert subjects(ledger.items) == ["one"], stream.name
    assert {s.name for s in source.streams()} == set(names)


def test_a_folder_that_was_deleted_meanwhile_is_no_error(dovecot, user, connect):
    dovecot.append(user, "Customers", a_mail("one"), NOW)
    source, ledger = connect(), Ledger()
    stream = next(s for s in source.streams() if s.name == "Customers")
    pull(source, stream, ledger)
    dovecot.delete_folder(user, "Customers")
    assert [b.gone for b in source.read(ledger.locators(stream))] == [True]
    assert list(source.pull(stream, None, dict)) == []
    assert "Customers" not in {s.name for s in source.streams()}
