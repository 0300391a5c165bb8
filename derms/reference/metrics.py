"""docs/metrics.md, made of the registry."""

from derms.metrics import Metrics
from derms.reference.schemas import cell

_HEAD = """\
<!-- Made by `make docs` of the registry itself. Not to be edited. -->
# Metrics

`GET /metrics`, with a token ([API](api.md#get-metrics)), in the text format of Prometheus. Labels are few and never
device ids. Power in kW, import positive. Rules, dashboards and the runbook: [operations](operations.md#monitoring).

A histogram `x` is read as `x_bucket`, `x_sum` and `x_count`. Beside these stand `process_*` and `python_gc_*`, of the
process and its garbage collector (memory, CPU, file descriptors, start), by the names that every dashboard knows.

| metric | type | labels | what |
|---|---|---|---|
"""


def page() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {cell(one.what)} |\n"
        for one in Metrics(version="").described()
    ]
    return _HEAD + "".join(rows)
