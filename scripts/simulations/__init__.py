"""What the statistics of the report promise, on made-up seeds of which the truth is known."""
