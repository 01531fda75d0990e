"""What regnet costs, measured."""
