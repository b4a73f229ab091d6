"""Which service is which: the authority, its certificates, and TLS by them."""
