"""What an admin is told about the domain that mails leave from, by a name server on loopback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from crm_sync.runtime.sending_domain import examine, resolver

GOOD = {
    "acme.internal.": ["v=spf1 include:_spf.google.com -all", "unrelated"],
    "google._domainkey.acme.internal.": ["v=DKIM1; k=rsa; p=MIIB"],
    "_dmarc.acme.internal.": ["v=DMARC1; p=none"],
}


@contextmanager
def name_server(records: dict[str, list[str]]) -> Iterator[int]:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            query, peer = server.recvfrom(4096)
            if not query:
                return
            question = dns.message.from_wire(query)
            name = question.question[0].name.to_text().lower()
            answer = dns.message.make_response(question)
            answer.flags |= dns.flags.RA
            if name in records:
                texts = (f'"{text}"' for text in records[name])
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *texts))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            server.sendto(answer.to_wire(), peer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.sendto(b"", server.getsockname())
        thread.join()
        server.close()


def told(records: dict[str, list[str]], domain: str = "acme.internal", connector: str = "gmail"):
    with name_server(records) as port:
        findings = examine(domain, connector, resolver("127.0.0.1", port))
    return {f.name.split(" ")[0]: f for f in findings}


def test_a_domain_with_all_three_is_well():
    assert all(f.ok and not f.problem for f in told(GOOD).values())


def test_a_domain_with_nothing_is_told_what_to_publish():
    found = told({})
    assert not found["SPF"].ok
    assert '"v=spf1 include:_spf.google.com -all"' in found["SPF"].advice
    assert found["DKIM"].ok  # a selector can't be asked for
    assert "dkim=pass" in found["DKIM"].advice
    assert not found["DMARC"].ok
    assert "_dmarc.acme.internal" in found["DMARC"].advice


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        (["v=spf1 -all", "v=spf1 mx -all"], "several records"),
        (["v=spf1 include:_spf.google.com +all"], "anybody"),
        (["v=spf1 mx -all"], "_spf.google.com is not named"),
    ],
)
def test_a_record_that_harms_is_told(records, problem):
    found = told({**GOOD, "acme.internal.": records})["SPF"]
    assert not found.ok
    assert problem in found.problem


def test_what_may_be_included_further_down_is_a_note_only():
    found = told({**GOOD, "acme.internal.": ["v=spf1 include:_spf.acme.internal -all"]})["SPF"]
    assert found.ok
    assert "_spf.google.com" in found.advice


def test_a_policy_of_the_domain_above_counts():
    records = {**GOOD, "mail.acme.internal.": ["v=spf1 mx ~all"]}
    assert told(records, "mail.acme.internal", "smtp")["DMARC"].ok


def test_domains_for_examples_and_local_networks_are_not_looked_up():
    def lookup(name: str) -> list[str]:
        raise AssertionError(name)

    assert [examine(d, "smtp", lookup) for d in ("acme.example", "crm.local")] == [[], []]


def test_where_no_name_server_answers_nothing_is_called_wrong():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    (finding,) = examine("acme.internal", "smtp", resolver("127.0.0.1", port))
    assert finding.ok
    assert "no name server answers" in finding.problem
