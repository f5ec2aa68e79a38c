"""The paper's study repeated on the bundled networks: observations of neurons, figures, tables, one page."""
