"""Reference pages made of the code: the API, the metrics, the wire.

`make docs` writes them (`python -m derms.reference`); a test holds what is written to what the code says.

::

    __main__              writes
    api  metrics  wire    one module a page
    schemas               JSON schemas in words, for two of them
"""
