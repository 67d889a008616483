"""One folder per protocol; entry points name them."""
