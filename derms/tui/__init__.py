"""The control center: a live picture of the feeders on a terminal.

A screen is a function of one picture. What is drawn comes from pure functions as rows of (text, tone), as charts do
(`derms.plot`); widgets compare rows with those that stand there and redraw only the cells that are others. The stream
is read by one worker that posts messages; only the application touches widgets, and only it changes the picture.
"""
