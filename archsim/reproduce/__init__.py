"""The paper's study done again on networks of our own: what is observed, and the figures drawn of it."""
