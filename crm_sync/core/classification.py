"""Whether a person wrote a message to a person, told by its header.

Signs have weights; two points decide. Decisive signs are those that standards define (RFC 3834,
RFC 3464, RFC 2369, RFC 5545) or that only servers and lists write. Weak ones, such as words in a
subject, decide only together, and words of mass mail never against an answer in a thread.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from typing import Final, Literal

from crm_sync.core import phrases, senders
from crm_sync.core.records import Attachment, Envelope
from crm_sync.core.text import read_message

Reason = Literal["automatic", "bulk", "bounce", "calendar"]
Sign = tuple[int, str]
"""Weight of a sign, and our words for it, which name the header it stands in."""

DECISIVE: Final = 2
WEAK: Final = 1

_MANY: Final = 5
_LOUD: Final = 10
_REPORT_TYPE: Final = re.compile(r"report-type\s*=\s*\"?\s*([\w-]+)", re.IGNORECASE)
_NO_DELIVERY: Final = re.compile(phrases.start_of_subject(phrases.BOUNCE))
_AUTOMATIC_REPLY: Final = re.compile(
    rf"{phrases.start_of_subject(phrases.AUTOMATIC_REPLY)}(?!\w)"
    r"|.*[(\[]auto(?:matic|mated|matisk|matische|matique)?[- ]?(?:response|reply|answer)[)\]]"
)
_DELIVERY: Final = re.compile(phrases.start_of_subject(phrases.DELIVERY))
_OUT_OF_OFFICE: Final = re.compile(rf"{phrases.start_of_subject(phrases.OUT_OF_OFFICE)}( ?[:：])?")
_ABSENCE: Final = re.compile(rf"{phrases.start_of_subject(phrases.ABSENCE)}(?!\w)")
_NOTICE: Final = re.compile(phrases.start_of_subject(phrases.NOTICE))
_RECEIPT: Final = re.compile(rf"{phrases.start_of_subject(phrases.RECEIPT)} ?[:：]")
_AGGREGATE_REPORT: Final = re.compile(r"report domain: \S+ submitter: ")
_INVITATION: Final = re.compile(rf"{phrases.start_of_subject(phrases.INVITATION)} ?[:：].+ @ .*\d")
_NEWSLETTER: Final = re.compile(phrases.anywhere(phrases.NEWSLETTER))
_PROMOTION: Final = re.compile(phrases.anywhere(phrases.PROMOTION))
_MARKED_AS_SPAM: Final = re.compile(r"\W*(?:spam|adv|junk)\b(?=\W*[*\]:)}])")
_LIST_TAG: Final = re.compile(r"(?:\w{2,3}: ?)?\[([\w.-]{3,})[^\]]*\]")
_ANSWER: Final = re.compile(
    r"(?:re|sv|vs|aw|antw?|odp|ynt|rif|res|r|ref|回复|答复|回覆|返信|رد|پاسخ|trả lời)"
    r"(?:\[[0-9]+\])? ?[:：]"
)
_BULK_MAILER: Final = re.compile(
    r"mailman|majordomo|listserv|lyris|phplist|sendblaster|groupmail|aspmail|mime::lite|phpmailer"
    r"|mailchimp|campaign|newsletter|bulk|massmail|sendy|mass ?sender|dotmailer|mailerlite"
)
_TRANSFER_ENCODINGS: Final = frozenset(
    {"", "7bit", "8bit", "binary", "quoted-printable", "base64", "x-uuencode", "uuencode", "x-uue"}
)
_LONGEST_BODY: Final = 64 * 1024
_TYPES_OF_MACHINES: Final[dict[str, Reason]] = {
    "message/delivery-status": "bounce",
    "message/disposition-notification": "automatic",
    "message/feedback-report": "automatic",
    "application/vnd.gnupg.wks": "automatic",  # a key server asks for confirmation
    "text/calendar": "calendar",
}
_NAMES_OF_INVITATIONS: Final = frozenset({"", "invite.ics", "meeting.ics"})
_FAILED: Final = re.compile(phrases.anywhere(phrases.FAILED))
_SAYS_AUTOMATIC: Final = re.compile(phrases.anywhere(phrases.SAYS_AUTOMATIC))
_MASS_MAIL: Final = re.compile(phrases.anywhere(phrases.MASS_MAIL))
_WORDS_OF_FAILURE: Final = phrases.necessary(phrases.FAILED)
_WORDS_OF_PROGRAMS: Final = phrases.necessary(phrases.SAYS_AUTOMATIC)
_WORDS_OF_MASS_MAIL: Final = phrases.necessary(phrases.MASS_MAIL)
_LIST_FIELDS: Final = frozenset((
    "list-id", "list-unsubscribe", "list-post", "mailing-list", "x-mailing-list", "x-beenthere",
    "x-mailman-version", "feedback-id", "x-report-abuse", "x-campaign", "x-campaignid", "x-mc-user",
))  # fmt: skip
_FIELDS_OF_LISTS: Final = frozenset(
    {"list-id", "list-post", "mailing-list", "x-mailing-list", "x-beenthere", "x-mailman-version"}
)
_REPORTS: Final = ("multipart/report", "message/disposition-notification")
_MACHINE_FIELDS: Final = frozenset((
    "x-autoreply", "x-autorespond", "x-loop", "x-bugzilla-reason", "x-github-reason",
    "x-gitlab-project", "x-jira-fingerprint", "x-redmine-host",
))  # fmt: skip


def classify(envelope: Envelope) -> Reason | None:
    """Why the message is no mail from person to person; None when it is, as far as headers tell.

    "automatic": auto-replies, receipts, notices; "bulk": lists, newsletters, mass mail; "bounce":
    reports and warnings about delivery; "calendar": invitations and answers to them.
    """
    for reason, signs_of_one in _SIGNS.items():
        if _decide(signs_of_one(envelope)):
            return reason
    return None


def signs(envelope: Envelope) -> Iterator[Sign]:
    """All signs of any reason, whatever they weigh."""
    for signs_of_one in _SIGNS.values():
        yield from signs_of_one(envelope)


def _decide(signs: Iterator[Sign]) -> bool:
    """Whether the signs weigh enough; those behind the decisive one are not looked for."""
    total = 0
    for weight, _ in signs:
        total += weight
        if total >= DECISIVE:
            return True
    return False


def explain(reason: Reason, envelope: Envelope) -> str:
    """One sentence of ours that names the headers which decided; it holds no words of the mail."""
    found = sorted(_SIGNS[reason](envelope), key=lambda sign: -sign[0])
    if sum(weight for weight, _ in found) < DECISIVE:
        return f"{_MEANING[reason]}: what the message holds says so"
    words = [found[0][1]] if found[0][0] >= DECISIVE else [text for _, text in found]
    return f"{_MEANING[reason]}: {' and '.join(dict.fromkeys(words))}"


def classify_body(
    envelope: Envelope, body: bytes | str, attachments: Sequence[Attachment] = ()
) -> Reason | None:
    """What the content adds where `classify` found nothing: the same reasons, or None.

    `body` is the text, or the whole message raw; `attachments` are those found beside a text. The
    first 64 kB are read. Meant for mail that concerns a customer: it costs a hundred times as much.
    """
    if isinstance(body, bytes):
        message = read_message(body)
        body, attachments = message.text, message.attachments
    for item in attachments:
        reason = _TYPES_OF_MACHINES.get(item.media_type)
        # A person who sends a meeting along names the file; calendars don't, or always alike.
        if reason == "calendar" and item.name.lower() not in _NAMES_OF_INVITATIONS:
            continue
        if reason is not None:
            return reason
    if envelope.in_reply_to or _ANSWER.match(envelope.subject.lower()):
        return None
    text = _own_words(body[:_LONGEST_BODY])
    if _says(text, _WORDS_OF_FAILURE, _FAILED) and _reports_failure(envelope, body[:_LONGEST_BODY]):
        return "bounce"
    if _says(text, _WORDS_OF_PROGRAMS, _SAYS_AUTOMATIC):
        return "automatic"
    if not _says(text, _WORDS_OF_MASS_MAIL, _MASS_MAIL):
        return None
    known = sum(weight for weight, _ in _mass_mail(envelope, envelope.subject.lower()))
    said = {found[0] for found in _MASS_MAIL.finditer(text)}
    return "bulk" if known + len(said) >= DECISIVE else None


def _says(text: str, words: Sequence[str], phrase: re.Pattern[str]) -> bool:
    """Whether a phrase is in the text; most hold none of its words, and those are found quickly."""
    return any(map(text.__contains__, words)) and phrase.search(text) is not None


def _own_words(body: str) -> str:
    """What the author wrote, in lower case, without the lines that are quoted."""
    lines = (line for line in body.lower().splitlines() if not line.startswith(">"))
    return " ".join(" ".join(lines).split())


def _reports_failure(envelope: Envelope, text: str) -> bool:
    """Whether a server of an older kind reports, in words alone, that a mail was not delivered."""
    from flufl.bounce import all_failures  # noqa: PLC0415  # rarely wanted

    message = Message()
    message["From"] = (envelope.from_[0].address if envelope.from_ else "") or "nobody@invalid"
    message["Subject"] = envelope.subject
    message.set_payload(text)
    try:
        temporary, permanent = all_failures(message)
    except Exception:  # noqa: BLE001  # its detectors stumble over mail they do not expect
        return False
    return bool(temporary or permanent)


_MEANING: Final[dict[Reason, str]] = {
    "bounce": "A report about delivery",
    "calendar": "A calendar's mail",
    "automatic": "Sent by a program",
    "bulk": "Mail to many",
}


def _bounce(envelope: Envelope) -> Iterator[Sign]:
    report = _kind_of_report(envelope.content_type)
    if report not in ("", "delivery-status") or _is_a_programs_answer(envelope):
        return
    if report:
        yield DECISIVE, "the Content-Type is that of a delivery report"
    if "x-failed-recipients" in envelope.signs:
        yield DECISIVE, "there is an X-Failed-Recipients field"
    if senders.is_mail_system(envelope):
        yield DECISIVE, "the From field names a mail server"
    subject = envelope.subject.lower()
    if _NO_DELIVERY.match(subject):
        yield DECISIVE, "the Subject begins as mail servers' reports do"
    elif _DELIVERY.match(subject):
        yield WEAK, "the Subject speaks of delivery"
    if envelope.return_path == "":
        yield WEAK, "the Return-Path is empty"
        if senders.is_nobody(envelope) and "auto-submitted" not in envelope.signs:
            yield WEAK, "nobody reads the address in the From field"


def _kind_of_report(content_type: str) -> str:
    """What a report is about: "delivery-status", "disposition-notification"...; "" for no report.

    RFC 6522; RFC 8098 and RFC 5965 use the same envelope for what is no bounce.
    """
    media_type = content_type[:200].lower()
    if media_type.startswith("message/delivery-status"):
        return "delivery-status"
    if not media_type.startswith("multipart/report"):
        return ""
    kind = _REPORT_TYPE.search(content_type)
    return kind[1].lower() if kind else ""


def _is_a_programs_answer(envelope: Envelope) -> bool:
    """Whether a program answers in the shape of a delivery report: those that ask who you are.

    A mail server's report comes from the null path (RFC 3464 section 2) and is no "Re: ...".
    """
    return (
        bool(envelope.return_path)
        and _ANSWER.match(envelope.subject.lower()) is not None
        and not senders.is_mail_system(envelope)
    )


def _calendar(envelope: Envelope) -> Iterator[Sign]:
    if envelope.content_type[:20].lower().startswith("text/calendar"):
        yield DECISIVE, "the Content-Type is that of a calendar object"
    if "calendarmessage" in envelope.signs.get("content-class", "").lower():
        yield DECISIVE, "the Content-Class is that of a calendar message"
    if senders.is_calendar(envelope):
        yield DECISIVE, "the Sender field names a calendar"
    if not envelope.in_reply_to and _INVITATION.match(envelope.subject.lower()):
        yield DECISIVE, "the Subject is built as calendars build it"


def _automatic(envelope: Envelope) -> Iterator[Sign]:
    signs = envelope.signs
    submitted = re.split(r"[;( ]", signs.get("auto-submitted", "").strip().lower())[0]
    if submitted not in ("", "no"):
        yield DECISIVE, "the Auto-Submitted field says so"
    if envelope.return_path == "":
        yield DECISIVE, "the Return-Path is empty"
    for name in signs:
        if name in _MACHINE_FIELDS and not (name == "x-loop" and _is_list(envelope)):
            yield DECISIVE, f"there is a field {name.title()}"
    media_type = envelope.content_type[:40].lower()
    if media_type.startswith(_REPORTS):
        yield DECISIVE, "the Content-Type is that of a report"
    if media_type.startswith(("application/ms-tnef", "application/zip", "application/gzip")):
        yield WEAK, "the Content-Type is that of no text"
    yield from _notice(envelope.subject.lower())
    precedence = signs.get("precedence", "").lower()
    if precedence and not _is_list(envelope) and not _FIELDS_OF_LISTS & signs.keys():
        yield DECISIVE if precedence == "auto_reply" else WEAK, "there is a Precedence field"
    if signs.get("x-auto-response-suppress", "").lower() == "all":
        yield WEAK, "the X-Auto-Response-Suppress field forbids all answers"
    yield from senders.machine_signs(envelope)


def _notice(subject: str) -> Iterator[Sign]:
    """What the subject tells about automatic replies, notices and receipts."""
    away = _OUT_OF_OFFICE.match(subject)
    if _AUTOMATIC_REPLY.match(subject) or (away is not None and away[1]):
        yield DECISIVE, "the Subject begins as automatic replies do"
    elif _AGGREGATE_REPORT.match(subject):
        yield DECISIVE, "the Subject is that of a DMARC report"
    elif away or _ABSENCE.match(subject) or _NOTICE.match(subject):
        yield WEAK, "the Subject reads like a notice"
    elif _RECEIPT.match(subject):
        yield WEAK, "the Subject begins as receipts do"


def _bulk(envelope: Envelope) -> Iterator[Sign]:
    signs = envelope.signs
    subject = envelope.subject.lower()
    for name in signs:
        if name in _LIST_FIELDS:
            yield DECISIVE, f"there is a field {name.title()}"
    precedence = signs.get("precedence", "").lower()
    if precedence in ("list", "junk"):
        yield DECISIVE, "the Precedence field says so"
    elif precedence == "bulk":
        # Some providers stamp it on all they forward, a person's answer included.
        answer = _ANSWER.match(subject) and "x-mailer" in signs
        yield WEAK if answer else DECISIVE, "the Precedence field says so"
    if signs.get("x-spam-flag", "").lower().startswith("y"):
        yield DECISIVE, "the X-Spam-Flag field says so"
    if _is_list(envelope):
        yield DECISIVE, "the Sender field names a mailing list"
    if _is_tagged_by_list(envelope):
        yield DECISIVE, "the Subject bears the name of the list that the To field names"
    if _BULK_MAILER.search((signs.get("x-mailer") or signs.get("user-agent", "")).lower()):
        yield WEAK, "the X-Mailer is a program for mass mail"
    if not (envelope.in_reply_to or envelope.references or _ANSWER.match(subject)):
        yield from _mass_mail(envelope, subject)


def _mass_mail(envelope: Envelope, subject: str) -> Iterator[Sign]:
    """Signs of newsletters and spam, which count only where nobody answers anybody."""
    if _MARKED_AS_SPAM.match(subject):
        yield DECISIVE, "the Subject is marked as spam"
    if _NEWSLETTER.search(subject):
        yield WEAK, "the Subject speaks of a newsletter"
    for _ in {found[0] for found in _PROMOTION.finditer(subject)}:
        yield WEAK, "the Subject speaks as advertising does"
    if len(envelope.to) >= _MANY and len(set(map(senders.domain, envelope.to))) >= _MANY:
        yield WEAK, "the To field names people of many domains"
    if envelope.message_id and "@" not in envelope.message_id:
        yield WEAK, "the Message-ID is malformed"
    careless = _carelessness(envelope, subject)
    if careless:
        yield WEAK, careless
    yield from senders.mass_mail_signs(envelope)


def _carelessness(envelope: Envelope, subject: str) -> str:
    """What careless people and programs do, in words for `explain`; a person may do all at once."""
    shouts = "!!" in subject or (len(subject) >= _LOUD and envelope.subject.isupper())
    encoding = envelope.transfer_encoding.partition(";")[0].strip()
    seen = (
        (not envelope.message_id, "there is no Message-ID"),
        (not subject, "there is no Subject"),
        (shouts, "the Subject shouts"),
        (encoding not in _TRANSFER_ENCODINGS, "the Content-Transfer-Encoding is none"),
        (envelope.content_type[:9].lower() == "text/html", "the Content-Type is HTML alone"),
        (not envelope.to and not envelope.cc, "the To field names nobody"),
    )
    return next((words for is_so, words in seen if is_so), "")


def _is_list(envelope: Envelope) -> bool:
    managers = [address.address for address in envelope.sender]
    if "errors-to" in envelope.signs:
        managers.append(envelope.signs["errors-to"])
    return any(senders.is_list_manager(address, envelope) for address in managers)


def _is_tagged_by_list(envelope: Envelope) -> bool:
    tag = _LIST_TAG.match(envelope.subject)
    return tag is not None and any(
        senders.local_part(address) == tag[1].lower() and not senders.is_role(address)
        for address in (*envelope.to, *envelope.cc)
    )


_SIGNS: Final[dict[Reason, Callable[[Envelope], Iterator[Sign]]]] = {
    "bounce": _bounce,
    "calendar": _calendar,
    "automatic": _automatic,
    "bulk": _bulk,
}
