"""What the text of a mail may change about its header's verdict."""

from types import SimpleNamespace

from crm_sync.core.classification import classify, classify_body
from crm_sync.core.headers import parse_envelope
from crm_sync.core.records import Body, Locator
from crm_sync.flow.second_look import note, second_look

HEADER = (
    b"From: Lena <lena@nordvik.example>\r\nTo: karin@acme.example\r\nSubject: Offer\r\n"
    b"Message-ID: <1@nordvik.example>\r\n"
)
FOOTER = "Hello Karin, yes please.\n\nLena\nNordvik AB. Unsubscribe from our invitations here."


def looked_at(header: bytes, text: str) -> str | None:
    envelope = parse_envelope(header)
    assert classify(envelope) is None, "only what the header lets in is looked at again"
    entry = SimpleNamespace(
        item=SimpleNamespace(envelope=envelope), verdict=SimpleNamespace(direction="inbound")
    )
    found = second_look(note(entry), Body(Locator("INBOX", "1:1"), text))
    assert found == (None if envelope.in_reply_to else classify_body(envelope, text))
    return found


def test_a_person_with_a_word_of_mass_mail_in_the_footer_stays_in_the_diary():
    assert looked_at(HEADER, FOOTER) is None


def test_the_same_word_counts_where_the_header_has_a_sign_of_mass_mail_too():
    assert looked_at(HEADER + b"Reply-To: sales@other.example\r\n", FOOTER) == "bulk"
    assert looked_at(HEADER.replace(b"Message-ID", b"X-ID"), FOOTER) == "bulk"


def test_mail_to_many_is_recognised_with_its_text():
    many = b"To: " + b", ".join(b"p%d@d%d.example" % (n, n) for n in range(30)) + b"\r\n"
    assert looked_at(HEADER.replace(b"To: karin@acme.example\r\n", many), FOOTER) == "bulk"


def test_an_answer_is_a_persons_whatever_it_says():
    assert looked_at(HEADER + b"In-Reply-To: <0@acme.example>\r\n", FOOTER * 3) is None


def test_a_report_in_the_text_of_an_ordinary_header_is_found():
    assert looked_at(HEADER, "This is an automatically generated message.") == "automatic"
