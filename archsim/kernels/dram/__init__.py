"""An LPDDR4 memory: channel timing, queued requests, and the scheduler that serves them."""
