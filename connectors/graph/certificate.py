"""The certificate with which an application signs in at Microsoft."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from crm_sync.core.errors import Refused


@dataclass(frozen=True, slots=True)
class Certificate:
    """A PEM file with private key and certificate; `ends_at` (UTC) is when it is good no more."""

    pem: str = field(repr=False)
    ends_at: datetime


def read_certificate(file: Path, account: str) -> Certificate:
    """Reads and tries the file. Raises `Refused` for `account` where it can't be used."""
    try:
        pem = file.read_text("ascii")
        load_pem_private_key(pem.encode(), password=None)
        certificate = load_pem_x509_certificate(pem.encode())
    except (OSError, ValueError, TypeError) as error:
        what = "the certificate file can't be used"
        advice = "certificate_file is a PEM file with the private key and the certificate."
        raise Refused(what, where=account, advice=advice, kind="settings") from error
    return Certificate(pem, certificate.not_valid_after_utc)
