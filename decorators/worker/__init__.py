"""`cloister worker`: takes queued runs, rebuilds their code in a private folder, and makes them."""
