"""What the state machine of IMAP is made of: a process that dies, mails, a diary to begin with."""

from contextlib import contextmanager

from sqlalchemy import event

from tests.flow.conftest import KARIN, World


class Crash(BaseException):
    """The process dies here."""


@contextmanager
def dying(world, points):
    """The process dies before its n-th statement, or right after a commit."""
    left = [points]

    def one_more(*_):
        left[0] -= 1
        if left[0] < 0:
            raise Crash

    good, engine = world.store.write, world.store._engine
    event.listen(engine, "before_cursor_execute", one_more)

    @contextmanager
    def write(**options):
        with good(**options) as tx:
            yield tx
        one_more()

    object.__setattr__(world.store, "write", write)
    try:
        yield
    except Crash:
        pass
    finally:
        event.remove(engine, "before_cursor_execute", one_more)
        del world.store.write


def a_mail(subject, who, at, *, message_id, with_file):
    lines = [f"From: {who}", f"To: {KARIN}", f"Subject: {subject}"]
    lines.append(f"Date: {at:%a, %d %b %Y %H:%M:%S} +0000")
    lines += [f"Message-ID: <{subject}@x.example>"] if message_id else []
    text = f"text {subject}\r\n"
    if with_file:
        lines += ["MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="b"']
        plain = f"--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n"
        file = 'Content-Disposition: attachment; filename="a.pdf"\r\n\r\nJVBERi0=\r\n'
        text = f"{plain}--b\r\nContent-Type: application/pdf\r\n{file}--b--\r\n"
    return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()


def subject_of(message):
    return message.raw.partition(b"Subject: ")[2].partition(b"\r")[0].decode()


def new_diary(folder):
    """A diary with one customer, to be copied: making one takes longer than many pulls."""
    world = World(folder)
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    world.store.close()
    return folder / "diary.db"
