"""What the API speaks, one module a noun; shared by the server and `derms.client`.

Field names are snake_case with their unit. Instants are RFC 3339 in UTC. Power follows the load convention: drawn from
the feeder positive, pushed into it negative; limits are magnitudes >= 0. What comes in (`...In`,
`...Patch`, `...Query`) refuses unknown fields; what goes out (`...Out`) says null where something is not known.

The OpenAPI document is made of these structs: a docstring under a field is its description.
"""
