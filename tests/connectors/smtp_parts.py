"""What senders send."""

from datetime import UTC, datetime

from crm_sync.core.records import Address, Draft

DRAFT = Draft(
    message_id="<k3v@acme.example>",
    date=datetime(2026, 3, 4, 9, 12, tzinfo=UTC),
    from_=Address("crm@acme.example", "Acme CRM"),
    to=(Address("lena@nordvik.example", "Lena Nordvik"),),
    subject="Grattis",
    text="Hej Lena\n",
    html="<p>Hej Lena</p>",
    language="sv",
)
