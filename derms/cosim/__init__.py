"""Co-simulation: the engine driven by somebody else's model, one JSON line a tick. `docs/cosimulation.md` in code.

::

    run          lines in, lines out
    session      what has been said so far -> columns -> decide
    answer       a decision as a line
    forest       nodes, parents first
    said         a line as typed values
    clock        numbers or texts as instants
    lines        bytes -> JSON, strictly
    wrong        what is wrong with a line
"""
