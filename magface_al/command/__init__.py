"""What every script is made of: its command line, its messages and errors, its files."""
