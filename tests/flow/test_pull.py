from datetime import timedelta

from crm_sync.core.errors import Refused, Unreachable
from crm_sync.flow.explain import explain

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
NORDVIK = "Lena Vik,Nordvik AB,lena@nordvik.example"


def test_a_customers_message_is_logged_with_direction_contact_rep_and_text(world):
    world.customers(NORDVIK)
    world.mailbox().deliver(world.mail(text="Kan vi ses?"))

    (pulled,) = world.sync()

    (entry,) = world.log()
    assert (pulled.seen, pulled.logged) == (1, 1)
    assert entry["kind"] == "email"
    assert entry["direction"] == "inbound"
    assert entry["subject"] == "Offert"
    assert entry["customers"] == [{"id": 1, "name": "Nordvik AB"}]
    assert entry["contacts"] == ["lena@nordvik.example"]
    assert entry["reps"] == [KARIN]
    assert world.text(entry["id"]) == "Kan vi ses?"


def test_an_alias_of_ours_makes_it_outbound(world):
    world.customers(NORDVIK)
    world.mailbox().deliver(world.mail("k.ek@acme.example", "LENA@Nordvik.example"), "Sent")
    world.sync()

    (entry,) = world.log()
    assert entry["direction"] == "outbound"
    assert entry["contacts"] == ["lena@nordvik.example"]
    assert entry["reps"] == [KARIN]


def test_one_message_in_two_mailboxes_is_one_interaction_with_both_reps(world):
    world.customers(NORDVIK)
    mail = world.mail(to=f"{KARIN}, {DANIEL}")
    world.mailbox().deliver(mail)
    world.mailbox(DANIEL).deliver(mail)

    first, second = world.sync()

    (entry,) = world.log()
    assert sorted(entry["reps"]) == [DANIEL, KARIN]
    assert (first.logged, second.logged) == (1, 1)


def test_a_rep_who_got_it_blind_is_on_it_too(world):
    world.customers(NORDVIK)
    mail = world.mail()
    world.mailbox().deliver(mail)
    world.mailbox(DANIEL).deliver(mail)
    world.sync()

    assert sorted(world.log()[0]["reps"]) == [DANIEL, KARIN]


def test_same_message_id_and_sender_within_ten_minutes_is_one_message(world):
    world.customers(NORDVIK)
    now = world.clock.now()
    box = world.mailbox()
    box.deliver(world.mail(message_id="<a@x>", at=now))
    box.deliver(world.mail(message_id="<a@x>", at=now + timedelta(minutes=9)))
    box.deliver(world.mail(message_id="<a@x>", at=now + timedelta(minutes=25), subject="Another"))
    box.deliver(world.mail("per@nordvik.example", message_id="<a@x>", at=now, subject="Third"))
    world.sync()

    assert world.subjects() == ["Another", "Offert", "Third"]


def test_mails_without_message_id_are_one_across_mailboxes_and_two_in_one_folder(world):
    world.customers(NORDVIK)
    mail = world.mail(message_id="")
    box, other = world.mailbox(), world.mailbox(DANIEL)
    box.deliver(mail)
    box.deliver(mail)
    other.deliver(mail)
    other.deliver(mail)
    world.sync()

    assert len(world.log()) == 2


def test_internal_mail_lists_and_automatic_replies_stay_out_each_with_its_reason(world):
    world.customers(NORDVIK)
    box = world.mailbox()
    box.deliver(world.mail(DANIEL, message_id="<internal@x>"))
    box.deliver(world.mail(message_id="<auto@x>", extra="Auto-Submitted: auto-replied"))
    box.deliver(world.mail(message_id="<list@x>", extra="List-Id: <news.nordvik.example>"))
    box.deliver(world.mail("who@else.example", message_id="<nobody@x>"))
    (pulled,) = world.sync()

    assert world.log() == []
    assert (pulled.ignored, pulled.unmatched) == (3, 1)
    reasons = {
        m: explain(world.setup, f"<{m}@x>")[0]["reason"] for m in ("internal", "auto", "list")
    }
    assert reasons == {"internal": "internal", "auto": "automatic", "list": "bulk"}
    assert explain(world.setup, "nobody@x")[0]["outcome"] == "unmatched"
    assert explain(world.setup, "<never@x>")[0]["outcome"] == "unknown"


def test_a_colleague_is_matched_by_the_inferred_domain_and_given_as_seen(world):
    world.customers(NORDVIK)
    world.mailbox().deliver(world.mail("Per <Per@sales.Nordvik.example>"))
    world.sync()

    assert world.log()[0]["contacts"] == ["Per@sales.Nordvik.example"]


