"""What the OpenAPI document says by hand: bodies that routes read for themselves, what some answer, problems."""
