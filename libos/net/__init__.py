"""TCP/IP and HTTP for guests: one stack, sized by `table.configure` when a service is built.

Bottom up: `wire` (bytes and checksums), `row` and `fifo` (storage), `table` (all state), `timers`, `ip` (frames and
datagrams), `segment` (TCP headers), `output` and `arrival` (the protocol), `stack` (the loop), `tcp` (what a service
calls), `request` and `http` (a server).
"""
