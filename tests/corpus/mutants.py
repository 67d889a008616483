"""Mails damaged at random, the same on every run: what a poll must survive."""

import random
from collections.abc import Callable, Iterator, Sequence

_POISON = (
    b"\x00", b"\xff\xfe", b"\r", b"\r\n\r\n", b"--", b"=?utf-8?q?=00?=", b"=?x?b?////?=", b'"', b"(" * 3000,
    b"<", b",", b";", b"\x1b$B", b"{999999999}\r\n", b"Content-Type: multipart/mixed; boundary=\r\n",
    b"From: " + b"a@x.example," * 300 + b"\r\n", b"Date: Fri, 99 Foo 99999999999\r\n", b"x" * 20_000,
    "\u202e\U0001f4a9\u0000".encode(), b"\xed\xa0\x80", b"Message-ID: <[x@y]>\r\n", b"To: (c):\r\n",
)  # fmt: skip

_PLAIN = (
    b"From: Lena Lund <lena@nordvik.example>\r\nTo: Karin <karin@acme.example>\r\n"
    b"Subject: =?utf-8?q?Offert_f=C3=B6r_kontoret?=\r\nMessage-ID: <own-1@nordvik.example>\r\n"
    b"Date: Mon, 02 Mar 2026 09:00:00 +0100\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nHej Karin,\r\n\r\nvi tar f=C3=B6rslag tv=C3=A5.\r\n"
)
_MIXED = (
    b"From: lena@nordvik.example\nTo: karin@acme.example, =?x?b?w4XDhMOW?= <d@acme.example>\n"
    b"Subject: Plan\nMessage-ID: <own-2@nordvik.example>\nMIME-Version: 1.0\n"
    b'Content-Type: multipart/mixed; boundary="cut here"\n\n--cut here\n'
    b"Content-Type: multipart/alternative; boundary=inner\n\n--inner\nContent-Type: text/plain\n\nSee below.\n"
    b"--inner\nContent-Type: text/html; charset=utf-8\n\n<p>See <b>below</b>.</p>\n--inner--\n--cut here\n"
    b'Content-Type: application/pdf; name="plan.pdf"\n'
    b"Content-Disposition: attachment; filename*=utf-8''pl%C3%A4n.pdf\n"
    b"Content-Transfer-Encoding: base64\n\nJVBERi0xLjQK\n--cut here--\n"
)
_REPORT = (
    b"Return-Path: <>\r\nFrom: MAILER-DAEMON@mail.example\r\nTo: karin@acme.example\r\n"
    b"Subject: Undeliverable: Offert\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n"
    b"\r\n--b\r\n\r\nNo such user.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
    b"Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n"
)
OWN = (_PLAIN, _MIXED, _REPORT)
"""Mails to damage where no others are at hand."""


def mutants(mails: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` mails, each one of `mails` damaged in one to four places."""
    dice = random.Random(seed)
    for _ in range(count):
        raw = dice.choice(mails)
        for _ in range(dice.randint(1, 4)):
            raw = dice.choice(_WAYS)(raw, dice, mails)
        yield raw


def _flip(raw: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    damaged = bytearray(raw)
    for _ in range(max(1, len(raw) // 100)):
        damaged[_place(raw, dice)] = dice.randrange(256)
    return bytes(damaged)


def _delete(raw: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    start = _place(raw, dice)
    return raw[:start] + raw[start + dice.randint(1, 200) :]


def _cut(raw: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    return raw[: _place(raw, dice)]


def _repeat(raw: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    start = _place(raw, dice)
    piece = raw[start : start + dice.randint(1, 300)]
    return raw[:start] + piece * dice.randint(2, 50) + raw[start:]


def _poison(raw: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    start = _place(raw, dice)
    return raw[:start] + dice.choice(_POISON) + raw[start:]


def _splice(raw: bytes, dice: random.Random, mails: Sequence[bytes]) -> bytes:
    other = dice.choice(mails)
    return raw[: _place(raw, dice)] + other[_place(other, dice) :]


def _shuffle_lines(raw: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    lines = raw.splitlines(keepends=True)
    start = dice.randrange(max(1, len(lines)))
    some = lines[start : start + 20]
    dice.shuffle(some)
    return b"".join(lines[:start] + some + lines[start + 20 :])


def _nest(raw: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    wrapped = raw
    for level in range(dice.randint(1, 120)):
        mark = b"n%d" % level
        wrapped = (
            b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n%b" % (mark, mark, wrapped)
        )  # fmt: skip
    return b"From: lena@nordvik.example\r\nSubject: nested\r\n" + wrapped


def _place(raw: bytes, dice: random.Random) -> int:
    """A byte, half of the time among the first thousand, where headers are."""
    end = max(1, len(raw))
    return dice.randrange(min(end, 1000) if dice.random() < 0.5 else end)


_WAYS: Sequence[Callable[[bytes, random.Random, Sequence[bytes]], bytes]] = (
    _flip, _delete, _cut, _repeat, _poison, _splice, _shuffle_lines, _nest,
)  # fmt: skip
