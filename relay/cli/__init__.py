"""The command line. A command imports what it needs, so that `relay version` is quick."""
