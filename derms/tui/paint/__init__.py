"""From a picture to rows: one module a screen. Pure: no widget, no clock, no I/O."""
