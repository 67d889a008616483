"""The bare loop: what the same mail server gives to the least program that reads the same headers.

imapclient in batches of 500, the same header fields, the standard library's parser (compat32);
subject, addresses and date decoded, nothing stored. Prints one JSON object.
"""

import json
import sys
import time
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses, parsedate_to_datetime

from imapclient import IMAPClient

from crm_sync.core.headers import HEADER_FIELDS
from tests.benchmarks.measuring import peak_of_this_process

BATCH = 500


def main(host: str, port: int, user: str, password: str, folders: list[str]) -> None:
    """Reads the folders and says what it took, from the connection on."""
    wall, cpu = time.perf_counter(), time.process_time()
    seen = 0
    with IMAPClient(host, port, ssl=False) as client:
        client.login(user, password)
        for folder in folders:
            client.select_folder(folder, readonly=True)
            uids = client.search()
            for at in range(0, len(uids), BATCH):
                seen += sum(1 for _ in read_batch(client, uids[at : at + BATCH]))
    result = {
        "seen": seen,
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": peak_of_this_process(),
    }
    print(json.dumps(result))


def read_batch(client: IMAPClient, uids: list[int]):
    """Subject, addresses and date of each message."""
    name = f"BODY[HEADER.FIELDS ({' '.join(HEADER_FIELDS).upper()})]".encode()
    parser = BytesHeaderParser()
    fetched = client.fetch(uids, [name.replace(b"BODY[", b"BODY.PEEK[")])
    for row in fetched.values():
        header = next(value for key, value in row.items() if key.startswith(b"BODY["))
        message = parser.parsebytes(header)
        subject = decoded(message["Subject"] or "")
        yield subject, addresses(message), parsedate_to_datetime(message["Date"])


def addresses(message: Message) -> list[tuple[str, str]]:
    """Decoded names and addresses of all who wrote it and whom it went to."""
    values = [value for field in ("From", "To", "Cc") for value in message.get_all(field, [])]
    return [(decoded(name), address) for name, address in getaddresses(values)]


def decoded(text: str) -> str:
    return str(make_header(decode_header(text))) if "=?" in text else text


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
