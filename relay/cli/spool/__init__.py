"""`relay spool`: what is on disk, seen from outside the relay."""
