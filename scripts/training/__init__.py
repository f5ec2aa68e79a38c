"""Parts shared by the training scripts, which need the extra `train`."""
