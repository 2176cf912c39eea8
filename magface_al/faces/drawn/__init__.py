"""People who do not exist, seen through cameras that do not exist either."""