def test_a_domain_that_two_customers_share_matches_neither(world):
    world.customers(NORDVIK, "Bo,Other AB,bo@nordvik.example")
    world.mailbox().deliver(world.mail("per@nordvik.example"))
    world.sync()

    assert world.log() == []


def test_domains_can_be_listed_only_or_off(make_world):
    listed = make_world(mode="listed")
    listed.customers(
        "Lena,Nordvik AB,lena@nordvik.example,",
        "Bo,Bo AB,bo@post.example,bo.example",
        header="name,company,emails,domains",
    )
    box = listed.mailbox()
    box.deliver(listed.mail("per@nordvik.example", subject="inferred"))
    box.deliver(listed.mail("eva@bo.example", subject="listed"))
    listed.sync()

    assert listed.subjects() == ["listed"]


def test_a_freemail_domain_never_stands_for_a_customer(world):
    world.customers("Lena,Nordvik AB,lena.vik@gmail.com")
    box = world.mailbox()
    box.deliver(world.mail("somebody@gmail.com", subject="stranger"))
    box.deliver(world.mail("LenaVik+crm@googlemail.com", subject="dots and tags"))
    world.sync()

    assert world.subjects() == ["dots and tags"]


def test_threads_follow_references_even_when_the_answer_comes_first(world):
    world.customers(NORDVIK)
    box = world.mailbox()
    box.deliver(world.mail(subject="third", extra="In-Reply-To: <b@x>", message_id="<c@x>"))
    box.deliver(world.mail(subject="first", message_id="<a@x>"))
    box.deliver(
        world.mail(
            KARIN, "lena@nordvik.example", "second", message_id="<b@x>", extra="References: <a@x>"
        )
    )
    box.deliver(world.mail(subject="other"))
    world.sync()

    threads = {entry["subject"]: entry["thread"] for entry in world.log()}
    assert threads["first"] == threads["second"] == threads["third"]
    assert threads["other"] != threads["first"]


def test_a_thread_pulled_in_pieces_is_one_thread(world):
    world.customers(NORDVIK)
    box = world.mailbox(page_size=1)
    box.deliver(world.mail(subject="a", message_id="<a@x>"))
    box.deliver(world.mail(subject="c", message_id="<c@x>"))
    box.deliver(world.mail(subject="b", message_id="<b@x>", extra="References: <a@x> <c@x>"))
    world.sync()

    assert len({entry["thread"] for entry in world.log()}) == 1


def test_history_appears_when_the_customer_does(world):
    box = world.mailbox()
    box.deliver(world.mail(text="From before"))
    (before,) = world.sync()
    world.customers(NORDVIK)
    (after,) = world.sync()

    (entry,) = world.log()
    assert (before.unmatched, after.found, after.seen) == (1, 1, 0)
    assert world.text(entry["id"]) == "From before"
    assert world.sync()[0].found == 0


def test_a_listed_domain_brings_the_past_of_its_subdomains(world):
    world.mailbox().deliver(world.mail("per@mail.bo.example"))
    world.sync()
    world.customers("Bo,Bo AB,bo@post.example,bo.example", header="name,company,emails,domains")

    assert world.sync()[0].found == 1


def test_a_stranger_on_a_logged_message_joins_it_when_she_becomes_a_customer(world):
    world.customers(NORDVIK)
    world.mailbox().deliver(world.mail(to=f"{KARIN}, eva@later.example"))
    world.sync()
    world.customers("Eva,Later AB,eva@later.example")

    (entry,) = world.log()
    assert [c["name"] for c in entry["customers"]] == ["Nordvik AB", "Later AB"]
    assert entry["contacts"] == ["eva@later.example", "lena@nordvik.example"]


def test_nothing_of_a_strangers_message_is_in_the_file(world):
    world.customers(NORDVIK)
    box = world.mailbox()
    box.deliver(
        world.mail(
            "Zebulon <zebulon@planted.example>",
            subject="Quixotic",
            text="Xylophone",
            message_id="<planted-id@planted.example>",
        )
    )
    box.deliver(world.mail())
    world.sync()
    world.store.close()

    data = b"".join(p.read_bytes() for p in world.folder.iterdir() if p.is_file())
    assert b"lena@nordvik.example" in data
    for word in (b"zebulon", b"Zebulon", b"planted", b"Quixotic", b"Xylophone"):
        assert word not in data


