"""Who may see and change what: principals, their rights, and the filter that hides the other runs."""
