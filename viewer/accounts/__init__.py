"""Who uses the viewer: people, how they prove it, and what stands for them between two requests."""
