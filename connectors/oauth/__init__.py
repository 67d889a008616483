"""OAuth 2.0 for connectors: signing people in, and access tokens that are always fresh.

RFC 6749 with PKCE (RFC 7636) as RFC 8252 wants it of programs without a web server of their own;
RFC 8628 for devices; RFC 7523 for Google's service accounts. Access tokens go to mail servers by
XOAUTH2 or OAUTHBEARER (RFC 7628).
"""
