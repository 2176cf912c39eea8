"""The labeller as a web page on this machine."""
