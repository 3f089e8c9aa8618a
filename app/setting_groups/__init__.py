"""What can be set, by what it is about; `app.settings` is all of it. Units stand in names."""
