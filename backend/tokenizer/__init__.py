"""The motion tokenizer: a VQ-VAE that turns features into codes and codes into features."""
