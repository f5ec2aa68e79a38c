"""What a network's answers are worth: task metrics and their uncertainty."""
