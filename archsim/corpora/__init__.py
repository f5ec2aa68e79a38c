"""Public corpora and what is made of them."""
