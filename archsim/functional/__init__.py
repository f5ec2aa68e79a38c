"""The functional pass: what the network computes under a policy, and which neurons were reused."""
