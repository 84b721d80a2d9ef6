"""TD3 from camera pixels in JAX and Flax. Importing the package starts no JAX backend."""

__version__ = "0.1.0"
