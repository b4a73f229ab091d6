"""Pure objects that keep a stage's trouble from the caller. They know no HTTP; clocks and chance are passed in."""
