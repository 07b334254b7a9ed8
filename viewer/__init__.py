"""What a browser touches: pages, plots, REST API, live updates."""
