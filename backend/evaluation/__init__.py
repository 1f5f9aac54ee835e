"""How well a bundle does what the product promises: each promise measured, printed and kept as JSON."""
