"""What touches the host. A leaf: imports nothing of Relay; the ports are what the rest sees."""
