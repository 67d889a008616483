"""One conversation with a submission server, step by step.

Each step raises errors of ours and leaves the connection either usable or closed: where question
and answer could fall out of step, the connection is closed.
"""

import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pydantic import SecretStr

from connectors import sign_in_words
from connectors.oauth.access import TokenSource
from connectors.oauth.grant import AccessToken
from connectors.oauth.sasl import MECHANISMS, Mechanism, initial_response
from connectors.proxy import dial
from connectors.smtp.options import SmtpOptions
from connectors.smtp.replies import Reply, Step, complaint
from connectors.smtp.wire import Wire
from crm_sync.core.errors import CrmSyncError, InDoubt, Refused, Unreachable

_GO_AHEAD = 354
_CHALLENGE = 334
_CLOSING = 421
_SIGNED_IN = 235
_BAD_TOKEN = frozenset({534, 535})
_QUIT_TIMEOUT = 5.0
_SIZE_DIGITS = 20  # RFC 1870 section 4
_DOT = b".\r\n"
_NONSENSE = Reply(-1, "")
_NO_GREETING = 'Check host, port and security: port 465 is "tls", port 587 "starttls"'


class Session:
    """A connection: `connect`; then for each mail `mail`, `rcpt`, `data`, `end`; at last `quit`."""

    def __init__(
        self, options: SmtpOptions, account: str, tokens: TokenSource | None = None
    ) -> None:
        self._options = options
        self._account = account
        self._tokens = tokens
        self._wire: Wire | None = None

    @property
    def alive(self) -> bool:
        """Whether the connection can still be used, as far as is known without asking."""
        return self._wire is not None

    def connect(self) -> None:
        """Opens, secures and signs in. After an error there is no connection."""
        self.open()
        self.secure()
        self.sign_in()

    def open(self) -> None:
        """Connects, in TLS where that comes first, and hears the greeting."""
        options = self._options
        try:
            connect = options.connect_timeout
            sock = dial(options.host, options.effective_port, connect, options.proxy)
            # The dot follows the data in a packet of its own; Nagle's wait costs 40 ms a mail.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if options.security == "tls":
                with _closed_on_error(sock):
                    sock = self._tls().wrap_socket(sock, server_hostname=options.host)
        except (OSError, UnicodeError) as error:
            raise self._not_connected(error) from error
        self._wire = Wire(sock, options.command_timeout)
        with self._talking("greeting") as wire:
            greeting = wire.reply()
        self._expect(greeting, "greeting")
        self._hello()

    def secure(self) -> None:
        """Starts TLS where it is configured; never goes on in clear without it."""
        if self._options.security != "starttls":
            return
        if not self.offers("starttls"):
            self.drop()
            raise Refused(
                "the server does not offer STARTTLS",
                where=self._account,
                advice='Nothing was sent in clear. Set security = "tls" if the server wants that',
            )
        with self._talking("STARTTLS") as wire:
            reply = wire.ask("STARTTLS")
        self._expect(reply, "STARTTLS")
        try:
            self._talker().secure(self._tls(), self._options.host)
        except OSError as error:
            self.drop()
            raise self._not_connected(error) from error
        self._hello()

    def sign_in(self) -> None:
        """AUTH with a token, else PLAIN, else LOGIN (RFC 4954).

        One try only, for wrong ones lock accounts; one more where a token may just be too old.
        """
        if self._tokens is not None:
            try:
                self._sign_in_by_token(self._tokens)
            except BaseException:
                # A connection nobody is signed in on must not be kept for the next mail.
                self.drop()
                raise
            return
        user, password = self._options.username, self._options.password
        if password is None:
            return
        offered = self._talker().esmtp_features.get("auth", "").upper().split()
        with self._talking("AUTH") as wire:
            if "PLAIN" in offered:
                reply = _plain(wire, user, password)
            elif "LOGIN" in offered:
                reply = _login(wire, user, password)
            else:
                raise Refused(
                    "the server offers no sign-in by password (PLAIN or LOGIN)",
                    where=self._account,
                    advice="Check host, port and security",
                )
        if reply.code != _SIGNED_IN:
            self.drop()
            raise complaint("AUTH", reply, self._account)

    def _sign_in_by_token(self, tokens: TokenSource) -> None:
        mechanism = MECHANISMS[self._options.auth]
        if mechanism.name not in self._talker().esmtp_features.get("auth", "").upper().split():
            raise Refused(
                f"the server offers no sign-in by {mechanism.name}",
                where=self._account,
                advice="Check host, port, security and auth",
            )
        token = tokens.access()
        reply = self._bear(mechanism, token)
        # Another token does not help where the server gives another reason, a lock least of all.
        if reply.code in _BAD_TOKEN and not sign_in_words.explains(reply.text):
            newer = tokens.access(rejected=token.text)
            reply = self._bear(mechanism, newer) if newer != token else reply
        if reply.code == _SIGNED_IN:
            return
        error = complaint("AUTH", reply, self._account)
        if reply.code in _BAD_TOKEN and error.kind == "password":
            error.advice = tokens.remedy
        raise error

    def _bear(self, mechanism: Mechanism, token: AccessToken) -> Reply:
        options = self._options
        message = initial_response(
            mechanism, options.username, token, options.host, options.effective_port
        )
        with self._talking("AUTH") as wire:
            reply = wire.ask(f"AUTH {mechanism.name} {message.decode()}")
            if reply.code == _CHALLENGE:
                # The server explains its no, and says it after another word of ours.
                reply = wire.ask(mechanism.after_error.decode())
        return reply

    def offers(self, extension: str) -> bool:
        """Whether the server's EHLO named this extension."""
        return bool(self._talker().has_extn(extension))

    def still_stands(self) -> bool:
        """Whether a kept connection takes a new mail; RSET ends an unfinished one. Never raises."""
        if self._wire is None:
            return False
        with suppress(CrmSyncError), self._talking("RSET") as wire:
            if wire.quiet() and wire.ask("RSET").ok:
                return True
        self.drop()
        return False

    def mail(self, sender: str, size: int, *, utf8: bool) -> None:
        """MAIL with what the server wants to know: the size in octets, internationalised or not."""
        wire = self._talker()
        if utf8 and not self.offers("smtputf8"):
            raise self._unfit("an address needs SMTPUTF8, which the server does not offer")
        limit = wire.esmtp_features.get("size", "")[:_SIZE_DIGITS]
        if limit.isdecimal() and 0 < int(limit) < size:
            raise self._unfit("the mail is larger than the server takes")
        command = f"MAIL FROM:<{sender}>"
        command += f" SIZE={size}" if self.offers("size") else ""
        command += " BODY=8BITMIME SMTPUTF8" if utf8 else ""
        wire.command_encoding = "utf-8" if utf8 else "ascii"
        self._expect(self._ask("MAIL", command), "MAIL")

    def rcpt(self, recipient: str) -> Reply:
        """RCPT; a clear no is returned, not raised."""
        reply = self._ask("RCPT", f"RCPT TO:<{recipient}>")
        if not (reply.ok or reply.no) or reply.code == _CLOSING:
            self._expect(reply, "RCPT")
        return reply

    def data(self, message: bytes) -> None:
        """DATA and the whole message but its end; the message has CRLF line ends throughout.

        Hears an answer given early, so that a connection already lost makes nobody doubt.
        """
        reply = self._ask("DATA", "DATA")
        if reply.code != _GO_AHEAD:
            self._expect(reply if reply.no else _NONSENSE, "DATA")
        with self._talking("the data") as wire:
            wire.write(re.sub(rb"(?m)^\.", b"..", message))
            if wire.quiet():
                return
            reply = wire.reply()
        self.drop()
        raise complaint("the data", reply, self._account)

    def end(self) -> Reply:
        """The final dot and its answer, which is a yes. No clear answer raises InDoubt."""
        wire = self._talker()
        wire.reply_timeout = self._options.dot_timeout
        try:
            wire.write(_DOT)
            reply = wire.reply()
        except OSError as error:
            self.drop()
            raise self._doubt("the connection broke after the end of the data") from error
        except BaseException:
            self.drop()
            raise
        wire.reply_timeout = self._options.command_timeout
        if not (reply.ok or reply.no):
            self.drop()
            raise self._doubt("the server's answer to the end of the data makes no sense")
        self._expect(reply, "the end of the data")
        return reply

    def quit(self) -> None:
        """QUIT, politely but not patiently. Never raises."""
        if self._wire is not None:
            self._wire.reply_timeout = _QUIT_TIMEOUT
            with suppress(OSError):
                self._wire.ask("QUIT")
        self.drop()

    def drop(self) -> None:
        """Closes the connection without a word. Never raises."""
        wire, self._wire = self._wire, None
        if wire is not None:
            with suppress(OSError):
                wire.close()

    def _hello(self) -> None:
        with self._talking("EHLO") as wire:
            reply = wire.hello()
        self._expect(reply, "EHLO")

    def _ask(self, step: Step, command: str) -> Reply:
        with self._talking(step) as wire:
            return wire.ask(command)

    def _expect(self, reply: Reply, step: Step) -> None:
        if reply.ok:
            return
        if not reply.no or reply.code == _CLOSING or step in {"greeting", "EHLO", "STARTTLS"}:
            self.drop()
        raise complaint(step, reply, self._account)

    def _talker(self) -> Wire:
        if self._wire is None:
            raise self._broken("the connection")
        return self._wire

    @contextmanager
    def _talking(self, step: Step) -> Iterator[Wire]:
        wire = self._talker()
        try:
            yield wire
        except TimeoutError as error:
            self.drop()
            seconds = f"{self._options.command_timeout:g}"
            raise Unreachable(
                f"the server did not answer {step} within {seconds} s",
                where=self._account,
                advice=_NO_GREETING if step == "greeting" else "",
            ) from error
        except OSError as error:
            self.drop()
            raise self._broken(step) from error
        except BaseException:
            self.drop()
            raise

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._options.ca_file)
        except OSError as error:
            raise Refused(
                "the certificates in ca_file can't be read",
                where=self._account,
                advice="Check that the file is there, readable and in PEM form",
            ) from error

    def _broken(self, step: str) -> Unreachable:
        advice = _NO_GREETING if step == "greeting" else ""
        return Unreachable(f"the connection broke at {step}", where=self._account, advice=advice)

    def _unfit(self, what: str) -> Refused:
        return Refused(what, where=self._account, scope="item")

    def _doubt(self, what: str) -> InDoubt:
        return InDoubt(what, where=self._account, advice="Look whether the mail was sent")

    def _not_connected(self, error: Exception) -> CrmSyncError:
        at = f"{self._options.host}:{self._options.effective_port}"
        where = self._account
        if isinstance(error, ssl.SSLCertVerificationError):
            return Refused(
                f"the certificate of {at} is not trusted ({error.verify_message})",
                where=where,
                advice="Check host; set ca_file if the server's certificate is from your own CA",
            )
        if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
            return Refused(
                f"{at} does not begin with TLS",
                where=where,
                advice='Set security = "starttls", or the port for TLS (mostly 465)',
            )
        what, advice = _unreached(error, at)
        return Unreachable(what, where=where, advice=advice)


def _unreached(error: Exception, at: str) -> tuple[str, str]:
    """What kept us from connecting, and what to check."""
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"the name in {at} is not known", "Check host, and this machine's name service"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {at}", "Check host and port, and that the server runs"
    if isinstance(error, TimeoutError):
        return f"{at} does not answer", "Check host, port, security and firewalls"
    if isinstance(error, ssl.SSLError):
        return f"{at} and we could not agree on TLS", "Check port and security"
    return f"the connection to {at} broke", "Check host and port"


@contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _plain(wire: Wire, user: str, password: SecretStr) -> Reply:
    """RFC 4616, in UTF-8, with the initial response."""
    response = b64encode(f"\0{user}\0{password.get_secret_value()}".encode()).decode()
    return wire.ask(f"AUTH PLAIN {response}")


def _login(wire: Wire, user: str, password: SecretStr) -> Reply:
    reply = wire.ask("AUTH LOGIN")
    for answer in (user, password.get_secret_value()):
        if reply.code != _CHALLENGE:
            break
        reply = wire.ask(b64encode(answer.encode()).decode())
    return reply
