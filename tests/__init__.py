"""The tests, in the folders of what they test; tests/support holds what several of them share."""
