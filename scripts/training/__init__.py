"""What the training scripts share; needs the extra `train`."""
