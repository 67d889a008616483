"""One master secret, and from it a key per purpose (law 13).

Hashes are keyed BLAKE2b (RFC 7693) over canonical forms; locators are sealed with AES-SIV
(RFC 5297); both carry no secret of their own, so a copy of the database alone tells nothing.
"""

from functools import lru_cache
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crm_sync.core.errors import Unreadable

CANONICAL_VERSION = 1
"""Version of the canonical forms that are hashed; like the key, it can't change later."""

_DIGEST = 16
_REMEMBERED = 4096


class Keys:
    """The keys made from one master secret by HKDF-SHA256 (RFC 5869)."""

    def __init__(self, master: bytes) -> None:
        self.key_id = _derive(master, "key id", 8).hex()
        self.message_key = _derive(master, "message ids", 32)
        self.token_key = _derive(master, "tokens", 32)
        self._hash_key = _derive(master, f"hashes v{CANONICAL_VERSION}", 32)
        self._seal = AESSIV(_derive(master, "locators", 64))
        # Setting a keyed hash up costs more than hashing; a copy of one that is set up does not.
        self._hasher = lru_cache(maxsize=64)(self._keyed)
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self.hash)

    def hash(self, purpose: str, text: str) -> bytes:
        """16 bytes that stand for `text` and can't be undone or recomputed without the key.

        `purpose` (at most 16 ASCII characters) keeps an address and, say, a Message-ID of the same
        spelling apart.
        """
        hasher = self._hasher(purpose).copy()
        hasher.update(text.encode("utf-8", "surrogatepass"))
        return hasher.digest()

    def remembered_hash(self, purpose: str, text: str) -> bytes:
        """Like `hash`, for what comes again and again: addresses and domains."""
        return self._remembered(purpose, text)

    def _keyed(self, purpose: str) -> blake2b:
        return blake2b(digest_size=_DIGEST, key=self._hash_key, person=purpose.encode("ascii"))

    def seal(self, text: str) -> bytes:
        """Encrypts `text`; the same text gives the same bytes, so nothing about order leaks."""
        return self._seal.encrypt(text.encode("utf-8", "surrogatepass"), None)

    def unseal(self, sealed: bytes) -> str:
        """Undoes `seal`. Raises `Unreadable` when the bytes were not sealed with this key."""
        try:
            return self._seal.decrypt(sealed, None).decode("utf-8", "surrogatepass")
        except InvalidTag:
            raise Unreadable("a stored locator was sealed with another key") from None


def _derive(master: bytes, purpose: str, length: int) -> bytes:
    info = b"crm-sync " + purpose.encode("ascii")
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(master)
