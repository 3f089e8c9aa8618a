"""How fast texts are written, and whether engines write the same: in process, over HTTP, beside `transformers`."""
