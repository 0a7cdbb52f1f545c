"""A night: label, publish and report as one command that is safe to run again at any point."""
