# Part of _reactor.pyx: how much has a turn, and for how long.

cdef enum:
    SCRATCH = 65536         # received at once at most; more would let one link take the whole turn
    # Received at once of who is new, or had to be paused: the kernel takes 0.3 ms for 64 KiB that came in small pieces.
    # Who brings as much as is asked for, and all of it is taken, is asked for four times as much the next time.
    LEAST_PIECE = 4096
    EVENTS = 256            # asked of the kernel at once
    TURN_MESSAGES = 256     # of all links in one callback
    LINK_MESSAGES = 64      # of one link before others have their turn
    SLICE = 2000            # links written to before the loop has its turn
    KNOWN_MESSAGES = 10     # of a link before what they cost tells what the next will
    MOST_CUTS = 4           # looks in a row that go on with one link
    LOOK_PIECE = 1024       # received at once in a look where no packet can be told from the next
    NO_SLOT = 0xFFFFFFFF

cdef double TURN_S = 0.001
#: How often those who cost little are looked for while others are served.
cdef double LOOK_S = 0.0001
#: How long one link is served before anybody is looked for.
cdef double LONG_S = 0.00005
#: What a message of a link may have cost lately for it to be served out of turn: a publication takes 0.1 to 0.3 ms.
cdef double QUICK_S = 0.0005
#: What a link counts as that asks for more than is taken: it had to be paused, or brought more messages at once than it
#: may. Half a dozen messages later it is quick again.
cdef double GREEDY_S = 0.001
#: How long after that those who ask for little are looked for beside links that take a few us each: there are many of
#: these, and all that were paused for the same reason go on at the same time.
cdef double GREED_S = 0.25
cdef double SLICE_S = 0.004
#: The same in that time.
cdef double GREEDY_SLICE_S = 0.0001
#: How long one link is served then before others have their turn; and always when it is served out of turn.
cdef double LINK_S = 0.00025
#: How long what is to be written may wait for the end of a round of many turns, seconds.
cdef double ROUND_S = 0.003
