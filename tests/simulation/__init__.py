"""Clients, link and virtual gateways on one virtual clock, with everything going wrong by a seed.

weather     what the network does, and how a message is damaged
wire        what the harness itself reads from messages, apart from the library
loop        the virtual clock
network     the link and the broker behind it
invariants  what must hold, watched from outside
station     one gateway and its client, as users, other masters and restarts treat it
world       one seed from the first message to the last check
run         many seeds, by `scripts/simulate --seeds N`
"""

import simulator as simulator  # first: it makes the library importable without Home Assistant
