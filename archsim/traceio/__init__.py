"""What goes into a network and what the functional pass records: traces, activity."""
