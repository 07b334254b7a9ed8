"""What surrounds a run when it starts: its git repository, its sources, its installed packages, its machine."""
