"""What all three programs stand on and that never crosses the wire: settings files and log lines."""
