"""The network stack that runs inside a guest: Ethernet, IPv4, TCP, HTTP."""
