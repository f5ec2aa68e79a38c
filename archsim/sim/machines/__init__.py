"""The machines: each a folder with its units, both levels of detail, actions and parts."""
