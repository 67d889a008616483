"""Hands mails to a submission server over SMTP (RFC 5321, RFC 6409)."""

from connectors.smtp.options import SmtpOptions
from connectors.smtp.sender import SmtpSender
from crm_sync.ports import SenderKind

__all__ = ["KIND", "SmtpOptions", "SmtpSender"]

KIND = SenderKind(options=SmtpOptions, build=SmtpSender)
