"""Mails made to cost whoever reads them time or memory, and the mails of the same kind that are fine."""

from collections.abc import Iterator

LARGEST = 24 * 1024 * 1024


def mail(name: str, content: bytes) -> bytes:
    """A mail of a customer: its header, then `content`, which begins with fields of its own."""
    return (
        f"From: Customer <{name}@bombs.example>\r\nTo: rep@acme.example\r\nSubject: {name}\r\n"
        f"Message-ID: <{name}@bombs.example>\r\nDate: Sun, 01 Mar 2026 10:00:00 +0000\r\n"
    ).encode() + content


def html(content: bytes) -> bytes:
    return b"Content-Type: text/html; charset=utf-8\r\n\r\n" + content


def plain(content: bytes, charset: str = "utf-8", encoding: str = "8bit") -> bytes:
    return (
        f'Content-Type: text/plain; charset="{charset}"\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    ).encode() + content


def many_costly_pages() -> bytes:
    """Each part is as much as one may be; together they take many seconds of processor time."""
    page = b"--x\r\nContent-Type: text/html\r\n\r\n" + b"<" * 1024 * 1024 + b"\r\n"
    return b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + page * (LARGEST // len(page))


def much_below_many_levels() -> bytes:
    """Each level is a copy of all that lies below it."""
    levels = [
        b"Content-Type: multipart/mixed; boundary=x%d\r\n\r\n--x%d\r\n" % (i, i) for i in range(60)
    ]
    return b"".join(levels) + b"\r\n" + b"x" * (LARGEST - 10_000)


def small() -> Iterator[tuple[str, bytes]]:
    """Bombs of at most a megabyte: what any mail server delivers without a thought."""
    yield "nested", html(b"<div>" * 200_000)
    yield "nested-lists", html(b"<ul><li>x" * 100_000)
    yield "nested-quotes", html(b"<blockquote>x\r\n" * 60_000)
    yield "nested-tables", html(b"<table><tr><td>" * 60_000)
    yield "angles", html(b"<" * 1_000_000)
    yield "comments", html(b"<!--" * 250_000)
    yield "entities", html(b"&NotGreaterFullEqual;" * 50_000)
    yield "attributes", html(b"<p " + b" ".join(b"a%d=1" % i for i in range(100_000)) + b">")
    yield "wide-table", html(b"<table><tr>" + b"<td>x</td>" * 90_000 + b"</table>")
    yield "quoted-printable", plain(b"=\r\n" * 300_000, encoding="quoted-printable")
    yield "base64", plain(b"=" * 500_000 + b"QUJD" * 100_000, encoding="base64")
    yield "uuencode", plain(b"begin 600 x\r\n" + b"M\r\n" * 200_000, encoding="x-uuencode")
    for charset in ("utf-7", "hz", "iso-2022-jp", "x-unknown", "utf-16", "unicode_escape"):
        yield f"charset-{charset}", plain(b"~{+AGE\x1b$B" * 60_000, charset=charset)
    yield (
        "parts",
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\nhi\r\n" * 10_000),
    )
    yield (
        "boundaries",
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--xy\r\n" * 120_000),
    )
    yield (
        "levels",
        b"".join(
            b"Content-Type: multipart/mixed; boundary=x%d\r\n\r\n--x%d\r\n" % (i, i)
            for i in range(3_000)
        ),
    )
    yield "messages", b"Content-Type: message/rfc822\r\n\r\n" * 20_000
    yield "parameters", b"Content-Type: text/plain" + b"; a*0*=x" * 50_000 + b"\r\n\r\nhi"


def large() -> Iterator[tuple[str, bytes]]:
    """Bombs of 24 MB, which take more than a child may have."""
    yield "costly-pages", many_costly_pages()
    yield "copied-levels", much_below_many_levels()