def test_an_unreadable_message_is_quarantined_and_the_others_go_on(world):
    world.customers(NORDVIK)
    box = world.mailbox()
    bad = box.deliver(world.mail(subject="bad"))
    box.make_unreadable(bad, reason="its header can't be read")
    box.deliver(world.mail(subject="good"))
    (pulled,) = world.sync()

    assert world.subjects() == ["good"]
    assert (pulled.seen, pulled.errors) == (2, 1)
    assert pulled.error is None


def test_a_quarantined_message_is_logged_when_it_can_be_read_again(world):
    from crm_sync.store import diary, texts

    world.customers(NORDVIK)
    box = world.mailbox()
    bad = box.deliver(world.mail(subject="bad"))
    box.make_unreadable(bad)
    world.sync()
    with world.store.write() as tx:
        (held,) = diary.quarantined(tx)
        texts.decide(tx, held["id"], "retry")
    world.sync()
    box.make_unreadable(bad, reason="")
    with world.store.write() as tx:
        texts.decide(tx, held["id"], "retry")
    world.sync()

    assert world.subjects() == ["bad"]
    with world.store.read() as tx:
        assert diary.quarantined(tx) == []


def test_a_new_uidvalidity_brings_nothing_twice_and_loses_nothing(world):
    world.customers(NORDVIK)
    box = world.mailbox()
    for _ in range(3):
        box.deliver(world.mail())
    box.deliver(world.mail(message_id="", subject="twin"))
    box.deliver(world.mail(message_id="", subject="twin"))
    world.sync()
    box.reset_uidvalidity()
    box.deliver(world.mail(subject="after"))
    world.sync()

    assert world.subjects() == ["Offert"] * 3 + ["after", "twin", "twin"]


def test_a_deleted_message_stays_in_the_diary(world):
    world.customers(NORDVIK)
    box = world.mailbox()
    key = box.deliver(world.mail())
    world.sync()
    box.remove(key)
    world.sync()

    assert len(world.log()) == 1


def test_a_moved_message_is_not_logged_again(world):
    world.customers(NORDVIK)
    box = world.mailbox()
    key = box.deliver(world.mail())
    world.sync()
    box.move(key, "INBOX", "Archive")
    world.sync()

    assert len(world.log()) == 1


def test_a_quiet_poll_asks_once_and_writes_nothing(world):
    world.customers(NORDVIK)
    box = world.mailbox()
    box.deliver(world.mail())
    world.sync()
    requests = box.requests
    world.clock.advance(timedelta(seconds=30))
    world.sync()

    assert box.requests == requests + 1
    changes = (world.folder / "diary.db-wal").stat().st_size
    world.clock.advance(timedelta(seconds=1))
    world.sync()
    assert (world.folder / "diary.db-wal").stat().st_size == changes


def test_a_failing_account_is_red_alone_and_says_since_when(world):
    world.customers(NORDVIK)
    box, other = world.mailbox(), world.mailbox(DANIEL)
    other.deliver(world.mail(to=DANIEL))
    box.away = lambda: Unreachable("the server does not answer", where="imap.acme.example:993")
    failed, good = world.sync()
    since = world.clock.now()
    world.clock.advance(timedelta(minutes=5))
    world.sync()

    assert failed.error == "imap.acme.example:993: the server does not answer"
    assert good.logged == 1
    red = world.account()
    assert (red.state, red.failing_since, red.failures) == ("failing", since, 2)
    box.away = None
    world.sync()
    assert (world.account().state, world.account().failing_since) == ("ok", None)


def test_a_refused_account_waits_longer_than_one_that_is_away(world):
    box = world.mailbox()
    box.away = lambda: Refused("the server refused the password")
    world.sync()

    row = world.account()
    assert row.state == "refused"
    assert row.next_pull - world.clock.now() >= timedelta(minutes=5)


def test_a_text_that_could_not_be_fetched_now_is_fetched_later(world):
    world.customers(NORDVIK)
    box = world.mailbox()
    box.deliver(world.mail(text="Wait for me"))
    world.sync()
    box.deliver(world.mail(text="Second"))
    calls = box.read

    def broken(*_a, **_k):
        raise Unreachable("cut")

    box.read = broken
    assert world.sync()[0].error == "cut"
    box.read = calls
    world.sync()

    assert {world.text(e["id"]) for e in world.log()} == {"Wait for me", "Second"}


def test_a_lost_cursor_means_pulling_again_and_nothing_twice(world):
    world.customers(NORDVIK)
    world.mailbox().deliver(world.mail())
    world.sync()
    with world.store.write() as tx:
        tx.exec_driver_sql("UPDATE stream SET cursor = 'garbage'")
    (pulled,) = world.sync()

    assert (pulled.error, len(world.log())) == (None, 1)
