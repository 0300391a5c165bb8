"""Co-simulation: the engine driven by somebody else's model, one JSON line a tick. `docs/cosimulation.md` in code.

::

    run          lines in, lines out
    session      what is known -> columns -> decide
    answer       a decision as a line
    known        what has been said and told so far
    roster       devices and what each has said last
    forest       nodes, parents first
    pace         lives and ages that follow the length of a step
    reading      a line as typed values
    said         what a line may say, field by field
    clock        numbers or texts as instants
    lines        bytes -> JSON, strictly
    wrong        what is wrong with a line
"""
