"""Task metrics of a network's predictions, and their confidence intervals."""
