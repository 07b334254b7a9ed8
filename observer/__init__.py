"""Recording and the stored records: what a run is, how it gets into MongoDB, how it is read back."""
