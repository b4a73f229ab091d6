"""The server for strangers: HTTP/1.1 with limits on all that a connection may take."""
