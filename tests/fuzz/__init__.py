"""Every reader against files that somebody, or something, has damaged: seeded, so that each attempt can be repeated."""
