"""What is kept for how long: rules, legal hold, the trash, and purges that show that the bytes are gone."""
